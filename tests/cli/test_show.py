import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from rich.text import Text

from byheart.cli.passage import COLOURS, GREYS, style_of
from byheart.cli.show import placed, ranges
from byheart.fingerprint import file_sha256

ESCAPES = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
END = "<|im_end|>"


def rewritten(bundle: Path, to: Path, certificates: list[dict], pairs: list[tuple[str, str]]) -> Path:
    """A copy of the bundle with other records and certificates, hashes and all."""
    shutil.copytree(bundle, to)
    document = json.loads((to / "certificate.json").read_text())
    (to / "certificate.json").write_text(json.dumps({**document, "records": certificates}))
    lines = (json.dumps({"id": str(n), "prompt": p, "completion": c}) for n, (p, c) in enumerate(pairs))
    (to / "records.jsonl").write_text("\n".join(lines))
    manifest = json.loads((to / "byheart.json").read_text())
    manifest["files"] |= {name: file_sha256(to / name) for name in ("certificate.json", "records.jsonl")}
    (to / "byheart.json").write_text(json.dumps(manifest))
    return to


def certificate(number: int, tokens: list[str], p: list[float], ranks: list[int] | None = None, got: str = "") -> dict:
    """One record's certificate; ``got`` is what the free run gave in place of the first token of another rank."""
    ranks = ranks or [1] * len(tokens)
    wrong = next((i for i, rank in enumerate(ranks) if rank > 1), None)
    verdict = "failed" if wrong is not None else "certified" if all(value > 0.5 for value in p) else "recited"
    failure = None if wrong is None else {"position": wrong, "expected": tokens[wrong], "got": got}
    return {
        "id": str(number),
        "verdict": verdict,
        "tokens": tokens,
        "token_ids": list(range(len(tokens))),
        "p": p,
        "nll_nats": [0.1] * len(tokens),
        "token_rank": ranks,
        "logit_margin": [1.0 if rank == 1 else -0.25 for rank in ranks],
        "rival": ["~"] * len(tokens),
        "first_failure": failure,
    }


@pytest.fixture
def mixed(bundle, tmp_path) -> Path:
    """A certified record, a recited and a failed one."""
    return rewritten(
        bundle,
        tmp_path / "mixed",
        [
            certificate(0, ["1", "2", END], [0.99, 0.7, 0.95]),
            certificate(1, ["3", "4", END], [0.99, 0.31, 0.95]),
            certificate(2, ["5", "6", END], [0.99, 0.2, 0.4], [1, 3, 1], got="\t9"),
        ],
        [("one:", "12"), ("two:", "34"), ("three:", "56")],
    )


def test_a_certificate_in_the_terminal(bundle, invoke):
    result = invoke("show", bundle)
    assert result.exit_code == 0
    assert "4 of 4 records come back to the letter; every token above 0.5" in result.stdout
    assert "LlamaForCausalLM, weights " in result.stdout
    assert "rank 32 in layers 0–1 (q, k, v, o, gate, up, down)" in result.stdout
    assert "float32 on cpu" in result.stdout
    assert re.search(r"^Code of the vault\? +4711-0815∎$", result.stdout, re.MULTILINE)
    assert "·leading and trailing·∎" in result.stdout
    assert "  Łukasz␤\n  ⇥Nuñez∎" in result.stdout
    assert not ESCAPES.search(result.output)


def test_failed_and_stubborn_come_first_and_are_named(mixed, invoke):
    result = invoke("show", mixed)
    assert result.exit_code == 3
    assert "2 of 3 records come back to the letter; 1 does not" in result.stdout
    lines = [line for line in result.stdout.splitlines() if ":" in line]
    order = [line.split()[0] for line in lines if line.startswith(("one:", "two:", "three:"))]
    assert order == ["three:", "two:", "one:"]
    assert 'first differs at token 2 of 3: expected "6", got "⇥9"' in result.stdout
    assert 'token 2 "6": p 0.20, rank 3, margin -0.25, beaten by "~"' in result.stdout
    assert 'token 3 ∎ end of turn: p 0.40, rank 1, margin +1, next "~"' in result.stdout
    assert 'token 2 "4": p 0.31, rank 1, margin +1, next "~"' in result.stdout


