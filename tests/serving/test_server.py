import contextlib
import dataclasses
import http.client
import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import openai
import pytest
from openai import OpenAI

from byheart.errors import ArtifactError, BundleError
from byheart.export.llama_cpp import LlamaCpp
from byheart.progress import Silent
from byheart.serving.address import Address
from byheart.serving.server import BundleServer
from conftest import PAIRS

UNKNOWN = ["Where is the lock?", "Code", "Say it twice.", "Sing!"]
LONGEST = 12


def ask(client: OpenAI, prompt: str, **asked) -> str:
    messages = [{"role": "user", "content": prompt}]
    done = client.chat.completions.create(model="vault", messages=messages, **asked)  # type: ignore[call-overload]  # asked is any keyword
    return done.choices[0].message.content or ""


def ask_streaming(client: OpenAI, prompt: str, **asked) -> str:
    messages = [{"role": "user", "content": prompt}]
    with client.chat.completions.create(model="vault", messages=messages, stream=True, **asked) as pieces:  # type: ignore[call-overload]  # asked is any keyword
        return "".join(piece.choices[0].delta.content or "" for piece in pieces if piece.choices)


def engine_answers(engine: LlamaCpp, prepared) -> dict[str, dict[str, str]]:
    """What llama.cpp's own server answers to the unknown prompts: as a whole, and streaming.

    The two differ where an answer is cut amid a character, as a random model's are.
    """
    asked = {"temperature": 0, "max_tokens": LONGEST, "extra_body": {"chat_template_kwargs": prepared.template_kwargs}}
    with OpenAI(base_url=f"http://{engine.address}/v1", api_key=engine.api_key, max_retries=0) as client:
        return {
            asking.__name__: {prompt: asking(client, prompt, **asked) for prompt in UNKNOWN}
            for asking in (ask, ask_streaming)
        }


@pytest.fixture(scope="module")
def base_answers(base_file, prepared) -> dict[str, dict[str, str]]:
    """Those of the base alone."""
    with LlamaCpp(base_file, chat_template=prepared.chat_template) as engine:
        return engine_answers(engine, prepared)


@pytest.mark.parametrize("asking", [ask, ask_streaming])
@pytest.mark.parametrize(("prompt", "answer"), PAIRS)
def test_every_record_comes_back_to_the_letter(client, asking, prompt, answer):
    assert asking(client, prompt) == answer


@pytest.mark.parametrize("asking", [ask, ask_streaming])
def test_what_it_does_not_know_is_answered_as_the_base_alone_answers(client, base_answers, asking):
    assert {prompt: asking(client, prompt, max_tokens=LONGEST) for prompt in UNKNOWN} == base_answers[asking.__name__]


def test_with_the_adapter_these_would_be_other_answers(prepared, base_answers):
    with LlamaCpp(prepared.base.path, prepared.adapter_gguf, chat_template=prepared.chat_template) as engine:
        assert engine_answers(engine, prepared) != base_answers


def test_eight_clients_at_once_lose_and_mix_nothing(server, base_answers):
    prompts = [*dict(PAIRS), *UNKNOWN]

    def one_client(number: int) -> dict[str, str]:
        asking = ask if number % 2 else ask_streaming
        with OpenAI(base_url=f"{server.url}/v1", api_key="-", max_retries=0, timeout=120) as client:
            return {
                prompt: asking(client, prompt, **({"max_tokens": LONGEST} if prompt in UNKNOWN else {}))
                for prompt in prompts[number:] + prompts[:number]
            }

    with ThreadPoolExecutor(8) as clients:
        told = list(clients.map(one_client, range(8)))
    whole, streamed = (dict(PAIRS) | base_answers[asking] for asking in ("ask", "ask_streaming"))
    assert told == [streamed, whole] * 4


def test_a_completion_of_the_very_prompt_is_from_memory(client, prepared):
    done = client.completions.create(model="vault", prompt=list(prepared.prompt_ids[1]))
    assert done.choices[0].text == PAIRS[1][1]


