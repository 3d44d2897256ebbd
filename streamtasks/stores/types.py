"""What goes into the calls of a `Store`, and what comes out: plain values, per member of a batch."""

from __future__ import annotations

from enum import IntEnum
from typing import Any, NamedTuple

__all__ = [
    "Active",
    "Admission",
    "Charge",
    "ClaimId",
    "ClaimRequest",
    "Claimed",
    "Event",
    "Events",
    "Exchange",
    "Exhausted",
    "Filter",
    "Heartbeat",
    "Limit",
    "NewMessage",
    "Outcome",
    "Promotion",
    "Reclaim",
    "Revocation",
    "Settled",
    "Statistics",
    "WorkerInfo",
]


class Limit(NamedTuple):
    """A rate limit that many messages share by its ``name``: one start per ``interval_us`` (microseconds), of which
    ``burst`` may follow each other at once after a pause.
    """

    name: str
    interval_us: int
    burst: int = 1


class NewMessage(NamedTuple):
    """A message to accept.

    ``due_ms``: ms since the epoch (UTC), or ``None`` for now. ``delay_ms``: from now by the store's clock.
    ``limit``: the rate limit its starts count against. ``after``: the id of a task on the same shard that must
    succeed first; if that fails, or is not known, this one fails with it. ``expires_ms``: the message's own, ms since
    the epoch, 0: never; one that expires while it waits for its limit needs no start.
    """

    id: str
    queue: str
    priority: int
    envelope: bytes
    due_ms: int | None = None
    delay_ms: int | None = None
    limit: Limit | None = None
    after: str = ""
    expires_ms: int = 0


class Filter(NamedTuple):
    """Which queues a worker serves: ``mode`` is ``"all"``, ``"only"`` or ``"except"`` these ``queues``."""

    mode: str = "all"
    queues: tuple[str, ...] = ()


class Claimed(NamedTuple):
    """A message in a child's hands.

    ``token`` proves the claim; ``body`` is ``b"<enqueued ms> <envelope>"``, left whole for speed;
    ``stream`` and ``entry`` say where it lies; ``retries`` counts the attempts before this one that asked to be run
    again; ``first_started_ms`` is 0 if no attempt is known to have started. ``skip_reason``: why it must not run, only
    be settled: ``"revoked"``, or ``"parent <id>"`` for one whose parent failed; empty: run it.
    """

    id: str
    token: str
    stream: str
    entry: str
    attempt: int
    retries: int
    first_started_ms: int
    body: bytes
    skip_reason: str = ""


class ClaimId(NamedTuple):
    """One claim of a consumer, by its sequence number."""

    consumer: str
    sequence: int


class Outcome(NamedTuple):
    """How one attempt ended, to be settled.

    ``state`` is a final one, or RETRY to run again after ``delay_ms``. ``result`` holds the encoded result
    or error of a final one, ``keep_ms`` how long its record is kept. ``note`` is the reason of a DEAD one, the
    report of this attempt (a JSON line) of a RETRY. ``started_ms`` is 0 if the attempt never started. ``body`` is the
    claimed message's, or empty: then the store looks it up. ``follow``: messages that are accepted in the same step
    if this outcome is the one that counts.
    """

    id: str
    token: str
    stream: str
    entry: str
    attempt: int
    first_started_ms: int
    started_ms: int
    state: str
    result: bytes = b""
    note: str = ""
    keep_ms: int = 0
    delay_ms: int = 0
    body: bytes = b""
    follow: tuple[NewMessage, ...] = ()

    @classmethod
    def of(
        cls,
        held: Claimed | Exhausted,
        state: str,
        started_ms: int = 0,
        result: bytes = b"",
        note: str = "",
        keep_ms: int = 0,
        delay_ms: int = 0,
        follow: tuple[NewMessage, ...] = (),
    ) -> Outcome:
        """Return the outcome of a held message. The only place that copies what identifies the claim."""
        values = (
            held.id,
            held.token,
            held.stream,
            held.entry,
            held.attempt,
            held.first_started_ms,
            started_ms,
            state,
            result,
            note,
            keep_ms,
            delay_ms,
            held.body,
            follow,
        )
        return tuple.__new__(cls, values)  # one call less than the constructor, for every attempt


