"""The call of a task's own code; a copy of the process that it has forked ends here."""

from __future__ import annotations

from typing import Any

from ..process.fork_guard import end_copy, is_copy
from .prepared import Prepared

__all__ = ["call_task"]


def call_task(prepared: Prepared) -> Any:
    """Call the task itself; of a coroutine function, return the coroutine."""
    assert prepared.runnable is not None
    assert prepared.attempt is not None
    try:
        if prepared.settles_alone:
            prepared.runnable.before_start(prepared.attempt)
        value = prepared.runnable.run(prepared.attempt)
    except BaseException as error:
        if is_copy():
            end_copy(error)
        raise
    if is_copy():
        end_copy()
    return value
