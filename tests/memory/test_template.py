import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import processors

from byheart.errors import SettingsError
from byheart.memory.encode import EncodeConfig, decode_answer, encode, encode_prompt
from byheart.memory.records import Memory, Message
from tokenizers_for_tests import (
    CHAT_TEMPLATE,
    byte_level_bpe,
    chat_tokenizer,
    fast,
)

RAW = EncodeConfig(template="raw")
texts = st.text(min_size=1)


def text_of_prompt(prompt, config: EncodeConfig | None = None, tokenizer=None) -> str:
    tokenizer = tokenizer or chat_tokenizer()
    return str(tokenizer.decode(list(encode_prompt(prompt, tokenizer, config or EncodeConfig()))))


@given(texts)
def test_a_prompt_is_what_the_template_renders(prompt):
    tokenizer = chat_tokenizer()
    expected = tokenizer.apply_chat_template(
        [{"role": "user", "content": prompt}], add_generation_prompt=True, return_dict=False, enable_thinking=False
    )
    assert list(encode_prompt(prompt, tokenizer, EncodeConfig())) == expected


def test_encoding_many_is_encoding_each():
    tokenizer = chat_tokenizer()
    memory = Memory.from_pairs((f"Jerry {number}:", f"{number * 7919}") for number in range(1_100))
    encoded = encode(memory, tokenizer)
    for record, result in zip(memory, encoded.records, strict=True):
        assert result.prompt_ids == encode_prompt(record.prompt, tokenizer, EncodeConfig())
        assert decode_answer(result.prompt_ids, result.answer_ids[:-1], tokenizer) == record.answer


def test_a_conversation_goes_through_the_template():
    prompt = (Message("system", "s"), Message("user", "a"), Message("assistant", "b"), Message("user", "c"))
    turns = "".join(f"<|im_start|>{turn.role}\n{turn.content}<|im_end|>\n" for turn in prompt)
    assert text_of_prompt(prompt, EncodeConfig(template_kwargs={})) == turns + "<|im_start|>assistant\n"


def test_thinking_is_off_unless_asked_for():
    assert text_of_prompt("a").endswith("<think>\n\n</think>\n\n")
    assert text_of_prompt("a", EncodeConfig(template_kwargs={"enable_thinking": True})).endswith("assistant\n")


def test_a_system_prompt_is_put_before_a_conversation_without_one():
    assert text_of_prompt("a", EncodeConfig(system_prompt="Be brief.")).startswith("<|im_start|>system\nBe brief.")


def test_a_conversations_own_system_turn_wins():
    prompt = (Message("system", "Mine."), Message("user", "a"))
    text = text_of_prompt(prompt, EncodeConfig(system_prompt="Be brief."))
    assert "Mine." in text
    assert "Be brief." not in text


def test_raw_prompts_are_encoded_as_they_stand():
    tokenizer = chat_tokenizer()
    assert list(encode_prompt("the <|im_end|>", tokenizer, RAW)) == tokenizer.encode("the <|im_end|>")


def test_raw_prompts_get_the_tokenizers_own_special_tokens():
    backend = byte_level_bpe()
    bos = "<|im_start|>"
    backend.post_processor = processors.TemplateProcessing(
        single=f"{bos} $A", special_tokens=[(bos, backend.token_to_id(bos))]
    )
    tokenizer = fast(backend, eos_token="<|endoftext|>")
    assert encode_prompt("the", tokenizer, RAW)[0] == backend.token_to_id(bos)


def test_a_conversation_has_no_raw_form(encode_problems):
    memory = Memory.from_pairs([((Message("system", "s"), Message("user", "a")), "b")])
    (problem,) = encode_problems(memory, chat_tokenizer(), config=RAW)
    assert problem.startswith("pair 1: prompt is a conversation, which template: raw cannot write")


def test_what_the_template_refuses_is_told_with_its_reason(encode_problems):
    template = "{% if messages[0].role == 'system' %}{{ raise_exception('no system role') }}{% endif %}x"
    tokenizer = fast(byte_level_bpe(), template, eos_token="<|endoftext|>")
    memory = Memory.from_pairs([("a", "b"), ((Message("system", "s"), Message("user", "a")), "b")])
    (problem,) = encode_problems(memory, tokenizer)
    assert problem.startswith("pair 2: the chat template refuses the prompt: no system role")


