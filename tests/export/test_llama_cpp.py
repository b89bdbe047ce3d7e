import http.client
import importlib
import os
import subprocess
import sys
import textwrap
import urllib.request

import pytest

from byheart.errors import ModelError
from byheart.export.llama_cpp import LlamaCpp, _candidates, margin_nats


def entry(token_id: int, written: bytes, own: bytes) -> dict:
    """What the engine tells of a token that ended ``written``, of which ``own`` are its own bytes."""
    top = [{"id": token_id, "bytes": list(own), "logprob": -0.5}, {"id": 99, "bytes": [65], "logprob": -2.0}]
    return {"id": token_id, "bytes": list(written), "top_logprobs": top}


def test_tokens_that_are_whole_characters_have_their_own_candidates():
    found = _candidates([7, 8], [entry(7, b"a", b"a"), entry(8, b"b", b"b")])
    assert [sorted(each or ()) for each in found] == [[7, 99], [8, 99]]


def test_nothing_is_known_of_a_token_before_its_character_is_whole():
    found = _candidates([5, 6, 7], [entry(6, "Ł".encode(), b"\x81"), entry(7, b"a", b"a")])
    assert [each is None for each in found] == [True, False, False]


def test_a_character_whose_parts_repeat_has_its_candidates_at_the_last():
    assert [each is None for each in _candidates([1, 2, 9, 9], [entry(9, "😘".encode(), b"\x98")])] == [True] * 3 + [
        False
    ]


def test_probabilities_of_tokens_that_were_not_written_are_an_error():
    with pytest.raises(ModelError, match="probabilities of token 3"):
        _candidates([7], [entry(3, b"a", b"a")])


def test_the_margin_is_to_the_best_other_token():
    assert margin_nats({1: -0.5, 2: -2.0, 3: -1.0}, 1) == 0.5
    assert margin_nats({1: -0.5, 2: -2.0, 3: -1.0}, 3) == -0.5


def test_a_missing_library_is_told_with_the_line_that_installs_it(monkeypatch, tmp_path):
    def missing(name):
        raise ImportError(name)

    monkeypatch.setattr(importlib, "import_module", missing)
    with pytest.raises(ModelError, match=r"pip install 'byheart\[gguf\]'"), LlamaCpp(tmp_path / "base.gguf"):
        pass


def test_a_file_that_it_cannot_load_is_an_error_and_no_crash(tmp_path):
    (tmp_path / "base.gguf").write_text("no model")
    with pytest.raises(ModelError, match=r"llama\.cpp cannot load .*base\.gguf"), LlamaCpp(tmp_path / "base.gguf"):
        pass


def test_a_prompt_longer_than_the_context_is_refused(tiny_gguf):
    with LlamaCpp(tiny_gguf, num_context_tokens=64) as engine, pytest.raises(ModelError, match="exceeds the available"):
        engine.complete([5] * 2000, 4)


def test_the_same_prompt_has_the_same_answer_twice_and_beside_others(tiny_gguf):
    with LlamaCpp(tiny_gguf) as engine:
        first = engine.complete([5, 6, 7], 6)
        engine.complete([5, 6, 8], 6)
        again = engine.complete([5, 6, 7], 6)
    assert first.ids == again.ids
    assert len(first.ids) == 6


def test_prompts_are_not_shown_to_a_proxy(tiny_gguf, monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # where nobody listens
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(urllib.request, "_opener", None)  # it remembers the proxies of its first request
    with LlamaCpp(tiny_gguf) as engine:
        assert len(engine.complete([5, 6, 7], 3).ids) == 3


def test_nobody_else_on_the_machine_is_answered(tiny_gguf):
    with LlamaCpp(tiny_gguf) as engine:
        connection = http.client.HTTPConnection(engine.address, timeout=60)
        connection.request("POST", "/completion", b'{"prompt": [5], "n_predict": 1}')
        assert connection.getresponse().status == 401
        connection.close()


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="needs a process bound to one core")
def test_an_engine_that_is_left_as_soon_as_it_is_entered_ends(tiny_gguf):
    script = """
        import os, sys
        from pathlib import Path
        from byheart.export.llama_cpp import LlamaCpp
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})  # its threads take turns
        for _ in range(20):
            with LlamaCpp(Path(sys.argv[1])):
                pass
    """
    # Of its own: what hangs in a thread of the engine's would take the suite with it.
    subprocess.run([sys.executable, "-c", textwrap.dedent(script), str(tiny_gguf)], check=True, timeout=120)
