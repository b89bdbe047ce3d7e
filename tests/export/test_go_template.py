import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jinja2.sandbox import ImmutableSandboxedEnvironment

from byheart.errors import BundleError
from byheart.export.go_template import ChatPieces, collated
from go_templates import rendered

CHATML = (
    "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}"
    "{{ '<|im_start|>system\nYou are \"helpful\" \\\\ {{kind}}.<|im_end|>\n' }}{% endif %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
"""SmolLM2's kind: a system turn of its own where there is none."""
GEMMA = (
    "<bos>{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
    "{% for message in messages %}{{ '<start_of_turn>' + ('model' if message['role'] == 'assistant' else 'user')"
    " + '\n' + message['content'] + '<end_of_turn>\n' }}{% endfor %}<start_of_turn>model\n"
)
"""No system turn, another name for the assistant, a begin-of-sequence token in front."""
LLAMA3 = (
    "<|begin_of_text|>{% for message in messages %}<|start_header_id|>{{ message['role'] }}<|end_header_id|>\n\n"
    "{{ message['content'] }}<|eot_id|>{% endfor %}<|start_header_id|>assistant<|end_header_id|>\n\n"
)
QWEN3 = CHATML + "{% if add_generation_prompt %}{{ '<think>\n\n</think>\n\n' }}{% endif %}"
TRIMMING = "{% for message in messages %}<{{ message['role'] }}>{{ message['content'] | trim }}{% endfor %}<answer>"
COUNTING = (
    "{{ messages | length }}{% for message in messages %}<{{ message['role'] }}>{{ message['content'] }}{% endfor %}"
)
SHOUTING = "{% for message in messages %}{{ message['content'] | upper }}{% endfor %}"


def raise_exception(message: str) -> None:
    raise ValueError(message)


def renderer(template: str):
    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    environment.globals["raise_exception"] = raise_exception
    compiled = environment.from_string(template)
    return lambda turns: compiled.render(messages=list(turns), add_generation_prompt=True)


def in_ollama(pieces: ChatPieces, turns) -> str:
    """As Ollama calls its templates: neighbours of one role collated."""
    messages = [{"Role": turn["role"], "Content": turn["content"]} for turn in collated(turns)]
    return rendered(pieces.go_template(), {"Messages": messages})


contents = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


@st.composite
def conversations(draw, with_system: bool):
    """Turns of user and assistant in order, the user's last; perhaps behind a system turn."""
    turns = [{"role": "system", "content": draw(contents)}] if with_system and draw(st.booleans()) else []
    for _ in range(draw(st.integers(0, 2))):
        turns += [{"role": role, "content": draw(contents)} for role in ("user", "assistant")]
    return [*turns, {"role": "user", "content": draw(contents)}]


@pytest.mark.parametrize("template", [CHATML, LLAMA3, QWEN3])
@settings(max_examples=40)
@given(turns=conversations(with_system=True))
def test_go_writes_what_the_chat_template_writes(template, turns):
    render = renderer(template)
    pieces = ChatPieces.derived(render)
    assert in_ollama(pieces, turns) == render(turns) == pieces.render(turns)


@settings(max_examples=40)
@given(turns=conversations(with_system=False))
def test_a_template_without_system_turns_too(turns):
    render = renderer(GEMMA)
    pieces = ChatPieces.derived(render)
    assert in_ollama(pieces, turns) == render(turns) == pieces.render(turns)


def test_a_system_turn_that_the_template_refuses_is_refused():
    with pytest.raises(BundleError, match="it takes no system turn"):
        ChatPieces.derived(renderer(GEMMA)).render([{"role": "system", "content": "Be brief."}])


def test_what_the_tokenizer_puts_in_front_is_left_to_it():
    pieces = ChatPieces.derived(renderer(LLAMA3)).without_begin("<|begin_of_text|>")
    turns = [{"role": "user", "content": "Who?"}]
    assert "<|begin_of_text|>" + in_ollama(pieces, turns) == renderer(LLAMA3)(turns)


def test_a_template_that_trims_differs_where_there_is_something_to_trim():
    pieces, render = ChatPieces.derived(renderer(TRIMMING)), renderer(TRIMMING)
    assert pieces.render([{"role": "user", "content": "Who?"}]) == render([{"role": "user", "content": "Who?"}])
    assert pieces.render([{"role": "user", "content": " Who?"}]) != render([{"role": "user", "content": " Who?"}])


@pytest.mark.parametrize(
    ("template", "reason"),
    [(COUNTING, "depends on how many there are"), (SHOUTING, "leaves out or rewrites a turn of user")],
)
def test_a_template_that_does_more_than_write_text_between_turns_is_refused(template, reason):
    with pytest.raises(BundleError, match=reason):
        ChatPieces.derived(renderer(template))


def test_neighbours_of_one_role_are_one_turn_as_in_ollama():
    turns = [{"role": "user", "content": "a"}, {"role": "user", "content": "b"}]
    assert collated(turns) == [{"role": "user", "content": "a\n\nb"}]
    assert turns[0]["content"] == "a"


def test_no_literal_ends_the_modelfiles_quotation():
    pieces = ChatPieces.derived(renderer('{% for message in messages %}"""{{ message[\'content\'] }}{% endfor %}"""'))
    assert '"""' not in pieces.go_template()