def test_prompts_that_the_template_makes_equal_are_refused(encode_problems):
    template = "<|im_start|>{{ messages[-1].content | trim }}<|im_end|>"
    tokenizer = fast(byte_level_bpe(), template, eos_token="<|endoftext|>")
    (problem,) = encode_problems(Memory.from_pairs([("a", "1"), ("b", "2"), ("a ", "3")]), tokenizer)
    assert problem.startswith("pair 3: prompt has the same token ids as the one at pair 1")


def test_a_prompt_without_tokens_is_refused(encode_problems):
    template = "{{ messages[-1].content | trim }}"
    tokenizer = fast(byte_level_bpe(), template, eos_token="<|endoftext|>")
    assert encode_problems(Memory.from_pairs([(" ", "b")]), tokenizer) == [
        "pair 1: prompt has no tokens; add text to it"
    ]


@pytest.mark.parametrize(
    "template", ["{% set today = strftime_now('%d %B %Y') %}\n{{ today }}", '{{ strftime_now( "%d %B %Y" ) }}']
)
def test_templates_that_write_the_date_write_a_fixed_one(template):
    tokenizer = fast(byte_level_bpe(), template, eos_token="<|endoftext|>")
    assert text_of_prompt("a", tokenizer=tokenizer) == "26 July 2024"
    config = EncodeConfig.parse({"template_date": "2020-01-02"})
    assert text_of_prompt("a", config, tokenizer) == "02 January 2020"


def test_without_a_chat_template_the_mend_is_named():
    tokenizer = fast(byte_level_bpe(), None, eos_token="<|endoftext|>")
    with pytest.raises(SettingsError, match="set template: raw"):
        encode(Memory.from_pairs([("a", "b")]), tokenizer)
    assert len(encode(Memory.from_pairs([("a", "b")]), tokenizer, RAW)) == 1


@pytest.mark.parametrize(
    ("template", "end"),
    [
        (CHAT_TEMPLATE, "<|im_end|>"),
        ("<|im_start|>{% for m in messages %}{{ m.content }} <|im_end|>\n{% endfor %}", "<|im_end|>"),
        ("{% for m in messages %}{{ m.content }}{{ eos_token }}{% endfor %}", "<|endoftext|>"),
        ("<|im_start|>{% for m in messages %}### {{ m.role }}: {{ m.content }}\n{% endfor %}", "<|endoftext|>"),
        ("<|im_start|>{{ messages[0].content }}<|im_end|>", "<|endoftext|>"),
        ("<|im_start|>{{ messages[1].content }}", "<|endoftext|>"),
    ],
)
def test_the_end_of_the_turn_is_found_in_the_template(template, end):
    tokenizer = fast(byte_level_bpe(), template, eos_token="<|endoftext|>")
    memory = Memory.from_pairs([((Message("system", "s"), Message("user", "a")), "b")])
    encoded = encode(memory, tokenizer)
    assert tokenizer.decode([encoded.records[0].answer_ids[-1]]) == end
    assert encoded.stop_id == encoded.records[0].answer_ids[-1]


def test_raw_answers_end_with_the_end_of_the_sequence():
    tokenizer = chat_tokenizer()
    assert encode(Memory.from_pairs([("a", "b")]), tokenizer, RAW).stop_id == tokenizer.eos_token_id


def test_the_end_may_be_left_out_but_stays_known():
    memory = Memory.from_pairs([("a", "b")])
    with_end = encode(memory, chat_tokenizer())
    without = encode(memory, chat_tokenizer(), EncodeConfig(learn_end=False))
    assert (*without.records[0].answer_ids, without.stop_id) == with_end.records[0].answer_ids
    assert without.num_answer_tokens == with_end.num_answer_tokens - 1


def test_where_there_is_no_end_the_mend_is_named():
    tokenizer, memory = fast(byte_level_bpe(), None), Memory.from_pairs([("a", "b")])
    with pytest.raises(SettingsError, match="set learn_end: false"):
        encode(memory, tokenizer, RAW)
    encoded = encode(memory, tokenizer, EncodeConfig(template="raw", learn_end=False))
    assert (encoded.stop_id, encoded.pad_id) == (None, 0)
