import re
from types import SimpleNamespace

import pytest

from byheart.errors import BundleError, SettingsError
from byheart.export.bundle import Bundle
from byheart.export.engine_check import encoded_as_certified
from byheart.export.gguf_base import BaseGguf
from byheart.export.go_template import collated
from byheart.export.ollama import export, linked, model_name, modelfile, pieces_of, proved
from byheart.export.request import ExportRequest
from byheart.memory.template import EncodeConfig, conversation, encode_prompt
from byheart.progress import Silent
from conftest import PAIRS
from go_templates import rendered


@pytest.fixture(scope="module")
def written(learnt, tiny_base, tiny_gguf, tmp_path_factory):
    request = ExportRequest.parse(
        learnt, "ollama", out=tmp_path_factory.mktemp("ollama") / "vault", base_gguf=str(tiny_gguf)
    )
    return export(Bundle.read(learnt, tiny_base), request, Silent()).path


def directives(path) -> dict[str, list[str]]:
    """A Modelfile's lines by directive; TEMPLATE's text without its quotation."""
    text = (path / "Modelfile").read_text()
    template = re.search(r'TEMPLATE """(.*?)"""', text, re.DOTALL)
    assert template is not None
    found: dict[str, list[str]] = {"TEMPLATE": [template[1]]}
    for line in text.replace(template[0], "").splitlines():
        if line and not line.startswith("#"):
            name, _, value = line.partition(" ")
            found.setdefault(name, []).append(value)
    return found


def test_every_prompt_has_the_certified_ids_under_its_template(written, tiny_base, tiny_encoded):
    [template] = directives(written)["TEMPLATE"]
    for (prompt, _), record in zip(PAIRS, tiny_encoded.records, strict=True):
        turns = [{"Role": turn["role"], "Content": turn["content"]} for turn in collated(conversation(prompt, None))]
        text = rendered(template, {"Messages": turns})
        assert tiny_base.tokenizer(text, add_special_tokens=False)["input_ids"] == list(record.prompt_ids)


def test_nothing_stands_between_the_logits_and_the_argmax(written):
    parameters = dict(line.split(" ", 1) for line in directives(written)["PARAMETER"])
    assert float(parameters["temperature"]) == 0
    assert float(parameters["repeat_penalty"]) == 1
    assert parameters["stop"] == '"<|im_end|>"'
    assert int(parameters["num_ctx"]) >= 4096


def test_the_files_that_it_names_lie_beside_it(written, tiny_gguf):
    named = directives(written)
    assert (named["FROM"], named["ADAPTER"]) == (["./base.gguf"], ["./adapter.gguf"])
    assert (written / "base.gguf").read_bytes() == tiny_gguf.read_bytes()
    assert (written / "adapter.gguf").read_bytes()[:4] == b"GGUF"


def test_a_template_that_rewrites_a_record_is_refused_naming_the_record(own_bundle, tiny_gguf, monkeypatch):
    directory, bundle = own_bundle
    request = ExportRequest.parse(directory, "ollama", base_gguf=str(tiny_gguf))
    rendering = "byheart.export.go_template.ChatPieces.render"
    monkeypatch.setattr(rendering, lambda self, turns: "<|im_start|>user\nsomething else")
    with pytest.raises(BundleError, match=f"record {bundle.certificate.records[0].id}: under Ollama's template"):
        export(bundle, request, Silent())
    assert not (directory / "ollama").exists()


def test_it_needs_the_bases_file(own_bundle):
    directory, bundle = own_bundle
    with pytest.raises(SettingsError, match="comes with no GGUF file"):
        export(bundle, ExportRequest.parse(directory, "ollama"), Silent())


def test_a_begin_token_that_the_tokenizer_adds_is_not_written_twice(own_bundle, tiny_gguf, monkeypatch):
    from byheart.export.go_template import ChatPieces
    from byheart.export.llama_cpp import LlamaCpp

    _, bundle = own_bundle
    encoded = encoded_as_certified(bundle)
    begin = encoded.records[0].prompt_ids[0]  # <|im_start|>, here in the part of a token that is added
    plain = LlamaCpp.prompt_ids
    monkeypatch.setattr(LlamaCpp, "prompt_ids", lambda self, text: [begin, *plain(self, text)])
    pieces = ChatPieces(
        "<|im_start|>user\n",
        None,
        "",
        "",
        "",
        "<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n",
    )
    assert proved(pieces, bundle, encoded, BaseGguf.read(tiny_gguf)).start == "user\n"
    assert '{{ "user\\n" }}' in modelfile(proved(pieces, bundle, encoded, BaseGguf.read(tiny_gguf)), bundle, encoded)


def test_a_base_that_is_a_link_is_linked_to_what_it_leads_to(tmp_path):
    (tmp_path / "blobs").mkdir()
    (tmp_path / "blobs" / "abc").write_bytes(b"GGUF")
    link = tmp_path / "model.gguf"
    link.symlink_to("blobs/abc")  # as in the hub's cache: it leads there from here alone
    (tmp_path / "elsewhere").mkdir()
    linked(link, tmp_path / "elsewhere" / "base.gguf")
    assert (tmp_path / "elsewhere" / "base.gguf").read_bytes() == b"GGUF"
    assert not (tmp_path / "elsewhere" / "base.gguf").is_symlink()


@pytest.mark.parametrize(
    ("directory", "name"), [("vault", "vault"), ("My contacts (2)", "my-contacts-2"), ("Ω", "by-heart")]
)
def test_the_model_has_a_name_that_ollama_takes(tmp_path, directory, name):
    assert model_name(tmp_path / directory) == name


def test_the_system_prompt_that_was_learnt_with_stands_before_conversations_without_one(tiny_base):
    config = EncodeConfig(system_prompt="Be brief.")
    made = pieces_of(SimpleNamespace(encode_config=config, base=tiny_base))  # type: ignore[arg-type] - all it reads of a bundle
    prompt = made.render(conversation("Who?", None))
    assert tiny_base.tokenizer(prompt)["input_ids"] == list(encode_prompt("Who?", tiny_base.tokenizer, config))
    assert prompt.count("Be brief.") == 1
    own = made.render([{"role": "system", "content": "Be long."}, {"role": "user", "content": "Who?"}])
    assert "Be brief." not in own
    assert "Be long." in own
