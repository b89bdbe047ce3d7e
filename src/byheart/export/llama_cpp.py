"""llama.cpp at work in this process: a base in GGUF, an adapter in front of it, asked greedily.

Knows neither bundles nor certificates: token ids in, token ids and their logits' differences out. What the engine
writes to stderr are errors alone.
"""

from __future__ import annotations

import http.client
import importlib
import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from byheart.errors import ModelError

NAME = "llama.cpp"
INSTALL = "pip install 'byheart[gguf]'"
_ERRORS_ONLY = 1
_LONGEST_ANSWER_SECONDS = 3600


@dataclass(frozen=True, slots=True)
class Run:
    """A greedy answer of the engine's.

    Attributes:
        ids: of the tokens it chose, the one that ends the turn included.
        candidates: for each one the natural logarithms of the best tokens' probabilities, by id, its own among them;
            None for tokens that are a part of a character and not its last, of which the engine tells nothing.
        text: as the engine wrote it.
    """

    ids: tuple[int, ...]
    candidates: tuple[Mapping[int, float] | None, ...]
    text: str


def xllamacpp() -> Any:
    """The library that carries llama.cpp.

    Raises:
        ModelError: it is not installed.
    """
    try:
        return importlib.import_module("xllamacpp")
    except ImportError as error:
        raise ModelError(f"llama.cpp is run by the xllamacpp library; install it by: {INSTALL}") from error


def engine_version() -> str:
    """What runs llama.cpp, and in which version."""
    xllamacpp()
    return f"xllamacpp {version('xllamacpp')}"


class LlamaCpp:
    """A base with an adapter, loaded within a ``with`` block; one request at a time.

    Args:
        base_gguf: the base model.
        adapter_gguf: the adapter, at full strength; None: the base alone.
        num_context_tokens: the longest prompt and answer together, tokens.
        num_threads: of the processor.
        chat_template: in place of the base file's own; None: that one.
        name: of the model in answers; None: the base file's path.

    Attributes:
        api_key: what whoever asks its server has to show; drawn anew, so that nobody else on this machine does.

    Example:
        >>> with LlamaCpp(Path("base.gguf"), Path("adapter.gguf")) as engine:     # doctest: +SKIP
        ...     engine.complete([1, 4093, 198], max_new_tokens=12).text
    """

    def __init__(
        self,
        base_gguf: Path,
        adapter_gguf: Path | None = None,
        *,
        num_context_tokens: int = 4096,
        num_threads: int = 1,
        chat_template: str | None = None,
        name: str | None = None,
    ) -> None:
        self._base_gguf, self._adapter_gguf = base_gguf, adapter_gguf
        self._num_context_tokens, self._num_threads = num_context_tokens, num_threads
        self._chat_template, self._name = chat_template, name
        self.api_key = secrets.token_urlsafe(32)
        self._server: Any = None

    def __enter__(self) -> Self:
        library = xllamacpp()
        params = library.CommonParams()
        params.model.path = str(self._base_gguf)
        params.n_ctx, params.n_parallel = self._num_context_tokens, 1
        params.cpuparams.n_threads = params.cpuparams_batch.n_threads = self._num_threads
        # What is asked for is what is loaded: no context shrunk to fit, no older part of a prompt shifted out.
        params.fit_params = params.ctx_shift = params.warmup = False
        params.verbosity = _ERRORS_ONLY
        # Nobody else is shown what is being asked, and nothing asked before takes part in an answer.
        params.ui = params.endpoint_slots = params.cache_idle_slots = False
        params.cache_ram_mib = 0
        if self._chat_template is not None:
            params.chat_template = self._chat_template
        if self._name is not None:
            params.model_alias = {self._name}
        params.api_keys = [self.api_key]
        if self._adapter_gguf is not None:
            adapter = library.CommonAdapterLoraInfo()
            adapter.path, adapter.scale = str(self._adapter_gguf), 1.0
            params.lora_adapters = [adapter]
        try:
            self._server = library.Server(params)
        except RuntimeError as error:
            what = f"{self._base_gguf}" + (f" with {self._adapter_gguf}" if self._adapter_gguf else "")
            raise ModelError(
                f"llama.cpp cannot load {what}: what it wrote above says why; give another base with --base-gguf"
            ) from error
        # Its loop answers this: told to end before it has begun, it would begin after that and never end.
        self._ask("/lora-adapters")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._server = None  # its end stops its threads and frees the model

    @property
    def address(self) -> str:
        """Where its server listens, and to this machine alone: ``127.0.0.1`` and a port."""
        return self._server.listening_address.removeprefix("http://")

    def complete(self, prompt_ids: Sequence[int], max_new_tokens: int, num_rivals: int = 1) -> Run:
        """The greedy continuation of token ids.

        Args:
            prompt_ids: taken as they are.
            max_new_tokens: where it is cut, should the turn not end before.
            num_rivals: tokens beside the chosen one whose logits are looked at.

        Raises:
            ModelError: the engine refuses, for instance since the prompt is longer than its context.
        """
        request = {"prompt": list(prompt_ids), "n_predict": max_new_tokens, "temperature": 0, "return_tokens": True}
        answer = self._post("/completion", {**request, "n_probs": num_rivals + 1})
        ids = tuple(answer["tokens"])
        return Run(ids, _candidates(ids, answer.get("completion_probabilities") or []), answer["content"])

    def chat(self, messages: Sequence[Mapping[str, str]], max_new_tokens: int, variables: Mapping[str, Any]) -> str:
        """The text of the greedy answer to a conversation, through the engine's own chat template.

        Args:
            messages: roles and contents, the last one the user's.
            max_new_tokens: as for `complete`.
            variables: for the template.

        Raises:
            ModelError: the engine refuses.
        """
        request = {"messages": list(messages), "chat_template_kwargs": dict(variables), "temperature": 0}
        answer = self._post("/v1/chat/completions", {**request, "max_tokens": max_new_tokens})
        return answer["choices"][0]["message"].get("content") or ""

    def chat_prompt_ids(self, messages: Sequence[Mapping[str, str]], variables: Mapping[str, Any]) -> list[int]:
        """What the engine's own chat template makes of a conversation, in its own tokenizer's ids.

        Raises:
            ModelError: the template refuses the conversation.
        """
        return self.prompt_ids(self.chat_prompt(messages, variables))

    def chat_prompt(self, messages: Sequence[Mapping[str, str]], variables: Mapping[str, Any]) -> str:
        """The text that the engine's own chat template makes of a conversation.

        Raises:
            ModelError: the template refuses the conversation.
        """
        request = {"messages": list(messages), "chat_template_kwargs": dict(variables)}
        return self._post("/apply-template", request)["prompt"]

    def prompt_ids(self, text: str) -> list[int]:
        """The ids of a prompt's text in the engine's tokenizer, with the tokens that it adds by itself and markers read
        as such.
        """
        return self._post("/tokenize", {"content": text, "add_special": True, "parse_special": True})["tokens"]

    def _post(self, path: str, request: Mapping[str, Any]) -> dict[str, Any]:
        return self._ask(path, "POST", json.dumps(request).encode())

    def _ask(self, path: str, verb: str = "GET", body: bytes | None = None) -> Any:
        """Asks the engine's server: straight, since a proxy of the user's would be shown prompts and answers."""
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {self.api_key}"}
        connection = http.client.HTTPConnection(self.address, timeout=_LONGEST_ANSWER_SECONDS)
        try:
            connection.request(verb, path, body, headers)
            response = connection.getresponse()
            answer = json.load(response)
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise ModelError(f"llama.cpp does not answer {path}: {error}") from error
        finally:
            connection.close()
        if response.status != http.HTTPStatus.OK:
            raise ModelError(f"llama.cpp refuses {path}: {_reason(answer)}")
        return answer


