"""Values that the steering calls of a `Store` take and return: pauses, audit entries, pages of waiting tasks."""

from __future__ import annotations

from typing import Final, NamedTuple

from ..exceptions import InvalidTask
from ..protocol.keys import check_queue

__all__ = [
    "EVERYTHING",
    "MOST_AUDITED",
    "MOST_PAUSES",
    "AuditEntry",
    "IdPage",
    "Pause",
    "before_of",
    "can_pause",
    "check_kind",
    "check_request",
    "check_task_name",
    "counted_as",
    "pause_of",
    "queue_of",
    "task_paused_by",
]

EVERYTHING: Final = "*"
"""What is paused if all queues are."""

MOST_PAUSES: Final = 1000
"""So many queues and tasks can be paused at the same time."""

MOST_AUDITED: Final = 10_000
"""So many audit entries are kept; the oldest go."""

_OUTCOMES: Final = ("failed", "finished", "undone")

_QUEUE: Final = "queue:"
_TASK: Final = "task:"

MOST_NAME: Final = 200
"""A task whose name is longer cannot be paused."""


class AuditEntry(NamedTuple):
    """A change that somebody asked for.

    Attributes:
        operation: its name: ``revoke``, ``retry``, ``replay``, ``discard``, ``pause``, ``resume``, ``purge``,
            ``forget``, ``drain``, ``stop``.
        target: the id, queue or cursor that it was about.
        actor: who asked for it.
        reason: why.
        at_ms: when, ms since the epoch by the store's clock; 0: not known yet.
        cursor: where the entry lies.
        nonce: of one call, so that it can be repeated.
    """

    operation: str
    target: str
    actor: str
    reason: str = ""
    at_ms: int = 0
    cursor: str = ""
    nonce: str = ""


def counted_as(entry: AuditEntry) -> tuple[str, str]:
    """Return as which operation, and with which outcome, an audit entry is counted.

    An entry that is written before the change is ``asked``. Behind it may come one whose operation ends with
    `` failed``, `` finished`` or `` undone``: its outcome.
    """
    operation, _, outcome = entry.operation.rpartition(" ")
    return (operation, outcome) if operation and outcome in _OUTCOMES else (entry.operation, "asked")


class Pause(NamedTuple):
    """A pause of everything, of a queue, or of a task.

    Attributes:
        queue: its name; empty: everything is paused, or a task.
        since_ms: ms since the epoch.
        actor: who asked for it.
        reason: why.
        is_whole: False: only some shards are paused, because a call was interrupted; repeat it.
        task: its name; empty: everything is paused, or a queue.
    """

    queue: str
    since_ms: int
    actor: str
    reason: str
    is_whole: bool = True
    task: str = ""

    @property
    def is_everything(self) -> bool:
        """Whether everything is paused."""
        return not self.queue and not self.task

    def holds(self, queue: str, task: str = "") -> bool:
        """Return whether nothing of a queue, or of a task in it, is claimed."""
        return self.is_everything or self.queue == queue != "" or self.task == task != ""


class IdPage(NamedTuple):
    """Ids, and the cursor behind them; empty: there are no more."""

    ids: list[str]
    cursor: str


def pause_of(queue: str, task: str = "") -> str:
    """Return what stands for a pause in a store; both empty: everything.

    Raises:
        UnknownQueue: it cannot be a queue's name.
        InvalidTask: no task of this name can be paused.
    """
    if task:
        return _TASK + check_task_name(task)
    return _QUEUE + check_queue(queue) if queue else EVERYTHING


def queue_of(pause: str) -> str:
    """Return the queue's name of what `pause_of` has returned; empty: everything, or a task."""
    return pause.removeprefix(_QUEUE) if pause.startswith(_QUEUE) else ""


def task_paused_by(pause: str) -> str:
    """Return the task's name of what `pause_of` has returned; empty: everything, or a queue."""
    return pause.removeprefix(_TASK) if pause.startswith(_TASK) else ""


def can_pause(task: str) -> bool:
    """Return whether a name can be paused: a store must find it in messages as it is."""
    return task.isascii() and task.isprintable() and 1 <= len(task) <= MOST_NAME and not {'"', "\\"} & set(task)


def check_task_name(task: str) -> str:
    """Return the name of a task if it can be paused, see `can_pause`.

    Raises:
        InvalidTask: it is not 1 to 200 printable ASCII characters without quotes and backslashes.
    """
    if not can_pause(task):
        raise InvalidTask(
            f"Task {task!r} cannot be paused: its name must be 1 to {MOST_NAME} printable ASCII characters without "
            "quotes and backslashes. Give the task a queue of its own, and pause that."
        )
    return task


def before_of(cursor: str) -> int:
    """Return the time of a cursor of finished tasks, ms since the epoch; 0: there is none.

    Raises:
        InvalidTask: it is no such cursor.
    """
    if cursor and not (cursor.isascii() and cursor.isdigit() and len(cursor) < 16):
        raise InvalidTask(f"cursor is {cursor!r}, which is none of finished tasks; begin without one.")
    return int(cursor or 0)


def check_request(request: str) -> str:
    """Return what is asked of a worker if it can be.

    Raises:
        InvalidTask: it cannot.
    """
    if request not in ("drain", "stop"):
        raise InvalidTask(f"request is {request!r}; a worker can be asked to 'drain' or to 'stop'.")
    return request


def check_kind(kind: str) -> str:
    """Return the kind of waiting tasks if there is such a one.

    Raises:
        InvalidTask: there is not.
    """
    if kind not in ("queued", "delayed", "limited"):
        raise InvalidTask(f"kind is {kind!r}; waiting tasks are 'queued', 'delayed' or 'limited'.")
    return kind
