"""What can be known of a message: its state, and all that a store tells of it at one moment."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final, NamedTuple

__all__ = [
    "FINAL_STATES",
    "STATUS",
    "DeadLetter",
    "Snapshot",
    "State",
]


class State(StrEnum):
    """The detailed state of a message.

    BLOCKED waits for another task, LIMITED for its rate limit. PROGRESS is STARTED with something to show. CALLED
    is how a callback message ends, and only for that: it leaves no trace.
    """

    BLOCKED = "BLOCKED"
    DELAYED = "DELAYED"
    LIMITED = "LIMITED"
    QUEUED = "QUEUED"
    RETRY = "RETRY"
    STARTED = "STARTED"
    PROGRESS = "PROGRESS"
    SUCCESS = "SUCCESS"
    FAILURE = "FAILURE"
    IGNORED = "IGNORED"
    EXPIRED = "EXPIRED"
    REVOKED = "REVOKED"
    DEAD = "DEAD"
    CALLED = "CALLED"


FINAL_STATES = frozenset(
    {State.SUCCESS, State.FAILURE, State.IGNORED, State.EXPIRED, State.REVOKED, State.DEAD},
)


STATUS: Final = {
    State.BLOCKED: "READY",
    State.DELAYED: "READY",
    State.LIMITED: "READY",
    State.QUEUED: "READY",
    State.RETRY: "READY",
    State.STARTED: "RUNNING",
    State.PROGRESS: "RUNNING",
    State.SUCCESS: "SUCCESSFUL",
    State.IGNORED: "SUCCESSFUL",
    State.FAILURE: "FAILED",
    State.EXPIRED: "FAILED",
    State.REVOKED: "FAILED",
    State.DEAD: "FAILED",
}
"""The four words that Django has, for each state."""


class DeadLetter(NamedTuple):
    """A message that was given up on.

    ``cursor`` says where it lies; ``id`` is empty for bytes that are no message. ``died_ms``: when, ms since the
    epoch. ``envelope``: the message's bytes, or whatever was found.
    """

    cursor: str
    reason: str
    id: str
    stream: str
    died_ms: int
    envelope: bytes


@dataclass(slots=True)
class Snapshot:
    """What the store knows of one message at one moment. Times are ms since the epoch, 0 if unknown.

    Attributes:
        envelope: the message's bytes (`Message.decode` reads them).
        reports: one dict per earlier attempt: ``attempt, worker, started, finished, kind, error``.
        worker: the consumer of the current or last attempt, ``""`` if none.
        result: the encoded result or error of a finished message.
        progress: what a running attempt said last, encoded, ``b""`` if nothing.
        waits_for: what a BLOCKED or LIMITED one waits for: a task's id, or the name of a rate limit.
    """

    id: str
    state: State
    envelope: bytes
    enqueued_ms: int
    attempts: int = 0
    first_started_ms: int = 0
    started_ms: int = 0
    finished_ms: int = 0
    due_ms: int = 0
    worker: str = ""
    reports: list[dict[str, Any]] = field(default_factory=list)
    result: bytes = b""
    progress: bytes = b""
    waits_for: str = ""

    @property
    def is_finished(self) -> bool:
        """Whether the state is final."""
        return self.state in FINAL_STATES
