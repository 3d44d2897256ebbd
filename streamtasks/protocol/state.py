"""States of a message, and snapshots of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final, NamedTuple

from ..exceptions import DecodeError, NotAuthentic
from .json import dumps, loads
from .message import Message
from .seals import PROGRESS
from .wire import JSON, RESULT, Wire

__all__ = [
    "FINAL_STATES",
    "STATUS",
    "DeadLetter",
    "Snapshot",
    "State",
    "check_outcome",
    "decode_progress",
    "encode_progress",
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
"""The status that Django knows, for each state."""


def encode_progress(state: str, meta: Any) -> bytes:
    """Encode what a running attempt reports.

    Raises:
        InvalidTask: JSON cannot carry ``meta``.
    """
    return dumps({"s": state, "m": meta})


def decode_progress(data: bytes) -> tuple[str, Any]:
    """Return the (state, meta) that `encode_progress` was given.

    Raises:
        DecodeError: the bytes are not JSON.
        KeyError, TypeError: they are not a report of this release.
    """
    report = loads(data)
    return report["s"], report["m"]


def check_outcome(state: State, outcome: dict[str, Any] | None, task_id: str) -> None:
    """Check that what was signed as an outcome fits the state, which is not signed; None: nothing was stored.

    Raises:
        NotAuthentic: it does not, so that a failure could pass for a success, or a success for another.
    """
    fits = True
    if state == State.SUCCESS:
        fits = outcome is not None and "r" in outcome
    elif state == State.IGNORED:
        fits = outcome is not None and not outcome
    elif outcome is not None:
        fits = "r" not in outcome
    if not fits:
        raise NotAuthentic(
            f"The result of {task_id} is not authentic: what was signed is not the outcome of a task in state "
            f"{state.value}. The state was changed on the server, or the result was written without a key before "
            "require_signed was set. Find out who may write to the server, and enqueue the task again.",
            "the state was changed on the server: find out who may write there, and enqueue it again",
        )


class DeadLetter(NamedTuple):
    """A dead letter: a message that was given up on, kept for inspection and replay.

    ``cursor`` says where it lies; ``id`` is empty for bytes that are no message. ``died_ms``: when, ms since the
    epoch. ``envelope``: the message's bytes, or whatever was found. ``wire`` reads them.
    """

    cursor: str
    reason: str
    id: str
    stream: str
    died_ms: int
    envelope: bytes
    wire: Wire = JSON

    def message(self) -> Message:
        """Return the message.

        Raises:
            DecodeError: the bytes are none, or this process may not read them.
        """
        return Message.decode(self.envelope, self.wire, self.id)


@dataclass(slots=True)
class Snapshot:
    """One message at one moment, as the store knows it. Times are ms since the epoch, 0 if unknown.

    Attributes:
        envelope: the message's bytes; see `message`.
        reports: one dict per earlier attempt: ``kind, attempt, worker, started, finished, error``. Of more than 25 the
            first 5 and the last 20, and between them ``{"kind": "OMITTED", "of": {kind: count}}``.
        worker: the consumer of the current or last attempt, ``""`` if none.
        result: the encoded result or error of a finished message; see `outcome`.
        progress: the last report of a running attempt, encoded, ``b""`` if there is none.
        waits_for: what a BLOCKED or LIMITED one waits for: a task's id, or the name of a rate limit.
        wire: decodes it.
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
    wire: Wire = field(default=JSON, repr=False, compare=False)

    @property
    def is_finished(self) -> bool:
        """Whether the state is final."""
        return self.state in FINAL_STATES

    def message(self) -> Message:
        """Return what was enqueued.

        Raises:
            DecodeError: the bytes are no message, or this process may not read them.
        """
        return Message.decode(self.envelope, self.wire, self.id)

    def outcome(self) -> dict[str, Any]:
        """Return ``{"r": result}`` or ``{"e": error}`` of a finished message (see `errors.describe`); empty: none kept.

        Raises:
            DecodeError: the bytes are none of ours, or this process may not read them.
        """
        if not self.result:
            if self.wire.requires_signed:
                check_outcome(self.state, None, self.id)
            return {}
        found = self.wire.loads(self.result, RESULT, self.id)
        if not isinstance(found, dict):
            raise DecodeError(f"not an outcome: {self.result[:80]!r}")
        if self.wire.requires_signed:
            check_outcome(self.state, found, self.id)
        return found

    def report(self) -> tuple[str, Any]:
        """Return the (state, meta) that the attempt reported last (see `progress`).

        Raises:
            DecodeError: the bytes are none of ours, or this process may not read them.
            KeyError, TypeError: they are not a report of this release.
        """
        return decode_progress(self.wire.unseal(self.progress, PROGRESS, self.id))