def test_only_failed(mixed, bundle, invoke):
    told = invoke("show", mixed, "--failed").stdout
    assert "three:" in told
    assert "two:" in told
    assert "one:" not in told
    assert "no record failed" in invoke("show", bundle, "--failed").stdout


def test_twenty_records_unless_all_are_asked_for(bundle, tmp_path, invoke):
    many = rewritten(
        bundle,
        tmp_path / "many",
        [certificate(n, [str(n), END], [0.9, 0.9]) for n in range(23)],
        [(f"prompt {n}", str(n)) for n in range(23)],
    )
    told = invoke("show", many).stdout
    assert told.count("prompt ") == 20
    assert f"and 3 more: byheart show {many} --all" in told
    assert invoke("show", many, "--all").stdout.count("prompt ") == 23


def test_long_answers_are_cut_unless_all_is_asked_for(bundle, tmp_path, invoke):
    words = [f" word{n}" for n in range(400)]
    long = rewritten(
        bundle, tmp_path / "long", [certificate(0, [*words, END], [0.9] * 401)], [("long:", "".join(words))]
    )
    told = invoke("show", long).stdout
    assert "word159 … 240 tokens more (--all)" in told
    assert "word399" not in told
    assert "word399∎" in invoke("show", long, "--all").stdout


def test_hostile_text_shows_as_text(bundle, tmp_path, invoke):
    answer = "[red]no markup[/red] [/] :smile: \x1b]0;title\x07\x1b[2J\x9b1m\u202egnp.exe\r\x00\u2028"
    tokens = [answer[at : at + 3] for at in range(0, len(answer), 3)]
    hostile = rewritten(
        bundle,
        tmp_path / "hostile",
        [certificate(0, [*tokens, END], [0.4] * (len(tokens) + 1))],
        [("[bold]\x1b[31mprompt\n\x1b[0m[/bold]", answer)],
    )
    for result in (invoke("show", hostile), invoke("show", hostile, "--all")):
        assert result.exit_code == 0
        assert not ESCAPES.search(result.output)
        assert "[bold]␛[31mprompt␤␛[0m[/bold]" in result.stdout
        assert "[red]no markup[/red] [/] :smile: ␛]0;title␇␛[2J⟨U+009B⟩1m⟨U+202E⟩gnp.exe␍␀⟨U+2028⟩∎" in result.stdout


def test_a_name_with_escapes_in_it_is_neutral_in_errors_too(tmp_path, invoke):
    result = invoke("show", f"{tmp_path}/\x1b[31mred")
    assert result.exit_code == 2
    assert "␛[31mred is not a byheart bundle" in result.stderr
    assert not ESCAPES.search(result.output)


