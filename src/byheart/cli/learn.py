"""``byheart learn``: records → bundle, told as it goes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from byheart.cli.counting import counter
from byheart.cli.exits import code_of
from byheart.cli.interrupt import Interruption
from byheart.cli.live import Narrator, narrating
from byheart.cli.methods import known_method
from byheart.cli.screens import Screen, print_json, screens
from byheart.cli.summary import Recital, command, print_failures, print_recitals, print_verdict, verdict_counts
from byheart.cli.visible import visible
from byheart.cli.wording import clock, counted, question
from byheart.config import RunConfig
from byheart.errors import InterruptedRunError, SettingsError
from byheart.export.manifest import CHECKPOINT_FILE, MANIFEST_FILE
from byheart.memory.records import Memory
from byheart.method.config import CERTIFIED_PROBABILITY

if TYPE_CHECKING:
    from byheart.export.bundle import Bundle

_NUM_RECITED = 3
_LONGEST_EXAMPLE = 60
_REMEDY = "another --out with more epochs (learn.epochs in --config), a larger --lora-rank, or more --layers"


def learn(
    records: Path,
    out: Path,
    *,
    model: str | None,
    method: str | None,
    lora_rank: str | None,
    layers: str | None,
    modules: str | None,
    margin: str | None,
    seed: int | None,
    config: Path | None,
    as_json: bool,
) -> int:
    """Learns a file by heart; settings and records are read before anything heavy is imported, but for the tokenizer by
    which plain text is cut.

    Returns:
        The exit code.
    """
    settings = RunConfig.build(
        config,
        model=model,
        method=known_method(method),
        lora_rank=_lora_rank(lora_rank),
        layers=layers,
        modules=modules,
        margin=margin,
        seed=seed,
    )
    with screens(as_json) as (results, progress):
        with narrating(progress) as narrator:
            count_tokens = counter(lambda: settings.model, narrator)
            memory = Memory.from_file(records, count_tokens=count_tokens, **settings.format.model_dump())
        interruption = Interruption()
        with (
            _resumable(out),
            interruption,
            narrating(progress, interruption.loop_ended, lambda: interruption.is_requested) as narrator,
        ):
            narrator.say(_found(memory, records))
            narrator.begin(f"loading {settings.model.name}")
            from byheart import pipeline

            plain = settings.model_dump(mode="json")
            bundle = pipeline.learn(memory, out=out, config=plain, reporter=narrator, interrupted=interruption)
            recitals = list(_recited(bundle, narrator))
        _print_summary(results, bundle, out, recitals)
    if as_json:
        print_json(bundle.summary(out))
    return code_of(bundle.certificate)


def _lora_rank(text: str | None) -> int | str | None:
    """``auto`` or a number, from the flag's text."""
    if text is None or text == "auto":
        return text
    if not (text.isascii() and text.isdigit() and int(text) > 0):
        raise SettingsError(f"--lora-rank {text!r}: give auto or a positive integer")
    return int(text)


def _found(memory: Memory, records: Path) -> str:
    merged = f"; {counted(memory.num_merged, 'exact duplicate')} merged" if memory.num_merged else ""
    return f"{counted(len(memory), 'record')} in {records}{merged}"


@contextmanager
def _resumable(out: Path) -> Iterator[None]:
    """Adds to an interruption what becomes of the run."""
    try:
        yield
    except KeyboardInterrupt as error:
        how = str(error) if isinstance(error, InterruptedRunError) else "stopped"
        raise InterruptedRunError(f"{how}; {_left(out)}") from error


def _left(out: Path) -> str:
    """What a run that was interrupted left behind."""
    if (out / MANIFEST_FILE).is_file():
        return f"the bundle in {out} is whole"
    if (out / CHECKPOINT_FILE).is_file():
        return f"give the same command again and it goes on from the checkpoint in {out}"
    return "nothing was learnt yet; the same command starts anew"


def _recited(bundle: Bundle, narrator: Narrator) -> Iterator[Recital]:
    """A few records asked for once more, as a user would: those that come back first."""
    known = [record for record in bundle.certificate.records if record.verdict != "failed"]
    chosen = (known or list(bundle.certificate.records))[:_NUM_RECITED]
    learnt = {record.id: record for record in bundle.memory}
    with narrator.phase("reciting", len(chosen)) as advance:
        for record in chosen:
            prompt, answer = learnt[record.id].prompt, learnt[record.id].answer
            # No token more than was learnt: an answer whose end was not would go on.
            said = bundle.recite(prompt, max_new_tokens=len(record.tokens))
            yield Recital(question(prompt), answer, said)
            advance(1)


def _print_summary(screen: Screen, bundle: Bundle, out: Path, recitals: list[Recital]) -> None:
    certificate, summary = bundle.certificate, bundle.manifest.summary
    screen.paragraph()
    print_verdict(screen, certificate)
    parameters = f"{summary.num_parameters:,} parameters, {summary.bits_per_parameter:.2g} bits each"
    stopped = {
        "certified": f"a full pass found every token above {CERTIFIED_PROBABILITY}",
        "budget": "the budget is spent",
        "plateau": "no more progress",
    }
    screen.rows(
        [
            ("records", verdict_counts(certificate)),
            ("adapter", f"rank {summary.lora_rank}, {parameters}"),
            (
                "learning",
                f"{counted(summary.epochs, 'epoch')} in {clock(summary.train_seconds)}, "
                f"{clock(summary.total_seconds)} in all; "
                f"stopped since {stopped.get(bundle.manifest.stop_reason, bundle.manifest.stop_reason)}",
            ),
            ("bundle", str(out)),
        ]
    )
    screen.paragraph()
    print_failures(screen, certificate, bundle.memory, command("show", out, "--failed"))
    print_recitals(screen, recitals)
    screen.paragraph()
    screen.rows(
        [
            ("look", command("show", out)),
            ("ask", command("recite", out, _example([recital.prompt for recital in recitals]))),
            *([] if certificate.is_complete else [("try", _REMEDY)]),
        ]
    )


def _example(prompts: list[str]) -> str:
    """A prompt short and plain enough to be typed."""
    plain = (prompt for prompt in prompts if len(prompt) <= _LONGEST_EXAMPLE and visible(prompt) == prompt)
    return next(plain, "...")
