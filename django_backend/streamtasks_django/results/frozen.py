"""Make dataclasses that inherit from Django's tasks and results."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import dataclass_transform

from ..framework import Task

__all__ = ["frozen_like_django"]

_FROZEN: bool = Task.__dataclass_params__.frozen  # type: ignore[attr-defined]


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(field,))
def frozen_like_django[T](cls: type[T]) -> type[T]:
    """Make a dataclass that is frozen if Django's are: a frozen one may not inherit from one that is not."""
    return dataclass(frozen=_FROZEN, slots=True, kw_only=True)(cls)
