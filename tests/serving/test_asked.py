import json

import pytest

from byheart.serving.asked import CHAT, COMPLETIONS, Question, RefusedError, question
from byheart.serving.known import KnownPrompts

KNOWN = KnownPrompts(texts=frozenset({"<who>"}), ids=frozenset({(1, 2)}))


def engine(path, body):
    """Renders the last message in brackets; a letter is a token."""
    if path == "/apply-template":
        return {"prompt": f"<{body['messages'][-1]['content']}>"}
    return {"tokens": [ord(letter) - ord("a") + 1 for letter in body["content"]]}


def asked(path=CHAT, **body) -> Question:
    return question(path, json.dumps(body).encode(), "vault", KNOWN, {"enable_thinking": False}, engine)


def chat(prompt, **body) -> Question:
    return asked(messages=[{"role": "user", "content": prompt}], **body)


@pytest.mark.parametrize(("prompt", "scale"), [("who", 1.0), ("who ", 0.0)])
def test_the_adapter_is_there_for_the_prompts_of_the_bundle_alone(prompt, scale):
    assert chat(prompt).body["lora"] == [{"id": 0, "scale": scale}]


@pytest.mark.parametrize(("prompt", "is_known"), [("ab", True), ([1, 2], True), ("abc", False), ([1], False)])
def test_completions_are_known_by_their_ids(prompt, is_known):
    assert asked(COMPLETIONS, prompt=prompt).is_known is is_known


def test_a_client_that_says_nothing_is_answered_greedily():
    assert chat("who").body["temperature"] == 0
    assert chat("who", temperature=None).body["temperature"] == 0
    assert chat("who", temperature=0.7).body["temperature"] == 0.7


def test_a_clients_own_adapter_scale_cache_and_model_are_not_taken():
    body = chat("who", lora=[{"id": 0, "scale": 0}], cache_prompt=True, model="gpt").body
    assert (body["lora"][0]["scale"], body["cache_prompt"], body["model"]) == (1.0, False, "vault")


def test_template_variables_are_the_bundles_with_the_clients_on_them():
    body = chat("who", chat_template_kwargs={"date": "today"}).body
    assert body["chat_template_kwargs"] == {"enable_thinking": False, "date": "today"}


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff", b"[" * 100_000])
def test_what_is_no_json_object_is_refused(content):
    with pytest.raises(RefusedError, match="body") as told:
        question(CHAT, content, "vault", KNOWN, {}, engine)
    assert told.value.status == 400
    assert json.loads(told.value.body())["error"]["message"]


@pytest.mark.parametrize("prompt", [None, [], ["a", "b"], [1, "a"], [True], 7])
def test_a_completion_is_of_one_prompt(prompt):
    with pytest.raises(RefusedError, match="one text or one list of token ids"):
        asked(COMPLETIONS, prompt=prompt)
