"""The chat template that llama.cpp is given: such that a client's plain messages become the certified prompt."""

from __future__ import annotations

import json

from byheart.memory.template import EncodeConfig, chat_template
from byheart.memory.tokenizer import Tokenizer

_AS_IT_STANDS = "{%- for message in messages -%}{{- message['content'] -}}{%- endfor -%}"
"""Of ``template: raw``: the prompt and nothing else."""

_THINKING, _NOWHERE_DEFINED = "enable_thinking", "byheart_defines_no_such_name"
"""A variable that llama.cpp always has a value for, and transformers only where one is given."""


def served_template(tokenizer: Tokenizer, config: EncodeConfig) -> str:
    """The template that was certified, as the engine is to render it.

    Its clock stands where it stood; the system prompt that was set is put before conversations without one, which
    byheart does outside of the template. ``template: raw`` becomes a template of contents alone.

    Args:
        tokenizer: of the base model.
        config: how the bundle's prompts became ids.

    Raises:
        SettingsError: there is no chat template, and ``config`` wants one.

    Example:
        >>> served_template(bundle.base.tokenizer, EncodeConfig(template="raw"))     # doctest: +SKIP
    """
    if config.template == "raw":
        return _AS_IT_STANDS
    template = chat_template(tokenizer, config)
    if _THINKING not in config.template_kwargs:
        template = f"{{%- set {_THINKING} = {_NOWHERE_DEFINED} -%}}{template}"
    if config.system_prompt is None:
        return template
    said = json.dumps(config.system_prompt, ensure_ascii=False)
    return (
        "{%- if messages[0]['role'] != 'system' -%}"
        f"{{%- set messages = [{{'role': 'system', 'content': {said}}}] + messages -%}}"
        "{%- endif -%}"
        f"{template}"
    )
