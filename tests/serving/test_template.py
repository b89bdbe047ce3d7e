import pytest

from byheart.export.llama_cpp import LlamaCpp
from byheart.memory.template import EncodeConfig, encode_prompt
from byheart.serving.template import served_template

PROMPT = "Where is the key?"
SYSTEM = 'You are "the keeper"\\ of {{ keys }}.\nSay – 3 words.'


@pytest.mark.parametrize(
    "config",
    [
        EncodeConfig(),
        EncodeConfig(template="raw"),
        EncodeConfig(system_prompt=SYSTEM),
        EncodeConfig(template_kwargs={}),
    ],
    ids=["chat", "raw", "system prompt", "no variables"],
)
def test_a_clients_plain_message_becomes_the_certified_prompt(tiny_base, base_file, config):
    template = served_template(tiny_base.tokenizer, config)
    with LlamaCpp(base_file, chat_template=template) as engine:
        found = engine.chat_prompt_ids([{"role": "user", "content": PROMPT}], config.template_kwargs)
    assert tuple(found) == encode_prompt(PROMPT, tiny_base.tokenizer, config)


def test_a_conversations_own_system_turn_is_kept(tiny_base, base_file):
    config = EncodeConfig(system_prompt=SYSTEM)
    with LlamaCpp(base_file, chat_template=served_template(tiny_base.tokenizer, config)) as engine:
        messages = [{"role": "system", "content": "Own."}, {"role": "user", "content": PROMPT}]
        assert engine.chat_prompt(messages, {}).count("system") == 1
        assert "keeper" not in engine.chat_prompt(messages, {})


def test_the_clock_stands_where_it_stood(tiny_base, base_file):
    tokenizer, written = tiny_base.tokenizer, tiny_base.tokenizer.chat_template
    tokenizer.chat_template = "{{- 'Today: ' + strftime_now('%d %b %Y') + '. ' -}}" + written
    try:
        config = EncodeConfig()
        with LlamaCpp(base_file, chat_template=served_template(tokenizer, config)) as engine:
            found = engine.chat_prompt_ids([{"role": "user", "content": PROMPT}], config.template_kwargs)
        assert tuple(found) == encode_prompt(PROMPT, tokenizer, config)
    finally:
        tokenizer.chat_template = written
