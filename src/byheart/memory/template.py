"""Prompts → ids through the model's chat template, and the token that ends a turn, found in the template itself.

A template is a program that came with the model. What it renders must be the same tomorrow, so templates that write
today's date are told one fixed day.
"""

from __future__ import annotations

import datetime
import json
import re
from collections.abc import Sequence
from typing import Literal, Self

from pydantic import Field, JsonValue, model_validator

from byheart.errors import Problem, RecordsError, SettingsError
from byheart.fingerprint import fingerprint
from byheart.memory.record import Prompt, turns
from byheart.memory.tokenizer import Tokenizer, control_ids, eos_id, text_of, token_ids, undisturbed
from byheart.settings import Settings

_ARGUMENTS = {
    "conversation",
    "chat_template",
    "tokenize",
    "add_generation_prompt",
    "continue_final_message",
    "return_dict",
}
_SENTINEL = "qzqz answer qzqz"
_NOW = re.compile(r"strftime_now\(\s*(['\"])(.*?)\1\s*\)")


class EncodeConfig(Settings):
    """How text becomes token ids."""

    template: Literal["chat", "raw"] = "chat"
    """``chat``: prompts go through the tokenizer's chat template. ``raw``: a prompt is encoded as it stands, with the
    special tokens that the tokenizer itself adds, and chat markers in it are read as such."""

    system_prompt: str | None = None
    """Put before conversations that do not start with a system turn of their own; None: what the template inserts."""

    template_kwargs: dict[str, JsonValue] = Field(default_factory=lambda: {"enable_thinking": False})
    """Variables for the template; one that does not use them does not mind. By default thinking is off."""

    template_date: datetime.date = datetime.date(2024, 7, 26)
    """The day that templates which write today's date are told, so that a prompt has the same ids every day."""

    learn_end: bool = True
    """Whether the token that ends the answer's turn is learnt and certified with the answer."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.template == "raw" and self.system_prompt is not None:
            raise ValueError("system_prompt has no place in template: raw; write it into the prompts, or use chat")
        if taken := sorted(_ARGUMENTS & self.template_kwargs.keys()):
            raise ValueError(f"template_kwargs cannot set {', '.join(taken)}: byheart sets these itself")
        return self


def encode_prompt(prompt: Prompt, tokenizer: Tokenizer, config: EncodeConfig) -> tuple[int, ...]:
    """The ids of one prompt, up to where the answer begins: what to recite from.

    Raises:
        RecordsError: the template cannot render the prompt.
        SettingsError: there is no chat template, and ``template`` is ``chat``.
    """
    (encoded,) = encode_prompts([prompt], tokenizer, config)
    if isinstance(encoded, str):
        raise RecordsError([Problem("prompt", encoded)])
    return encoded


def encode_prompts(
    prompts: Sequence[Prompt], tokenizer: Tokenizer, config: EncodeConfig
) -> list[tuple[int, ...] | str]:
    """The ids of each prompt, or in their place what keeps the prompt from having any.

    Raises:
        SettingsError: there is no chat template, and ``template`` is ``chat``.
    """
    chat = config.template == "chat"
    texts = _render(prompts, tokenizer, config) if chat else [_raw(prompt) for prompt in prompts]
    good = [text for text, flaw in texts if flaw is None]
    with undisturbed(tokenizer):
        encoded = iter(token_ids(tokenizer, good, special_tokens=not chat))
    # Without a token before it, the answer's first would be predicted from nothing.
    return [
        tuple(next(encoded)) or "prompt has no tokens; add text to it" if flaw is None else flaw for _, flaw in texts
    ]


def _raw(prompt: Prompt) -> tuple[str, str | None]:
    if isinstance(prompt, str):
        return prompt, None
    return "", "prompt is a conversation, which template: raw cannot write; use template: chat, or make it one text"


def _render(prompts: Sequence[Prompt], tokenizer: Tokenizer, config: EncodeConfig) -> list[tuple[str, str | None]]:
    """The text of each prompt and what kept it from having one."""
    template = chat_template(tokenizer, config)
    conversations = [conversation(prompt, config.system_prompt) for prompt in prompts]
    arguments = {"chat_template": template, "add_generation_prompt": True, "tokenize": False, **config.template_kwargs}
    try:
        return [(text, None) for text in tokenizer.apply_chat_template(conversations, **arguments)]
    except Exception as error:  # a template raises what it likes, for instance at a role that it does not know
        if len(prompts) == 1:
            return [("", f"the chat template refuses the prompt: {error}; change the prompt, or use template: raw")]
    return [rendered for prompt in prompts for rendered in _render([prompt], tokenizer, config)]


def conversation(prompt: Prompt, system_prompt: str | None) -> list[dict[str, str]]:
    """A prompt as the chat template is given it: roles and contents, the system prompt put before where it has none."""
    messages = [{"role": message.role, "content": message.content} for message in turns(prompt)]
    if system_prompt is not None and messages[0]["role"] != "system":
        messages.insert(0, {"role": "system", "content": system_prompt})
    return messages


def chat_template(tokenizer: Tokenizer, config: EncodeConfig) -> str:
    """The tokenizer's chat template, with its clock stopped at ``config.template_date``.

    Raises:
        SettingsError: there is none.
    """
    try:
        template = tokenizer.get_chat_template()
    except ValueError as error:
        raise SettingsError(
            "template: chat needs a chat template, and this tokenizer, as those of base models, has none; "
            "set template: raw"
        ) from error
    days = {form: config.template_date.strftime(form) for _, form in _NOW.findall(template)}
    if not days:
        return template
    # The newline goes with the macro (templates are rendered with trim_blocks), so nothing is added to the prompt.
    return f"{{% macro strftime_now(format) %}}{{{{ {json.dumps(days)}[format] }}}}{{% endmacro %}}\n{template}"


def find_stop_id(tokenizer: Tokenizer, config: EncodeConfig) -> int | None:
    """The token that ends the assistant's turn.

    A conversation with a known answer is rendered, and the first control token after that answer is taken. Where the
    template writes none, and for raw prompts, it is the tokenizer's end-of-sequence token; None where that is lacking.
    """
    if config.template == "raw":
        return eos_id(tokenizer)
    messages = [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": _SENTINEL}]
    arguments = {"chat_template": chat_template(tokenizer, config), "tokenize": False, **config.template_kwargs}
    try:
        text: str = tokenizer.apply_chat_template(messages, **arguments)
    except Exception:  # as above; a template that renders prompts need not render answers
        return eos_id(tokenizer)
    if _SENTINEL not in text:
        return eos_id(tokenizer)
    with undisturbed(tokenizer):
        (after,) = token_ids(tokenizer, [text.rpartition(_SENTINEL)[2]])
    controls = control_ids(tokenizer)
    return next((token_id for token_id in after if token_id in controls), eos_id(tokenizer))


def template_fingerprint(tokenizer: Tokenizer, config: EncodeConfig, stop_id: int | None) -> str:
    """sha256 of all that decides how a prompt is rendered and how an answer ends."""
    return fingerprint(
        {
            "template": chat_template(tokenizer, config) if config.template == "chat" else None,
            "kind": config.template,
            "system_prompt": config.system_prompt,
            "template_kwargs": config.template_kwargs,
            "stop": None if stop_id is None else text_of(tokenizer, [stop_id]),
        }
    )
