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
    "check_kind",
    "pause_of",
    "queue_of",
]

EVERYTHING: Final = "*"
"""What is paused if all queues are."""

MOST_PAUSES: Final = 1000
"""So many queues can be paused at the same time."""

MOST_AUDITED: Final = 10_000
"""So many audit entries are kept; the oldest go."""

_QUEUE: Final = "queue:"


class AuditEntry(NamedTuple):
    """A change that somebody asked for.

    Attributes:
        operation: its name: ``revoke``, ``retry``, ``replay``, ``discard``, ``pause``, ``resume``, ``purge``.
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


class Pause(NamedTuple):
    """A pause of everything, or of a queue.

    Attributes:
        queue: its name; empty: everything is paused.
        since_ms: ms since the epoch.
        actor: who asked for it.
        reason: why.
        is_whole: False: only some shards are paused, because a call was interrupted; repeat it.
    """

    queue: str
    since_ms: int
    actor: str
    reason: str
    is_whole: bool = True


class IdPage(NamedTuple):
    """Ids, and the cursor behind them; empty: there are no more."""

    ids: list[str]
    cursor: str


def pause_of(queue: str) -> str:
    """Return what stands for a pause in a store; ``queue``: its name; empty: everything.

    Raises:
        UnknownQueue: it cannot be a queue's name.
    """
    return _QUEUE + check_queue(queue) if queue else EVERYTHING


def queue_of(pause: str) -> str:
    """Return the queue's name of what `pause_of` has returned; empty: everything."""
    return pause.removeprefix(_QUEUE) if pause != EVERYTHING else ""


def before_of(cursor: str) -> int:
    """Return the time of a cursor of finished tasks, ms since the epoch; 0: there is none.

    Raises:
        InvalidTask: it is no such cursor.
    """
    if cursor and not (cursor.isascii() and cursor.isdigit() and len(cursor) < 16):
        raise InvalidTask(f"cursor is {cursor!r}, which is none of finished tasks; begin without one.")
    return int(cursor or 0)


def check_kind(kind: str) -> str:
    """Return the kind of waiting tasks if there is such a one.

    Raises:
        InvalidTask: there is not.
    """
    if kind not in ("queued", "delayed", "limited"):
        raise InvalidTask(f"kind is {kind!r}; waiting tasks are 'queued', 'delayed' or 'limited'.")
    return kind
