"""What `inspect` returns: queues, workers, tasks and dead letters at one moment."""

from __future__ import annotations

from typing import Any, NamedTuple

from ..protocol.message import Message
from ..protocol.state import DeadLetter, Snapshot
from ..stores.inspection_types import Active, WorkerInfo
from ..stores.steering_types import Pause

__all__ = ["LetterPage", "QueueView", "Status", "TaskPage", "TaskView", "WorkerView"]


class QueueView(NamedTuple):
    """A queue: what is in it (see `QueueMeasure`), how many live workers serve it, and its pause."""

    queue: str
    ready: int
    claimed: int
    oldest_ms: int
    workers: int
    paused: Pause | None
    delayed: int = 0
    limited: int = 0


class WorkerView(NamedTuple):
    """A worker: what it says of itself, and the attempts that it runs."""

    info: WorkerInfo
    running: list[Active]


class Status(NamedTuple):
    """A store at one moment.

    ``outcomes``: counts by state since the store was first used. ``now_ms``: the time by its clock, ms since the epoch.
    """

    queues: list[QueueView]
    unfinished: int
    running: int
    delayed: int
    limited: int
    dead_kept: int
    overdue_ms: int
    workers: int
    outcomes: dict[str, int]
    pauses: list[Pause]
    now_ms: int


class TaskView(NamedTuple):
    """A task at one moment; times are ms since the epoch, 0 if unknown.

    ``message``: None if this process cannot read it, ``problem`` says why. ``error`` and ``result`` are those of a
    finished one, see `errors.describe`.
    """

    id: str
    state: str
    message: Message | None
    problem: str
    snapshot: Snapshot
    error: dict[str, Any] | None
    result: Any


class TaskPage(NamedTuple):
    """Tasks, and the cursor behind them; empty: there are no more."""

    tasks: list[TaskView]
    cursor: str


class LetterPage(NamedTuple):
    """Dead letters, and the cursor behind them; empty: there are no more."""

    letters: list[DeadLetter]
    cursor: str
