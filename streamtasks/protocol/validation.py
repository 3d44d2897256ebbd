"""Checks of numbers and arguments that users give. Every error names the value and what is allowed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

from ..exceptions import InvalidTask

__all__ = ["MAX_SECONDS", "check_arguments", "check_count", "check_seconds", "is_number", "is_seconds"]

MAX_SECONDS: Final = 100 * 365.25 * 86_400
"""The longest duration that is accepted: 100 years, in seconds. It fits wherever ms and ns are kept."""


def is_number(value: Any) -> bool:
    """Whether a value is a finite int or float; True and False are none."""
    try:
        return not isinstance(value, bool) and isinstance(value, (int, float)) and math.isfinite(value)
    except OverflowError:  # an int that no float can hold
        return False


def is_seconds(value: Any) -> bool:
    """Whether a value is a number of seconds from 0 to 100 years."""
    return is_number(value) and 0 <= value <= MAX_SECONDS


def check_seconds(name: str, value: Any, error: type[Exception], *, above_zero: bool = True) -> None:
    """Raise ``error`` unless ``value`` is a number of seconds up to 100 years.

    It must be above 0, or from 0 if not ``above_zero``.
    """
    if not is_seconds(value) or (above_zero and value == 0):
        most = " up to 100 years" if is_number(value) and value > MAX_SECONDS else ""
        lowest = "above 0" if above_zero else "from 0"
        raise error(f"{name} is {value!r}; it must be a number of seconds {lowest}{most}.")


def check_count(name: str, value: Any, error: type[Exception], *, least: int, most: int | None = None) -> None:
    """Raise ``error`` unless ``value`` is a whole number from ``least`` to ``most``."""
    if isinstance(value, bool) or not isinstance(value, int) or value < least or (most is not None and value > most):
        wanted = f"of at least {least}" if most is None else f"from {least} to {most}"
        raise error(f"{name} is {value!r}; it must be a whole number {wanted}.")


def check_arguments(args: Any, kwargs: Any) -> tuple[Sequence[Any], Mapping[str, Any]]:
    """Return ``args`` and ``kwargs`` of ``apply_async()`` if they can be arguments.

    Raises:
        InvalidTask: ``args`` is no list, or ``kwargs`` no dict with strings as keys.
    """
    if not isinstance(args, Sequence) or isinstance(args, (str, bytes)):
        if args is not None:
            raise InvalidTask(f"args is {args!r}; it must be a list or a tuple.")
        args = ()
    if kwargs is None:
        return args, {}
    if not isinstance(kwargs, Mapping) or not all(isinstance(name, str) for name in kwargs):
        raise InvalidTask(f"kwargs is {kwargs!r}; it must be a dict with strings as keys.")
    return args, kwargs
