"""Read what is needed to explain why a task waits."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import NamedTuple

from ..exceptions import DecodeError
from ..protocol.keys import check_id
from ..protocol.message import Message
from ..protocol.state import Snapshot
from ..stores.inspection_types import Standing, WorkerInfo
from ..stores.rules import phases
from ..stores.steering_types import Pause
from .store_calls import Steps, StoreOperation, ask

__all__ = ["Situation", "look_at"]


class Situation(NamedTuple):
    """What a task's state is, and what is around it.

    Attributes:
        snapshot: what is known of the task; None: nothing.
        standing: what decides when it is claimed; None: it is not unfinished.
        message: its call; None: this process cannot read it.
        parent: what it waits for, if that is a task that is known.
        workers: those that are registered.
        pauses: what is paused.
        our_now_ms: the time by the clock of this process, ms since the epoch.
    """

    snapshot: Snapshot | None
    standing: Standing | None = None
    message: Message | None = None
    parent: Snapshot | None = None
    workers: Sequence[WorkerInfo] = ()
    pauses: Sequence[Pause] = ()
    our_now_ms: int = 0


@StoreOperation
def look_at(task_id: str) -> Steps[Situation]:
    """Read what `explain` needs.

    Raises:
        InvalidTask: it cannot be a task's id.
        StoreError: the store cannot be reached.
    """
    [snapshot] = yield ask("read", [check_id(task_id)])
    if snapshot is None:
        return Situation(None)
    try:
        message = snapshot.message()
    except DecodeError:
        message = None
    our_now_ms = time.time_ns() // 1_000_000
    standing: Standing | None = None if snapshot.is_finished else (yield ask("standing", task_id))
    if standing is None:
        return Situation(snapshot, None, message, our_now_ms=our_now_ms)
    parent = None
    if standing.phase == phases.BLOCKED and snapshot.waits_for:
        [parent] = yield ask("read", [snapshot.waits_for])
    workers: list[WorkerInfo] = yield ask("workers")
    pauses: list[Pause] = yield ask("pauses")
    return Situation(snapshot, standing, message, parent, workers, pauses, our_now_ms)
