"""Name the value that JSON refuses, its place, and what to pass instead."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from datetime import date, time, timedelta
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from django.db.models import Model, QuerySet

from ..framework import normalize_json

__all__ = ["explained", "normalized"]

_REMEDIES: Final[tuple[tuple[Any, str], ...]] = (
    (Model, "pass its primary key (.pk) and load it in the task"),
    (QuerySet, "pass a list of primary keys and load the objects in the task"),
    ((date, time), "pass its text (.isoformat()) and parse it in the task"),
    (timedelta, "pass its seconds (.total_seconds())"),
    ((UUID, Decimal), "pass str() of it"),
    ((set, frozenset), "pass a sorted list of it"),
    ((bytes, bytearray), "pass base64 text"),
)

_AS_THEY_ARE: Final = frozenset({type(None), str, int, float, bool})
"""What `normalize_json` returns as it is; it looks for a mapping first."""


def normalized(value: Any, task: str, name: str) -> Any:
    """Return a value as `normalize_json` does.

    Args:
        value: the value.
        task: the name of the task, for errors.
        name: what the value is, for errors.

    Raises:
        TypeError, ValueError: JSON cannot encode it; the text names the refused part and a remedy.
    """
    if type(value) in _AS_THEY_ARE:
        return value
    try:
        return normalize_json(value)
    except (TypeError, ValueError) as error:
        raise explained(error, task, **{name: value}) from error


def explained(error: TypeError | ValueError, task: str, **parts: Any) -> Exception:
    """Return an error of `normalize_json` with the place of the refused value and a remedy.

    Args:
        error: the error.
        task: the name of the task.
        **parts: the values that were normalised, by how an error names them.
    """
    for name, value in parts.items():
        found = _refused(value, name)
        if found is not None:
            where, what = found
            cls = TypeError if isinstance(error, TypeError) else ValueError
            return cls(f"{error} ({where} of the task {task} is {_remedy(what)}).")
    return error


def _refused(value: Any, where: str) -> tuple[str, Any] | None:
    """Return the place and the value of the innermost refused one."""
    try:
        normalize_json(value)
    except (TypeError, ValueError):
        pass
    else:
        return None
    inner: list[tuple[str, Any]] = []
    if isinstance(value, Mapping):
        inner = [(f"a key of {where}", key) for key in value] + [
            (f"{where}[{key!r}]", one) for key, one in value.items()
        ]
    elif isinstance(value, Sequence) and not isinstance(value, (str, bytes)):
        inner = [(f"{where}[{number}]", one) for number, one in enumerate(value)]
    for place, one in inner:
        found = _refused(one, place)
        if found is not None:
            return found
    return where, value


def _remedy(value: Any) -> str:
    shown = f"a {type(value).__name__}"
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return f"{shown}; pass dataclasses.asdict() of it"
    for kinds, remedy in _REMEDIES:
        if isinstance(value, kinds):
            return f"{shown}; {remedy}"
    return f"{shown}; pass a str, int, float, bool, None, list or dict"
