"""The method that ``--method`` names."""

from __future__ import annotations

from typing import get_args

from byheart.errors import SettingsError, unknown
from byheart.method.config import MethodName


def known_method(name: str | None) -> str | None:
    """The name as it was given; None where it was not.

    Raises:
        SettingsError: there is no such method.
    """
    if name is not None and name not in get_args(MethodName):
        raise SettingsError(f"--method: {unknown('method', name, get_args(MethodName))}")
    return name
