"""Every error byheart raises on purpose: one small tree, each also the built-in that fits.

A message names the value, the allowed set and the mend, so that it can be shown to a user as it is.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass


class ByheartError(Exception):
    """Base of all errors a user can mend; the command line prints it and exits with 2."""


class SettingsError(ByheartError, ValueError):
    """A setting is unknown, of the wrong type or out of range."""


class ModelError(ByheartError, ValueError):
    """A base model cannot be found, read or used."""


class PlacementError(ModelError):
    """A layer or module that was asked for does not exist in the model."""


class ArtifactError(ByheartError, OSError):
    """A file or directory of ours cannot be written, is incomplete, or was made by a newer version."""


class NewerSchemaError(ArtifactError):
    """A file of ours was made by a newer version: it is whole, and not to be replaced by what this version makes."""


class BundleError(ByheartError, ValueError):
    """A bundle does not fit the base model, tokenizer, template or records it is used with."""


class LawError(ByheartError, ValueError):
    """Cells cannot be fitted, or a fitted law cannot answer what it is asked."""


class DivergedError(ByheartError, ArithmeticError):
    """Training left the range of numbers; the adapter is worth nothing from there on."""


class InterruptedRunError(ByheartError, KeyboardInterrupt):
    """The user stopped a run; where it has a directory, its last checkpoint is on disk."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with one place of a records file: ``where`` is ``file:line``, ``what`` names value and mend."""

    where: str
    what: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what}"


class RecordsError(ByheartError, ValueError):
    """Records cannot be learnt as they are; all problems of a source at once, at most ``SHOWN`` told.

    Attributes:
        problems: every problem found, in file order.
    """

    SHOWN = 20

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        lines = [str(problem) for problem in self.problems[: self.SHOWN]]
        if (num_more := len(self.problems) - self.SHOWN) > 0:
            lines.append(f"… and {num_more} more")
        super().__init__("\n".join(lines))

    def __reduce__(self) -> tuple[type[RecordsError], tuple[tuple[Problem, ...]]]:
        """Pickles by what it was made of, not by its message, so that it crosses processes whole."""
        return type(self), (self.problems,)


def nearest(name: str, allowed: Iterable[str]) -> str | None:
    """The allowed name that ``name`` was most likely meant to be, or None where nothing is near."""
    return next(iter(difflib.get_close_matches(name, list(allowed), n=1, cutoff=0.6)), None)


def unknown(kind: str, name: str, allowed: Iterable[str]) -> str:
    """The sentence for a name that is not in a set: the value, its nearest neighbour, and the set.

    >>> unknown("method", "memft-to", ["sft", "memft-ot"])
    "unknown method 'memft-to' (did you mean 'memft-ot'?); allowed: sft, memft-ot"
    """
    names = list(allowed)
    near = nearest(name, names)
    hint = f" (did you mean {near!r}?)" if near else ""
    return f"unknown {kind} {name!r}{hint}; allowed: {', '.join(names)}"
