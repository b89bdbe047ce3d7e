"""Settings: frozen records that refuse what they do not know.

Each room owns its own settings record, beside the code it steers; this file only holds what they share, and knows no
setting by name.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Self, get_args

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from byheart.errors import SettingsError, unknown


class Settings(BaseModel):
    """Base of every settings record: frozen, no extra keys, defaults validated too."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, validate_default=True, use_attribute_docstrings=True, allow_inf_nan=False
    )

    @classmethod
    def parse(cls, values: Mapping[str, Any], source: str = "settings") -> Self:
        """Settings from plain values.

        Raises:
            SettingsError: naming every unknown key with the nearest known one, and every value out of its range.
        """
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise SettingsError("\n".join(f"{source}: {line}" for line in _explain(cls, error))) from error


def _explain(cls: type[BaseModel], error: ValidationError) -> Iterator[str]:
    for detail in error.errors(include_url=False):
        path = [str(part) for part in detail["loc"]]
        name = ".".join(path)
        if detail["type"] == "extra_forbidden":
            yield unknown("setting", name, [".".join([*path[:-1], key]) for key in _fields_at(cls, path[:-1])])
        elif flaw := detail.get("ctx", {}).get("error"):  # a validator's own sentence, which names the value
            yield f"{name or cls.__name__}: {flaw}"
        else:
            yield f"{name or cls.__name__}: {detail['msg']} (got {detail['input']!r})"


def _fields_at(cls: type[BaseModel], path: list[str]) -> list[str]:
    for part in path:
        if part in cls.model_fields:
            inner = _record_in(cls.model_fields[part].annotation)
            if inner is None:
                return []
            cls = inner
    return list(cls.model_fields)


def _record_in(annotation: Any) -> type[BaseModel] | None:
    """The settings record that a field holds, be it plain, optional or in a sequence."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((inner for inner in map(_record_in, get_args(annotation)) if inner), None)


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file, read safely; an empty file is an empty mapping.

    Raises:
        SettingsError: unreadable, not YAML, a key given twice, or not a mapping.
    """
    try:
        values = yaml.load(path.read_text(encoding="utf-8"), Loader=_OnceOnly)  # noqa: S506 - a safe loader
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"cannot read {path}: {error}") from error
    except yaml.YAMLError as error:
        raise SettingsError(f"{path} is not YAML: {error}") from error
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise SettingsError(f"{path} holds a {type(values).__name__}, expected a mapping of settings")
    return values


class _OnceOnly(yaml.SafeLoader):
    """Refuses a key that a mapping has twice: YAML would drop the first in silence."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                raise yaml.constructor.ConstructorError(None, None, f"{key!r} is given twice", key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep)


def merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """``base`` with ``over`` laid on it, mappings within mappings merged, everything else replaced.

    >>> merged({"learn": {"epochs": 9, "seed": 1}}, {"learn": {"epochs": 20}})
    {'learn': {'epochs': 20, 'seed': 1}}

    Raises:
        SettingsError: ``base`` has a plain value where ``over`` has a mapping; laying it on would hide the mistake.
    """
    result = dict(base)
    for key, value in over.items():
        mine = result.get(key)
        if isinstance(value, Mapping) and mine is not None:
            if not isinstance(mine, Mapping):
                raise SettingsError(f"{key}: {mine!r} stands where a mapping of settings is expected: {key}: {{…}}")
            result[key] = merged(mine, value)
        else:
            result[key] = value
    return result
