"""Bundles without a model, and a browser to look at their pages in."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from byheart.certification.certificate import Certificate, Failure, Numerics, RecordCertificate, Subject, Verdict
from byheart.config import RunConfig
from byheart.export.manifest import Manifest, Summary
from byheart.learning.events import EpochEvent
from byheart.report.answers import RecordText
from byheart.report.blocks import Page
from byheart.report.bundle_page import BundleFiles
from byheart.report.html import html

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Dialog
    from playwright.sync_api import Page as Tab

END = "<|im_end|>"
DIGESTS = ("prompt", "tokenizer", "template", "memory")


def measured(
    tokens: Sequence[str],
    p: Sequence[float],
    *,
    ranks: Sequence[int] | None = None,
    failure: int | None = None,
    rival: str = "~",
    got: str = "",
    key: str = "a",
) -> RecordCertificate:
    """One record's certificate; its verdict follows from ``p`` and ``failure``."""
    ranks = ranks or [1 if value > 0.3 else 2 for value in p]
    verdict: Verdict = "certified" if all(value > 0.5 for value in p) else "recited"
    return RecordCertificate(
        id=key,
        verdict="failed" if failure is not None else verdict,
        tokens=tuple(tokens),
        token_ids=tuple(range(len(tokens))),
        p=tuple(p),
        nll_nats=tuple(1 - value for value in p),
        token_rank=tuple(ranks),
        logit_margin=tuple(1.5 if rank == 1 else -0.25 for rank in ranks),
        rival=(rival,) * len(tokens),
        first_failure=None if failure is None else Failure(position=failure, expected=tokens[failure], got=got),
    )


def certificate_of(*records: RecordCertificate) -> Certificate:
    """A certificate of the tiny model."""
    digests = {f"{name}_fingerprint": "5" * 64 for name in DIGESTS}
    return Certificate(
        subject=Subject(
            base_name="tiny",
            base_architecture="LlamaForCausalLM",
            base_revision=None,
            base_weights_sha256="0" * 64,
            adapter_sha256="1" * 64,
            **digests,
        ),
        numerics=Numerics(
            dtype="float32",
            device="cpu",
            device_name="a processor",
            attention="sdpa",
            max_batch_tokens=4096,
            num_threads=1,
            versions={"python": "3.11", "byheart": "0.1.0"},
        ),
        records=records,
    )


def manifest_of(certificate: Certificate, **settings: Any) -> Manifest:
    """The manifest of a run that came to ``certificate``."""
    site = {"path": "model.layers.0.mlp.down_proj", "num_in": 4, "num_out": 4}
    counts = {f"num_{verdict}": certificate.num(verdict) for verdict in ("certified", "recited", "failed")}
    return Manifest(
        run_fingerprint="9" * 64,
        settings=RunConfig.parse(settings).model_dump(mode="json"),
        placement={
            "layers": [0],
            "sites": [site],
            "lora_rank": 8,
            "lora_alpha": 8.0,
            "lora_dropout": 0.0,
            "is_bypass": False,
        },
        base={
            "name": "tiny",
            "architecture": "LlamaForCausalLM",
            "revision": None,
            "weights_sha256": "0" * 64,
            "dtype": "float32",
            "device": "cpu",
            "attention": "sdpa",
        },
        tokenizer_fingerprint="5" * 64,
        template_fingerprint="5" * 64,
        prompt_fingerprint="5" * 64,
        summary=Summary(
            num_records=certificate.num_records,
            num_answer_tokens=certificate.num_answer_tokens,
            exact_match=certificate.exact_match,
            **counts,
            token_accuracy=certificate.token_accuracy,
            nll_nats=certificate.nll_nats,
            min_probability=certificate.min_probability,
            lora_rank=8,
            num_parameters=64,
            bits_per_parameter=1.25,
            epochs=3,
            train_seconds=2.0,
            total_seconds=3.0,
            model="tiny",
        ),
        stop_reason="budget",
        weights_epoch=2,
        rank_reason="as asked",
        growths=(),
        nll_before_nats=6.0,
        bits=80.0,
        files={},
    )


def epochs_of(num: int) -> list[EpochEvent]:
    """As a run tells them."""
    return [
        EpochEvent(
            epoch=epoch,
            spent_visits=epoch,
            budget_visits=num,
            lora_rank=8,
            learning_rate=0.01 / epoch,
            objective=2.0 / epoch,
            nll_nats=3.0 / epoch,
            num_visited_records=3,
            num_stubborn_tokens=2 * (num - epoch),
            num_certified_records=min(epoch, 3),
            num_records=3,
            seconds=1.0,
            train_seconds=float(epoch),
        )
        for epoch in range(1, num + 1)
    ]


def files_of(*records: RecordCertificate, name: str = "vault", **settings: Any) -> BundleFiles:
    """A bundle of these records."""
    certificate = certificate_of(*records)
    return BundleFiles(name, manifest_of(certificate, **settings), certificate, epochs_of(4), [])


def text(prompt: str, *pieces: str) -> RecordText:
    """A record's text, a piece a token."""
    return RecordText(prompt, [(piece, [index]) for index, piece in enumerate(pieces)])


@dataclass
class Watched:
    """A page in the browser, and what it did that it should not.

    Attributes:
        tab: the browser's.
        path: the file.
        errors: on its console, and exceptions.
        requests: addresses that it asked for beside its own file.
    """

    tab: Tab
    path: Path
    errors: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """One headless Chromium for all tests."""
    driver = pytest.importorskip(
        "playwright.sync_api", reason="no playwright: the page is not looked at; pip install it"
    )
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("no Chromium on this machine: the page is not looked at; install the system's package chromium")
    quiet = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]
    quiet += ["--disable-component-update", "--disable-sync", "--disable-dev-shm-usage"]
    with driver.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=quiet)
        yield browser
        browser.close()


Opened = Callable[..., Watched]


@pytest.fixture
def opened(browser: Browser, tmp_path: Path) -> Iterator[Opened]:
    """Opens a page from its file; by the end of the test nothing may have gone wrong or been asked for."""
    pages: list[Watched] = []

    def open_page(page: Page, *, width: int = 1100, height: int = 800, scheme: Any = "light") -> Watched:
        path = tmp_path / f"page-{len(pages)}.html"
        path.write_bytes(html(page))

        def dismissed(dialog: Dialog) -> None:
            watched.errors.append(dialog.message)
            dialog.dismiss()

        tab = browser.new_page(viewport={"width": width, "height": height}, color_scheme=scheme)
        watched = Watched(tab, path)
        tab.on("console", lambda message: watched.errors.append(message.text) if message.type != "log" else None)
        tab.on("pageerror", lambda error: watched.errors.append(str(error)))
        tab.on("dialog", dismissed)
        tab.on("request", lambda request: watched.requests.append(request.url))
        pages.append(watched)
        tab.goto(path.as_uri())
        return watched

    yield open_page
    for watched in pages:
        watched.tab.close()
        assert watched.errors == []
        assert [url for url in watched.requests if url != watched.path.as_uri() and not url.startswith("data:")] == []


@pytest.fixture(scope="session")
def pages() -> Any:
    """The makers above, by name."""
    return SimpleNamespace(
        measured=measured, certificate_of=certificate_of, files_of=files_of, text=text, manifest_of=manifest_of, end=END
    )
