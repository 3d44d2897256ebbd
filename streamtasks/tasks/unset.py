"""The value of options that were not given, where None means something else."""

from __future__ import annotations

from enum import Enum
from typing import Any, Final

__all__ = ["UNSET"]


class _Unset(Enum):
    """An enum, so that copies and pickles of it are the same object."""

    UNSET = "unset"

    def __repr__(self) -> str:
        return "UNSET"

    def __bool__(self) -> bool:
        return False


UNSET: Final[Any] = _Unset.UNSET
"""Sentinel: not given, so the setting or the task's definition applies."""
