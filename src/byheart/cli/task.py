"""``byheart task``: one of the paper's benchmarks, or a part of a file, as records to be learnt."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from byheart.cli.exits import COMPLETE
from byheart.cli.live import narrating
from byheart.cli.screens import print_json, screens
from byheart.cli.summary import command
from byheart.cli.visible import visible
from byheart.cli.wording import counted
from byheart.errors import ArtifactError, SettingsError, unknown
from byheart.memory.records import Memory
from byheart.memory.tokenizer import Tokenizer
from byheart.tasks import registry
from byheart.tasks.answer_tokens import num_answer_tokens

_SUFFIX = ".jsonl"


def task(
    name: str,
    out: Path,
    *,
    model: str | None,
    tokens: int | None,
    pairs: int | None,
    ratio: float | None,
    seed: int | None,
    source: Path | None,
    test_out: Path | None,
    as_json: bool,
) -> int:
    """Writes a task's records; everything is refused that can be before a tokenizer is loaded.

    Returns:
        The exit code.
    """
    config = _config(name, {"--tokens": tokens, "--pairs": pairs, "--ratio": ratio, "--seed": seed, "--source": source})
    if test_out is not None and (flaw := registry.unseen_flaw(name)):
        raise SettingsError(f"--test-out: {flaw}")
    _refuse_places(out, test_out)
    with screens(as_json) as (results, progress):
        with narrating(progress) as narrator:
            from byheart.model.catalog import load_tokenizer
            from byheart.model.config import ModelConfig

            settings = ModelConfig() if model is None else ModelConfig(name=model)
            narrator.begin(f"loading the tokenizer of {settings.name}")
            tokenizer = load_tokenizer(settings, narrator.say)
            narrator.begin(f"making the records of {name}")
            memories = {out: registry.build(config, tokenizer)}
            if test_out is not None:
                memories[test_out] = registry.build_unseen(config, tokenizer)
            sizes = {path: _size(memory, tokenizer) for path, memory in memories.items()}
            for path, memory in memories.items():
                memory.to_jsonl(path)
        results.rows(
            [
                ("records", _told(out, sizes[out], tokens)),
                *([] if test_out is None else [("unseen", _told(test_out, sizes[test_out], None))]),
                ("counted by", f"the tokenizer of {settings.name}"),
                ("learn", command("learn", out, "--out", f"runs/{name}")),
            ]
        )
    if as_json:
        print_json(
            {
                "task": config.model_dump(mode="json"),
                "model": settings.name,
                "out": str(out),
                **sizes[out],
                "test_out": None if test_out is None else {"path": str(test_out), **sizes[test_out]},
            }
        )
    return COMPLETE


def _config(name: str, given: dict[str, Any]) -> registry.TaskConfig:
    """The task's settings from the flags, each of which must mean something to it."""
    if name not in registry.TASKS:
        raise SettingsError(unknown("task", name, registry.TASKS))
    fields = registry.TASKS[name].config.model_fields
    size = "num_pairs" if "num_pairs" in fields else "num_records"
    names = {
        "--tokens": "num_answer_tokens",
        "--pairs": size,
        "--ratio": "random_ratio",
        "--seed": "seed",
        "--source": "source",
    }
    taken = [flag for flag, field in names.items() if field in fields]
    for flag, value in given.items():
        if value is not None and flag not in taken:
            raise SettingsError(f"{flag} means nothing to task {name!r}; it takes {', '.join(taken) or 'no settings'}")
        if value is None and flag in taken and fields[names[flag]].is_required():
            raise SettingsError(f"task {name!r} needs {flag}")
    if given["--tokens"] is not None and given["--pairs"] is not None:
        raise SettingsError("--tokens and --pairs both give the size; give one of them")
    source: Path | None = given["--source"]
    if source is not None and not source.exists():
        raise SettingsError(f"--source {source}: there is no such file or directory; check the path")
    values = {names[flag]: value for flag, value in given.items() if value is not None}
    return registry.parse({"name": name, **values}, f"task {name}")


def _refuse_places(out: Path, test_out: Path | None) -> None:
    for flag, path in (("--out", out), ("--test-out", test_out)):
        if path is None:
            continue
        if path.suffix.lower() != _SUFFIX:
            raise ArtifactError(f"{flag} {path}: records are written as JSONL; let the name end in {_SUFFIX}")
        if path.exists():
            raise ArtifactError(f"{flag} {path} exists; remove it, or choose another name")
    if test_out is not None and test_out.resolve() == out.resolve():
        raise ArtifactError(f"--test-out {test_out} is --out itself; choose another name")


def _size(memory: Memory, tokenizer: Tokenizer) -> dict[str, int]:
    return {"num_records": len(memory), "num_answer_tokens": num_answer_tokens(memory, tokenizer)}


def _told(path: Path, size: dict[str, int], asked: int | None) -> str:
    num_tokens = size["num_answer_tokens"]
    told = f"{counted(size['num_records'], 'record')}, {counted(num_tokens, 'answer token')}, in {visible(str(path))}"
    if asked is None or asked == num_tokens:
        return told
    return f"{told} (of {asked:,} tokens asked for: records are whole)"
