"""Values that the calls of a `Store` take and return, per member of a batch."""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from typing import Any, Final, NamedTuple

from ..protocol.durability import Durability

__all__ = [
    "SHARDS",
    "SUBSCRIBED",
    "Admission",
    "Charge",
    "ClaimId",
    "ClaimRequest",
    "Claimed",
    "Exchange",
    "Exhausted",
    "Filter",
    "FinishedPage",
    "Heartbeat",
    "Limit",
    "NewMessage",
    "Outcome",
    "Promotion",
    "Reclaim",
    "Revocation",
    "Settled",
    "Swept",
]

SHARDS: Final = "shards"
"""The control message that the list of shards may have grown; it is of no shard."""

SUBSCRIBED: Final = "subscribed"
"""A control message that no store sends: it is listened to from now on, and some may have been missed before."""


class Limit(NamedTuple):
    """A rate limit, shared by all messages that name it: one start per ``interval_us`` (microseconds).

    ``burst``: how many starts may follow each other at once after a pause.
    """

    name: str
    interval_us: int
    burst: int = 1


class NewMessage(NamedTuple):
    """A message to enqueue.

    ``due_ms``: ms since the epoch (UTC), or ``None`` for now. ``delay_ms``: from now by the store's clock.
    ``limit``: the rate limit that its starts count against. ``after``: the id of a task on the same shard that must
    succeed first; if that task fails or is unknown, this one fails, too. ``expires_ms``, ``expires_in_ms``: the
    message's own, see `protocol.message.Message`; one that expires while it waits for its limit does not count as a
    start. ``hears``: what is heard of its end, see `protocol.heard`. ``durability``: what must have it before the call
    returns, None: as the settings say; see `protocol.durability`.
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
    expires_in_ms: int = 0
    hears: str = ""
    durability: Durability | None = None


class Filter(NamedTuple):
    """The queues that a worker serves: ``mode`` is ``"all"``, ``"only"`` or ``"except"`` these ``queues``."""

    mode: str = "all"
    queues: tuple[str, ...] = ()


class Claimed(NamedTuple):
    """A message in a child's hands.

    ``token`` proves the claim; ``body`` is ``b"<enqueued ms> <envelope>"``, not split, for speed;
    ``stream`` and ``entry`` locate it; ``retries`` counts the earlier attempts that asked for another run;
    ``first_started_ms`` (ms since the epoch) is 0 if no attempt is known to have started. ``skip_reason``: why it must
    not run, only be settled: ``"revoked"``, or ``"parent <id>"`` if its parent failed; empty: run it.
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
    """The outcome of one attempt, to be settled.

    ``state`` is a final state, or RETRY: run again after ``delay_ms``. With a final state, ``result`` is the encoded
    result or error, and ``keep_ms`` is how long the record is kept. ``note``: the reason of DEAD, or the report (a JSON
    line) of RETRY. ``started_ms`` (ms since the epoch) is 0 if the attempt never started. ``body`` is that of the
    claimed message, or empty: then the store reads it. ``follow``: messages that are enqueued in the same step if this
    outcome is recorded.
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
    """What became of one outcome.

    DONE: it is recorded. ALREADY: it was recorded before, by this token. STALE: the claim was lost to another holder.
    AWAY: its shard cannot be reached now; the channel settles it later, see `Exchange.late`.
    """

    STALE = 0
    DONE = 1
    ALREADY = 2
    AWAY = 3


class Charge(IntEnum):
    """What became of an attempt whose child died.

    AT_ONCE, AFTER_DELAY: it is charged and runs again. LIMIT: nothing was done; settle it as DEAD. STALE: the claim was
    lost to another holder.
    """

    STALE = 0
    AT_ONCE = 1
    AFTER_DELAY = 2
    LIMIT = 3


class Swept(NamedTuple):
    """What a clean-up removed: consumers that have ended, and streams that nothing was in."""

    consumers: int
    streams: int


class Promotion(NamedTuple):
    """How many messages were promoted.

    ``next_due_us``: us until the next one is due by the store's clock, ``None`` if there is none.
    """

    promoted: int
    next_due_us: int | None


class Exhausted(NamedTuple):
    """A message whose workers vanished too often while it ran; the caller settles it as DEAD."""

    id: str
    token: str
    stream: str
    entry: str
    attempt: int
    started_ms: int
    first_started_ms: int
    body: bytes = b""


class Reclaim(NamedTuple):
    """How many messages can be claimed again, and those that the caller must settle as DEAD."""

    reclaimed: int
    exhausted: list[Exhausted]


class Coming(NamedTuple):
    """What comes on a shard: in how many ms the first of each kind; None: there is none, or it is not known.

    ``delayed``, ``schedule``, ``unfold``, ``limit``: when a message, a schedule, a workflow or a rate limit is to be
    looked at. ``lease``: when the first lease ends. ``ready``: 0 if something can be claimed.
    """

    delayed: int | None = None
    schedule: int | None = None
    unfold: int | None = None
    limit: int | None = None
    lease: int | None = None
    ready: int | None = None


class Heartbeat(NamedTuple):
    """The store's time, ms since the epoch, when a worker's sign of life arrived.

    ``hold_ms``: for how long nothing is reclaimed, because all workers were silent before; 0 normally.
    ``back_ms``: by how much the clock went back since the last sign of life of any worker; 0 normally. ``coming``: what
    comes on the shard. ``request``: what somebody asks of the worker, ``"drain"`` or ``"stop"``; empty: nothing.
    """

    now_ms: int
    hold_ms: int
    back_ms: int = 0
    coming: Coming = Coming()
    request: str = ""


class ClaimRequest(NamedTuple):
    """A child's request for messages.

    ``sequence`` rises with each request; the same one again returns the same messages. ``most``: how many to claim;
    0: none, only learn from `Exchange.suspects` whether a suspect is reserved for this child. ``alone``: the child has
    nothing else in hand and may get a suspect. ``tag``: the shard, from a child that serves several and is woken by
    `SupervisorStore.listen`; empty: that of the channel. ``suspects``: False leaves suspects to other workers, because
    this one may hold one of another shard. ``least``: with a tag, nothing of a lower priority is claimed.
    """

    sequence: int
    most: int
    alone: bool
    tag: str = ""
    suspects: bool = True
    least: int = -100


class Exchange(NamedTuple):
    """The answer to one `Channel.send`.

    ``now_ms``: the store's time, ms since the epoch, 0: not known. ``suspects``: a suspect is reserved for this child,
    which has to claim next with empty hands. ``others_only``: only queues that this worker does not serve have
    messages. ``again``: claim again at once, there is more. ``run_alone``: nothing may run beside the claimed message.
    ``left``: the best priority that is left on the shard, if the request named it; None: nothing is. ``drained``: the
    claim has most likely taken all there was; what comes later, or was left, wakes who waits.

    Only with several shards: ``late``: what became of outcomes that were away before: token, id, what. ``error``: why
    a shard has not answered; None: all have. ``missed``: that of the claim has not; ``unsure``: the claim may have
    taken effect all the same, so this sequence must be the next on that shard.
    """

    settled: list[Settled]
    claimed: list[Claimed]
    now_ms: int
    suspects: bool
    others_only: bool
    again: bool
    run_alone: bool
    left: int | None = None
    late: Sequence[tuple[str, str, Settled]] = ()
    error: Exception | None = None
    missed: bool = False
    unsure: bool = False
    drained: bool = False


class Revocation(IntEnum):
    """The effect of revoking a task.

    GONE: it had not started, and is finished as REVOKED. MARKED: somebody holds it; whatever the attempt does, its
    outcome will be REVOKED. FINISHED: none, it was finished before. UNKNOWN: the id is not known; if it is enqueued
    later, it is REVOKED at once, for as long as that is remembered.
    """

    UNKNOWN = 0
    GONE = 1
    MARKED = 2
    FINISHED = 3


class FinishedPage(NamedTuple):
    """Ids of tasks that finished after a position.

    ``position``: JSON, that behind them. ``now_ms``: the server's time, ms since the epoch. ``is_last``: no more is
    known.
    """

    ids: list[str]
    position: dict[str, Any]
    now_ms: int
    is_last: bool


class Admission(NamedTuple):
    """How many messages were admitted.

    ``next_us``: microseconds until more may be admitted, ``None`` if none is known to come.
    """

    admitted: int
    next_us: int | None
