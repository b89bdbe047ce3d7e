"""The base model as llama.cpp reads it: which GGUF file belongs to a bundle, and what that file says of itself.

A bundle taught on the embedded model has its base's own file. For any other one is given, or made of the weights that
were certified, and kept in the cache.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from byheart.errors import BundleError, ModelError, SettingsError
from byheart.export.gguf_converter import BASE_TYPES, BaseType, convert_base, converter_version
from byheart.fingerprint import file_sha256, fingerprint
from byheart.memory.tokenizer import tokenizer_fingerprint
from byheart.model.base import Base
from byheart.model.catalog import cache_directory, converted_from, packaged_ggufs
from byheart.model.quiet import quiet_transformers

_CONVERSION_VERSION = 1


@dataclass(frozen=True, slots=True)
class BaseGguf:
    """A base model's GGUF file.

    Attributes:
        path: of the file.
        sha256: of its bytes.
        architecture: llama.cpp's name.
        quantisation: of most weights, as llama.cpp calls it: Q4_1, F16.
        num_layers: of the model.
        hidden_size: of the model.
        vocabulary_size: tokens.
        license: as the file says; None where it does not.
    """

    path: Path
    sha256: str
    architecture: str
    quantisation: str
    num_layers: int
    hidden_size: int
    vocabulary_size: int
    license: str | None

    @classmethod
    def read(cls, path: Path, sha256: str | None = None) -> BaseGguf:
        """What a file says of itself.

        Args:
            path: of the file.
            sha256: of its bytes, where that is known already; None: it is taken.

        Raises:
            ModelError: no GGUF file of a model.
        """
        from gguf import GGUFReader, LlamaFileType

        try:
            fields = GGUFReader(path).fields
            architecture = fields["general.architecture"].contents()
            file_type = fields["general.file_type"].contents()
            counts = [fields[f"{architecture}.{key}"].contents() for key in ("block_count", "embedding_length")]
            num_tokens = len(fields["tokenizer.ggml.tokens"].data)
            quantisation = LlamaFileType(file_type).name.removeprefix("MOSTLY_").removeprefix("ALL_")
        except (OSError, ValueError, KeyError, IndexError) as error:
            raise ModelError(f"{path} is not a GGUF file of a model: {error}; give another --base-gguf") from error
        license_field = fields.get("general.license")
        return cls(
            path=path,
            sha256=sha256 or file_sha256(path),
            architecture=architecture,
            quantisation=quantisation,
            num_layers=counts[0],
            hidden_size=counts[1],
            vocabulary_size=num_tokens,
            license=license_field.contents() if license_field else None,
        )


def own_gguf(base: Base) -> BaseGguf | None:
    """The GGUF file that ``base`` was dequantised from, where it is at hand."""
    origin = converted_from(Path(base.location)) if Path(base.location).is_dir() else None
    if origin is None:
        return None
    sha256 = origin["gguf_sha256"]
    return next((BaseGguf.read(path, sha256) for path in packaged_ggufs() if file_sha256(path) == sha256), None)


def base_gguf(base: Base, asked: str | None, say: Callable[[str], None]) -> BaseGguf:
    """The GGUF file of a bundle's base model.

    Args:
        base: of the bundle.
        asked: a file; or f32, f16, bf16 or q8_0, to have one made of the weights that were certified; None: the base's
            own.
        say: told in a sentence when something takes long.

    Raises:
        SettingsError: the base has no file of its own and none is asked for, or there is no such file.
        ModelError: it cannot be read or made.
        BundleError: it is of another model.
    """
    found = _found(base, asked, say)
    config = base.model.config
    mine = (config.num_hidden_layers, config.hidden_size, len(base.tokenizer))
    theirs = (found.num_layers, found.hidden_size, found.vocabulary_size)
    if mine[:2] != theirs[:2] or theirs[2] < mine[2]:
        raise BundleError(
            f"{found.path} is of another model than {base.identity.name!r}: layers, width and tokens are {theirs}, "
            f"the bundle's base has {mine}; give the GGUF file of the same model with --base-gguf"
        )
    return found


def _found(base: Base, asked: str | None, say: Callable[[str], None]) -> BaseGguf:
    if asked in BASE_TYPES:
        return BaseGguf.read(_made(base, cast(BaseType, asked), say))
    if asked is not None:
        if not (path := Path(asked)).is_file():
            raise SettingsError(
                f"--base-gguf {asked!r} is no file; give one, or {', '.join(BASE_TYPES)} to have one made"
            )
        return BaseGguf.read(path)
    if (own := own_gguf(base)) is None:
        raise SettingsError(
            f"{base.identity.name!r} comes with no GGUF file; give one with --base-gguf FILE, or let one be made of "
            f"its weights with --base-gguf f16 (allowed: {', '.join(BASE_TYPES)})"
        )
    return own


def _made(base: Base, base_type: BaseType, say: Callable[[str], None]) -> Path:
    """The base's weights, as they were certified, in a GGUF file of the cache; made on first use."""
    weights = base.identity.weights_sha256
    words = [tokenizer_fingerprint(base.tokenizer), base.tokenizer.chat_template]  # the file holds these too
    key = fingerprint([weights, base.identity.dtype, words, base_type, converter_version(), _CONVERSION_VERSION])
    path = cache_directory() / "gguf" / f"{key[:16]}-{base_type}.gguf"
    if path.is_file() and weights is not None:  # of weights without a hash nobody knows whose the file is
        return path
    say(f"converting the base model to {path} (once)")
    with tempfile.TemporaryDirectory() as temporary, quiet_transformers():
        base.model.save_pretrained(temporary)
        base.tokenizer.save_pretrained(temporary)
        convert_base(Path(temporary), base_type, path)
    return path