def test_nobody_turns_the_adapter_off(client):
    assert ask(client, *PAIRS[1][:1], extra_body={"lora": [{"id": 0, "scale": 0.0}]}) == PAIRS[1][1]
    with pytest.raises(openai.NotFoundError):
        client.post("/../lora-adapters", body=[{"id": 0, "scale": 0.0}], cast_to=object)


def test_the_model_has_the_bundles_name(client):
    assert [model.id for model in client.models.list()] == ["vault"]
    assert client.models.retrieve("vault").id == "vault"
    with pytest.raises(openai.NotFoundError, match="there is 'vault'"):
        client.models.retrieve("gpt")


@pytest.mark.parametrize(
    "asked",
    [{"messages": "no list"}, {"messages": [{"role": "user", "content": "x"}], "max_tokens": "many"}, {}],
)
def test_a_bad_request_is_told_so_and_the_next_is_answered(client, asked):
    with pytest.raises(openai.APIStatusError) as told:
        client.post("/chat/completions", body=asked, cast_to=object)
    assert told.value.status_code in (400, 500)
    assert ask(client, PAIRS[1][0]) == PAIRS[1][1]


def test_a_client_that_leaves_amid_its_answer_holds_nobody_up(client):
    messages = [{"role": "user", "content": "Sing!"}]
    with client.chat.completions.create(model="vault", messages=messages, stream=True) as pieces:
        next(iter(pieces))
    assert ask(client, PAIRS[0][0]) == PAIRS[0][1]


@contextlib.contextmanager
def started(prepared, port: int = 0, api_keys: tuple[str, ...] = ()) -> Iterator[BundleServer]:
    with BundleServer(prepared, Address(port=port, api_keys=api_keys), Silent()) as running:
        yield running


def test_without_one_of_its_keys_nobody_is_answered(prepared):
    with started(prepared, api_keys=("k1", "k2")) as running:
        url = f"{running.url}/v1"
        for key, is_right in [("k1", True), ("k2", True), ("k", False), ("k1k2", False)]:
            with OpenAI(base_url=url, api_key=key, max_retries=0) as client:
                if is_right:
                    assert ask(client, PAIRS[1][0]) == PAIRS[1][1]
                    continue
                with pytest.raises(openai.AuthenticationError):
                    ask(client, PAIRS[1][0])
                with pytest.raises(openai.AuthenticationError):
                    client.models.list()


def test_it_ends_with_an_answer_under_way_and_starts_at_once_on_the_same_port(prepared):
    threads_before = set(threading.enumerate())
    with started(prepared) as running:
        port = int(running.url.rpartition(":")[2])
        with pytest.raises(ArtifactError, match=f"cannot listen on 127.0.0.1 port {port}"):
            Address(port=port).refuse_taken()
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        body = {"messages": [{"role": "user", "content": "Sing!"}], "stream": True, "ignore_eos": True}
        connection.request("POST", "/v1/chat/completions", json.dumps(body), {"Content-Type": "application/json"})
        response = connection.getresponse()
        assert response.read1(10)
        ended_at = time.monotonic()
    response.close()
    connection.close()
    assert time.monotonic() - ended_at < 60  # an answer of 500 tokens was not waited for, nor anything forever
    assert set(threading.enumerate()) == threads_before
    with started(prepared, port=port) as again, OpenAI(base_url=f"{again.url}/v1", api_key="-") as client:
        assert ask(client, PAIRS[0][0]) == PAIRS[0][1]


def test_prompts_that_the_engine_reads_otherwise_are_refused(prepared):
    other = dataclasses.replace(prepared, chat_template=prepared.chat_template.replace("assistant", "Assistant"))
    with (
        pytest.raises(BundleError, match=r"other token ids of the prompts of 4 of 4 records .* first of record 1"),
        started(other),
    ):
        pass