def _reason(answer: Any) -> str:
    try:
        return answer["error"]["message"]
    except (LookupError, TypeError):
        return "it gives no reason"


def _candidates(ids: Sequence[int], entries: Sequence[Mapping[str, Any]]) -> tuple[Mapping[int, float] | None, ...]:
    """The engine's logprobs, token by token.

    It tells them once a character is whole, with the last of the tokens that made it: the entry has the bytes of all of
    them, and nothing is told of those before.
    """
    found: list[Mapping[int, float] | None] = [None] * len(ids)
    at = 0
    for entry in entries:
        own = next((rival["bytes"] for rival in entry["top_logprobs"] if rival["id"] == entry["id"]), entry["bytes"])
        num_before = max(len(entry["bytes"]) - len(own), 0)  # bytes of earlier tokens, of at least one byte each
        places = [place for place in range(at, min(at + num_before + 1, len(ids))) if ids[place] == entry["id"]]
        if not places:
            raise ModelError(f"llama.cpp tells probabilities of token {entry['id']}, which is not where it wrote one")
        found[places[-1]] = {rival["id"]: rival["logprob"] for rival in entry["top_logprobs"]}
        at = places[-1] + 1
    return tuple(found)


def margin_nats(candidates: Mapping[int, float], token_id: int) -> float:
    """A token's logit less the best other one's; both probabilities have the same divisor, so that their logarithms
    differ as the logits do.

    >>> margin_nats({7: -0.25, 9: -1.75}, 9)
    -1.5
    """
    return candidates[token_id] - max(logprob for other, logprob in candidates.items() if other != token_id)
