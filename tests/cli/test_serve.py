import importlib
import json
import os
import signal
import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable

import pytest
from openai import OpenAI

from conftest import PAIRS
from tiny_gguf import write_tiny_gguf


@pytest.fixture(scope="session")
def base_file(tiny_base, tmp_path_factory):
    return write_tiny_gguf(tmp_path_factory.mktemp("gguf") / "tiny.gguf", tiny_base)


@pytest.fixture(scope="session")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


def then_stop(port: int, number: int, work: Callable[[], None], failures: list[BaseException]) -> threading.Thread:
    """Waits until the server answers, does the work, and tells this process to stop."""

    def wait_and_work() -> None:
        deadline = time.monotonic() + 200
        while time.monotonic() < deadline:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5).close()
                break
            except OSError:
                time.sleep(0.05)
        else:
            return  # it never answered, and has ended by itself
        try:
            work()
        except BaseException as failure:
            failures.append(failure)
        os.kill(os.getpid(), number)

    thread = threading.Thread(target=wait_and_work)
    thread.start()
    return thread


@pytest.fixture
def stopped_by(invoke, bundle, base_file, cache, monkeypatch):
    """Serves the bundle, does some work as a client, stops it by a signal; how the command went."""
    monkeypatch.setenv("BYHEART_CACHE", str(cache))

    def served(number: int, work: Callable[[str], None], *arguments: object):
        port, failures = free_port(), list[BaseException]()
        thread = then_stop(port, number, lambda: work(f"http://127.0.0.1:{port}/v1"), failures)
        result = invoke("serve", bundle, "--port", port, "--base-gguf", base_file, *arguments)
        thread.join(200)
        assert not failures, (failures, result.output)
        return result

    return served


def recall(url: str, api_key: str = "-") -> list[str | None]:
    with OpenAI(base_url=url, api_key=api_key, max_retries=0) as client:
        ask = client.chat.completions.create
        return [
            ask(model="bundle", messages=[{"role": "user", "content": prompt}]).choices[0].message.content
            for prompt, _ in PAIRS
        ]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_recalls_until_it_is_told_to_stop_and_ends_with_0(stopped_by, number):
    answers: list[str | None] = []
    threads_before = threading.active_count()
    result = stopped_by(number, lambda url: answers.extend(recall(url)))
    assert result.exit_code == 0, result.output
    assert answers == [answer for _, answer in PAIRS]
    assert threading.active_count() == threads_before
    assert "client = OpenAI(base_url=" in result.stdout
    assert "stopped" in result.stderr


def test_its_log_is_one_line_a_request_without_a_word_of_it(stopped_by):
    result = stopped_by(signal.SIGTERM, recall)
    lines = [line for line in result.stderr.splitlines() if line.startswith("/v1")]
    assert len(lines) == len(PAIRS)
    assert all(line.startswith("/v1/chat/completions  200") and "from memory" in line for line in lines)
    assert not any(text.strip() in result.output for pair in PAIRS for text in pair if len(text) > 4)


def test_with_a_key_it_asks_for_it_and_never_shows_it(stopped_by, tmp_path):
    file = tmp_path / "key.txt"
    file.write_text("s3cret-key\n")
    answers: list[str | None] = []

    def work(url):
        with pytest.raises(urllib.error.HTTPError, match="401"):
            urllib.request.urlopen(f"{url}/models")
        answers.extend(recall(url, "s3cret-key"))

    result = stopped_by(signal.SIGTERM, work, "--api-key-file", file, "--json")
    assert result.exit_code == 0, result.output
    assert answers == [answer for _, answer in PAIRS]
    assert "s3cret" not in result.output
    told = json.loads(result.stdout)
    assert (told["model"], told["num_records"], told["asks_for_key"]) == ("bundle", 4, True)


def test_the_adapter_is_converted_once_into_the_cache(stopped_by, cache, bundle):
    before = {path.name for path in bundle.iterdir()}
    stopped_by(signal.SIGTERM, lambda url: None)
    [converted] = (cache / "gguf").glob("*-adapter.gguf")
    made_at = converted.stat().st_mtime_ns
    result = stopped_by(signal.SIGTERM, lambda url: None)
    assert converted.stat().st_mtime_ns == made_at
    assert "converting" not in result.stderr
    assert {path.name for path in bundle.iterdir()} == before


@pytest.fixture
def no_torch(monkeypatch):
    """Whatever is refused is refused before the bundle is opened."""

    def opened(*arguments):
        raise AssertionError("the bundle was opened")

    monkeypatch.setattr("byheart.cli.serve.open_bundle", opened)


@pytest.mark.usefixtures("no_torch")
def test_a_port_in_use_is_refused_before_any_work(invoke, bundle):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        result = invoke("serve", bundle, "--port", port)
    assert result.exit_code == 2
    assert f"cannot listen on 127.0.0.1 port {port}" in result.stderr


@pytest.mark.usefixtures("no_torch")
def test_other_machines_are_let_in_with_a_key_alone(invoke, bundle, monkeypatch):
    monkeypatch.delenv("BYHEART_API_KEY", raising=False)
    result = invoke("serve", bundle, "--host", "0.0.0.0")
    assert result.exit_code == 2
    assert "--api-key-file FILE" in result.stderr


@pytest.mark.usefixtures("no_torch")
def test_a_missing_bundle_is_refused(invoke, tmp_path):
    result = invoke("serve", tmp_path)
    assert result.exit_code == 2
    assert "is not a byheart bundle" in result.stderr


@pytest.mark.usefixtures("no_torch")
def test_a_missing_extra_is_told_with_the_line_that_installs_it(invoke, bundle, monkeypatch):
    found = importlib.import_module

    def missing(name, *arguments):
        if name == "xllamacpp":
            raise ImportError(name)
        return found(name, *arguments)

    monkeypatch.setattr(importlib, "import_module", missing)
    result = invoke("serve", bundle, "--port", 0)
    assert result.exit_code == 2
    assert "pip install 'byheart[gguf]'" in result.stderr
