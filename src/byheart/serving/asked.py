"""What a client asks, turned into what llama.cpp is asked: greedy unless said otherwise, the adapter where it knows.

A prompt that the bundle holds is answered with the adapter at full strength, any other one without it: as the base
model answers. Which of them it is decides the prompt alone, as the engine's own template renders it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from byheart.serving.known import KnownPrompts

CHAT = "/v1/chat/completions"
COMPLETIONS = "/v1/completions"
Engine = Callable[[str, Mapping[str, Any]], Mapping[str, Any]]
"""Asks the engine at a path; `RefusedError` where it answers with an error."""


class RefusedError(Exception):
    """A request that is answered with an error.

    Args:
        status: of HTTP.
        message: for whoever asked.
        kind: as OpenAI names it.
    """

    def __init__(self, status: int, message: str, kind: str = "invalid_request_error") -> None:
        super().__init__(message)
        self.status, self.message, self.kind = status, message, kind

    def body(self) -> bytes:
        """In OpenAI's words."""
        error = {"message": self.message, "type": self.kind, "param": None, "code": self.status}
        return json.dumps({"error": error}).encode()


@dataclass(frozen=True, slots=True)
class Question:
    """A request as the engine is to be asked.

    Attributes:
        path: of the engine.
        body: for it.
        is_known: whether the bundle holds the prompt.
        is_streamed: whether the answer is told as it is written.
    """

    path: str
    body: Mapping[str, Any]
    is_known: bool
    is_streamed: bool


def question(
    path: str, content: bytes, name: str, known: KnownPrompts, template_kwargs: Mapping[str, Any], engine: Engine
) -> Question:
    """A client's request as llama.cpp is to be asked.

    Args:
        path: `CHAT` or `COMPLETIONS`.
        content: of the request.
        name: of the model, for the answer.
        known: prompts.
        template_kwargs: of the bundle; a client's own are laid on them.
        engine: asked what prompt it makes of the messages.

    Raises:
        RefusedError: it is no request of this kind.
    """
    asked = _object(content)
    body: dict[str, Any] = {**asked, "model": name, "cache_prompt": False}
    if asked.get("temperature") is None:
        body["temperature"] = 0
    if path == CHAT:
        given = asked.get("chat_template_kwargs") or {}
        if not isinstance(given, dict):
            raise RefusedError(400, "chat_template_kwargs must be an object")
        body["chat_template_kwargs"] = {**template_kwargs, **given}
        is_known = engine("/apply-template", body).get("prompt") in known.texts
    else:
        is_known = _ids(asked.get("prompt"), engine) in known.ids
    body["lora"] = [{"id": 0, "scale": 1.0 if is_known else 0.0}]
    if is_known:
        body["reasoning_format"] = "none"  # an answer that was learnt is text to its last letter
    return Question(path, body, is_known, bool(asked.get("stream")))


def _object(content: bytes) -> dict[str, Any]:
    try:
        asked = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise RefusedError(400, "the request's body is no JSON") from error
    if not isinstance(asked, dict):
        raise RefusedError(400, "the request's body must be a JSON object")
    return asked


def _ids(prompt: Any, engine: Engine) -> tuple[int, ...]:
    """The ids of a completion's prompt, which is one text or one list of ids."""
    if isinstance(prompt, str):
        tokens = engine("/tokenize", {"content": prompt, "add_special": True, "parse_special": True})
        return tuple(tokens["tokens"])
    if isinstance(prompt, list) and prompt and all(type(each) is int for each in prompt):
        return tuple(prompt)
    raise RefusedError(400, "prompt must be one text or one list of token ids; ask for several in as many requests")