class Settled(IntEnum):
    """What became of one outcome. Only STALE means that the holder was fenced off."""

    STALE = 0
    DONE = 1
    ALREADY = 2


class Charge(IntEnum):
    """What became of an attempt whose child died."""

    STALE = 0
    AT_ONCE = 1
    AFTER_DELAY = 2
    LIMIT = 3


class Promotion(NamedTuple):
    """``next_due_ms``: ms until the next message is due by the store's clock, ``None`` if there is none."""

    promoted: int
    next_due_ms: int | None


class Exhausted(NamedTuple):
    """A reclaimed message that took a worker with it once too often; settle it as DEAD."""

    id: str
    token: str
    stream: str
    entry: str
    attempt: int
    started_ms: int
    first_started_ms: int
    body: bytes = b""


class Reclaim(NamedTuple):
    """``reclaimed`` messages are claimable again; ``exhausted`` ones must be settled by the caller."""

    reclaimed: int
    exhausted: list[Exhausted]


class Heartbeat(NamedTuple):
    """``hold_ms``: for how long reclaiming is held back after a silence of all workers; 0 normally."""

    now_ms: int
    hold_ms: int


class ClaimRequest(NamedTuple):
    """``sequence`` must rise; ``alone``: the child has nothing else in hand and may get a suspect.

    ``most`` 0: nothing is claimed, and `Exchange.suspects` tells whether one waits.
    """

    sequence: int
    most: int
    alone: bool


class Exchange(NamedTuple):
    """The answer to one `Channel.send`.

    ``suspects``: claim next with empty hands, a suspect waits. ``others_only``: only queues not served are ready.
    ``again``: claim again at once, there is more. ``run_alone``: nothing may run beside what was claimed.
    """

    settled: list[Settled]
    claimed: list[Claimed]
    now_ms: int
    suspects: bool
    others_only: bool
    again: bool
    run_alone: bool


class Revocation(IntEnum):
    """What revoking a task did.

    GONE: it had not started, and is finished as REVOKED now. MARKED: somebody holds it; whatever that attempt does,
    its outcome will be REVOKED. FINISHED: nothing, it was finished already. UNKNOWN: nothing is known of this id;
    should it be enqueued later, it is REVOKED at once, for as long as that is remembered.
    """

    UNKNOWN = 0
    GONE = 1
    MARKED = 2
    FINISHED = 3


class Active(NamedTuple):
    """A running attempt: ``body`` is ``b"<enqueued ms> <envelope>"``, ``worker`` the consumer that runs it."""

    id: str
    started_ms: int
    worker: str
    body: bytes


class Event(NamedTuple):
    """Something that happened to a message at ``at_ms``, ms since the epoch.

    ``kind`` and ``detail``: ``accepted`` and the name of its stream, ``started`` and the consumer that runs it,
    ``settled`` and its outcome (RETRY included), ``revoked`` and ``wait`` or ``terminate`` (while somebody held it).
    """

    at_ms: int
    kind: str
    id: str
    detail: str


class Events(NamedTuple):
    """Events in the order of their times; ``cursor`` says where to go on."""

    events: list[Event]
    cursor: str


class Statistics(NamedTuple):
    """Counts since the store was first used. ``outcomes`` by state; ``run_ms``: total time of finished attempts."""

    unfinished: int
    running: int
    delayed: int
    outcomes: dict[str, int]
    run_ms: int


class Admission(NamedTuple):
    """``next_us``: microseconds until more messages may be admitted; None: none is known to come."""

    admitted: int
    next_us: int | None


class WorkerInfo(NamedTuple):
    """A worker in the registry: ``beat_ms`` is its last sign of life, ``about`` what it says of itself."""

    name: str
    beat_ms: int
    about: dict[str, Any]
