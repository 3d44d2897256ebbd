"""Checks of numbers that users give, so that every error names the option, its value and what it may be."""

from __future__ import annotations

import math
from typing import Any

__all__ = ["check_count", "check_seconds", "is_number"]


def is_number(value: Any) -> bool:
    """Whether a value is a finite int or float; True and False are none."""
    return not isinstance(value, bool) and isinstance(value, (int, float)) and math.isfinite(value)


def check_seconds(name: str, value: Any, error: type[Exception], *, above_zero: bool = True) -> None:
    """Raise ``error`` unless ``value`` is a finite number of seconds, above 0 or (if not ``above_zero``) from 0."""
    if not is_number(value) or value < 0 or (above_zero and value == 0):
        raise error(f"{name} is {value!r}; it must be a number of seconds {'above 0' if above_zero else 'from 0'}.")


def check_count(name: str, value: Any, error: type[Exception], *, least: int, most: int | None = None) -> None:
    """Raise ``error`` unless ``value`` is a whole number from ``least`` to ``most``."""
    if isinstance(value, bool) or not isinstance(value, int) or value < least or (most is not None and value > most):
        wanted = f"of at least {least}" if most is None else f"from {least} to {most}"
        raise error(f"{name} is {value!r}; it must be a whole number {wanted}.")
