"""Wait for results: what was enqueued just now is waited for before it is read; inside a task a wait is refused."""

from __future__ import annotations

import time
from typing import Final

from ..exceptions import WaitInTask
from ..protocol.running_attempt import RUNNING
from ..protocol.shards import is_recent
from ..protocol.state import Snapshot
from ..stores.base import AsyncStore, Store

__all__ = ["aended_soon", "ended_soon", "is_refused", "left_s", "refusal"]

FIRST_S: Final = 0.25
"""What was enqueued just now is waited for so long, seconds, before it is read; most tasks end before."""


def ended_soon(store: Store, task_id: str, timeout: float | None, *, allow_wait: bool) -> Snapshot | None:
    """Wait shortly for the end of a task, if it was enqueued just now: to read it before would be in vain.

    None: it was not, has not ended yet, is not known, or must not be waited for.

    Args:
        store: of the task.
        task_id: its id.
        timeout: the longest wait, s; None: there is no limit.
        allow_wait: see `is_refused`.
    """
    if not is_recent(task_id) or is_refused(timeout, allow_wait=allow_wait):
        return None
    found = store.wait_finished((task_id,), FIRST_S if timeout is None else min(timeout, FIRST_S))
    return found[0] if found else None


async def aended_soon(store: AsyncStore, task_id: str, timeout: float | None, *, allow_wait: bool) -> Snapshot | None:  # noqa: ASYNC109
    """Do the same on an event loop; see `ended_soon`."""
    if not is_recent(task_id) or is_refused(timeout, allow_wait=allow_wait):
        return None
    found = await store.wait_finished((task_id,), FIRST_S if timeout is None else min(timeout, FIRST_S))
    return found[0] if found else None


def left_s(timeout: float | None, begun: float) -> float | None:
    """Return what is left of a timeout, s, that counts from ``begun``, `time.monotonic`."""
    return None if timeout is None else max(0.0, timeout - (time.monotonic() - begun))


def is_refused(timeout: float | None, *, allow_wait: bool) -> bool:
    """Return whether a task is running here that may not wait.

    Args:
        timeout: of the wait, s; 0 is no wait.
        allow_wait: whether the caller allows it.
    """
    return not allow_wait and RUNNING.get() is not None and (timeout is None or timeout > 0)


def refusal(what: str) -> WaitInTask:
    """Return the error of a refused wait; ``what``: the awaited thing."""
    attempt = RUNNING.get()
    return WaitInTask(
        f"Task {attempt.id} ({attempt.message.task}) would wait for {what}, which is not finished, and keep its place "
        "in a worker meanwhile: when all places are kept so, nothing is left to run what they wait for. Continue with "
        "the result in another task by chain(), chord() or link=, or pass allow_wait=True if other workers run it."
    )