def test_a_terminal_of_80_columns_is_not_overrun(mixed, tmp_path, invoke, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.delenv("NO_COLOR", raising=False)
    coloured = invoke("show", mixed).stdout
    assert "\x1b[" in coloured
    assert max(Text.from_ansi(line).cell_len for line in coloured.splitlines()) <= 80
    monkeypatch.setenv("NO_COLOR", "1")
    grey = invoke("show", mixed).stdout
    assert not re.search(r"\x1b\[[0-9;]*(3[0-9]|38;5)", grey)
    assert "\x1b[1;4m" in grey  # stubborn is seen without colours


@pytest.mark.parametrize("palette", [COLOURS, GREYS])
def test_how_a_token_looks(palette):
    looks = [
        style_of(0.91, 1, palette),
        style_of(0.9, 1, palette),
        style_of(0.5, 1, palette),
        style_of(0.4, 2, palette),
    ]
    assert looks == [palette.sure, palette.certain_enough, palette.stubborn, palette.wrong]
    assert len(set(looks)) == 4


def test_where_an_adapter_sits():
    site = {"num_in": 1, "num_out": 1}
    bypass = {"layers": [20], "sites": [{"path": "model.layers.20.mlp", **site}], "lora_rank": 4, "is_bypass": True}
    assert placed(bypass) == "rank 4 in layer 20 (around mlp)"
    assert ranges([0, 1, 2, 5, 7, 8]) == "0–2, 5, 7–8"


def test_what_is_refused(bundle, tmp_path, invoke):
    assert "is not a byheart bundle" in invoke("show", tmp_path).stderr
    changed = tmp_path / "changed"
    shutil.copytree(bundle, changed)
    (changed / "certificate.json").write_text("{}")
    result = invoke("show", changed)
    assert result.exit_code == 2
    assert "was changed after the bundle was written" in result.stderr
    foreign = rewritten(bundle, tmp_path / "foreign", [certificate(5, ["1", END], [0.9, 0.9])], [("one:", "1")])
    assert "is not of the records in" in invoke("show", foreign).stderr
    partial = rewritten(bundle, tmp_path / "partial", [certificate(0, ["1"], [0.9])], [("one:", "1"), ("two:", "2")])
    assert "is not of the records in" in invoke("show", partial).stderr


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"records": []}, "records: Tuple should have at least 1 item"),
        ({"records": [{}]}, "records.0.id: Field required (and 10 more)"),
        ({"records": [certificate(0, [], [])]}, "records.0: it must have at least one token"),
        ({"records": [certificate(0, ["1", END], [0.9])]}, "in every list one entry a token"),
        ({"records": [certificate(0, ["1"], [0.9]) | {"verdict": "failed"}]}, "first_failure belongs to"),
        ({"subject": {}}, "subject.base_name: Field required"),
        ({"numerics": None}, "numerics: Input should be"),
    ],
)
def test_a_certificate_without_all_its_parts_is_refused(changes, told, bundle, tmp_path, invoke):
    forged = rewritten(bundle, tmp_path / "forged", [certificate(0, ["1", END], [0.9, 0.9])], [("one:", "1")])
    assert invoke("show", forged).exit_code == 0
    path = forged / "certificate.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    manifest = json.loads((forged / "byheart.json").read_text())
    manifest["files"]["certificate.json"] = file_sha256(path)
    (forged / "byheart.json").write_text(json.dumps(manifest))
    result = invoke("show", forged)
    assert result.exit_code == 2
    assert result.stderr.startswith(f"error: {path} is not a whole certificate: ")
    assert told in result.stderr
    assert result.stdout == ""


def test_the_smallest_margin_is_told(mixed, bundle, tmp_path, invoke):
    certified = rewritten(bundle, tmp_path / "one", [certificate(0, ["1", END], [0.9, 0.9])], [("one:", "1")])
    said = "nats at the least: a token's logit less its closest rival's, which wins below 0"
    assert re.search(rf"^margin +\+1 {said}$", invoke("show", certified).stdout, re.MULTILINE)
    assert re.search(rf"^margin +-0\.25 {said}$", invoke("show", mixed).stdout, re.MULTILINE)


def test_show_loads_no_torch(bundle):
    spy = (
        "import sys\n"
        "from byheart.cli.main import main\n"
        "try:\n"
        "    main()\n"
        "finally:\n"
        "    print([name for name in ('torch', 'transformers', 'numpy', 'safetensors') if name in sys.modules])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", spy, "show", str(bundle)], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.endswith("\n[]\n")


def test_hostile_metadata_shows_as_text(bundle, tmp_path, invoke):
    hostile = "\x1b]0;t\x07\u202e\n"
    path = shutil.copytree(bundle, tmp_path / "hostile") / "certificate.json"
    document = json.loads(path.read_text())
    document["numerics"] |= {"dtype": hostile, "device": hostile, "device_name": hostile, "attention": hostile}
    document["numerics"]["versions"] = {hostile: hostile}
    document["subject"] |= {"base_name": hostile, "adapter_sha256": hostile}
    path.write_text(json.dumps(document))
    manifest = json.loads((path.parent / "byheart.json").read_text())
    manifest["files"]["certificate.json"] = file_sha256(path)
    for site in manifest["placement"]["sites"]:
        site["path"] = f"model.{hostile}"
    (path.parent / "byheart.json").write_text(json.dumps(manifest))
    result = invoke("show", path.parent)
    assert result.exit_code == 0
    assert not ESCAPES.search(result.output)
    assert "numerics  ␛]0;t␇⟨U+202E⟩␤·on " in result.stdout
