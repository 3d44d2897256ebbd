"""The one interface above the scripts: every state change of a message is one `Store` call.

Nothing above this module names Redis. Calls take batches and answer per member with values a model
can predict. Every call may be repeated as it is: accepting is idempotent by the task's id, claiming by
the claim's sequence number, and all else by the claim's token.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from typing import Any, NamedTuple, Protocol

__all__ = [
    "FINAL_STATES",
    "Alive",
    "AsyncStore",
    "Channel",
    "Charge",
    "ClaimRequest",
    "Claimed",
    "DeadLetter",
    "Exchange",
    "Exhausted",
    "Filter",
    "NewMessage",
    "Outcome",
    "Promotion",
    "Reclaim",
    "Settled",
    "Snapshot",
    "State",
    "Store",
    "SupervisorStore",
    "Void",
]


class State(StrEnum):
    """The detailed state of a message."""

    DELAYED = "DELAYED"
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


FINAL_STATES = frozenset(
    {State.SUCCESS, State.FAILURE, State.IGNORED, State.EXPIRED, State.REVOKED, State.DEAD},
)


class NewMessage(NamedTuple):
    """A message to accept.

    ``due_ms``: ms since the epoch (UTC), or ``None`` for now. ``delay_ms``: from now by the store's clock.
    """

    id: str
    queue: str
    priority: int
    envelope: bytes
    due_ms: int | None = None
    delay_ms: int | None = None


class Filter(NamedTuple):
    """Which queues a worker serves: ``mode`` is ``"all"``, ``"only"`` or ``"except"`` these ``queues``."""

    mode: str = "all"
    queues: tuple[str, ...] = ()


class Claimed(NamedTuple):
    """A message in a child's hands.

    ``token`` proves the claim; ``body`` is ``b"<enqueued ms> <envelope>"``, left whole for speed;
    ``stream`` and ``entry`` say where it lies; ``retries`` counts the attempts before this one that asked to be run
    again; ``first_started_ms`` is 0 if no attempt is known to have started.
    """

    id: str
    token: str
    stream: str
    entry: str
    attempt: int
    retries: int
    first_started_ms: int
    body: bytes


class Void(NamedTuple):
    """The last claim that a consumer has sent: what it took goes back, and it shall return nothing from now on."""

    consumer: str
    sequence: int


class Outcome(NamedTuple):
    """How one attempt ended, to be settled.

    ``state`` is a final one, or RETRY to run again after ``delay_ms``. ``result`` holds the encoded result
    or error of a final one, ``keep_ms`` how long its record is kept. ``note`` is the reason of a DEAD one, the
    report of this attempt (a JSON line) of a RETRY. ``started_ms`` is 0 if the attempt never started. ``body`` is the
    claimed message's, or empty: then the store looks it up.
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


class Reclaim(NamedTuple):
    """``reclaimed`` messages are claimable again; ``exhausted`` ones must be settled by the caller."""

    reclaimed: int
    exhausted: list[Exhausted]


class Alive(NamedTuple):
    """``hold_ms``: for how long reclaiming is held back after a silence of all workers; 0 normally."""

    now_ms: int
    hold_ms: int


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

    @property
    def is_finished(self) -> bool:
        """Whether the state is final."""
        return self.state in FINAL_STATES


class Channel(Protocol):
    """A child's own way to the store: settles and claims in one exchange, waits without polling.

    `send` and `receive` come in pairs; work may go on between them. If the reply is lost, `receive` sends
    the same again by itself: nothing happens twice.
    """

    def send(self, outcomes: Sequence[Outcome], claim: ClaimRequest | None, released: Sequence[str] = ()) -> None:
        """Start an exchange: settle these outcomes, then claim.

        ``released`` are the tokens that hold nothing any more once these outcomes are settled.
        """
        ...

    def receive(self) -> Exchange:
        """Finish the exchange that `send` started.

        Raises:
            StoreUnavailable: no answer yet; call again to go on trying.
        """
        ...

    def reply_fd(self) -> int:
        """Return a file descriptor that becomes readable when `receive` has something to read."""
        ...

    def start_wait(self) -> int:
        """Start to wait for work; return a file descriptor that becomes readable when there may be some."""
        ...

    def finish_wait(self) -> None:
        """Take what woke the wait, so that `start_wait` can be called again."""
        ...

    def close(self) -> None:
        """Close the connections."""
        ...


class ClaimRequest(NamedTuple):
    """``sequence`` must rise; ``alone``: the child has nothing else in hand and may get a suspect."""

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


class Store(Protocol):
    """What a producer needs: accept, read, wait."""

    @property
    def tags(self) -> tuple[str, ...]:
        """The shards."""
        ...

    def enqueue(self, messages: Sequence[NewMessage]) -> list[bool]:
        """Accept messages; per message: True if it is new, False if its id was known already.

        Raises:
            StoreUnavailable: no answer until the deadline; the same call may be repeated.
            StoreFull: the server is out of memory.
        """
        ...

    def read(self, ids: Sequence[str]) -> list[Snapshot | None]:
        """Return what is known of each id; None if nothing is."""
        ...

    def wait_finished(self, ids: Sequence[str], timeout_s: float | None) -> set[str]:
        """Wait until at least one of these is finished or the time is up; return those that are finished."""
        ...

    def dead_letters(self, limit: int = 100, before: str = "") -> list[DeadLetter]:
        """Return messages that were given up on, newest first; ``before``: the cursor of one, to go on from."""
        ...

    def check(self) -> None:
        """Look whether tasks are safe there. One that cannot be reached now is no reason to refuse it.

        Raises:
            ServerNotSupported: tasks could be lost.
            AccessDenied: user or password are wrong.
        """
        ...

    def channel(self, tag: str, consumer: str, queues: Filter) -> Channel:
        """Open a child's channel to one shard."""
        ...


class AsyncStore(Protocol):
    """What a producer needs, natively asynchronous; see `Store`."""

    async def enqueue(self, messages: Sequence[NewMessage]) -> list[bool]:
        """Accept messages."""
        ...

    async def read(self, ids: Sequence[str]) -> list[Snapshot | None]:
        """Return what is known of each id."""
        ...

    async def wait_finished(self, ids: Sequence[str], timeout_s: float | None) -> set[str]:
        """Wait until at least one of these is finished."""
        ...


class SupervisorStore(Protocol):
    """What a supervisor needs, natively asynchronous. All calls concern one shard."""

    async def settle(self, tag: str, outcomes: Sequence[Outcome]) -> list[Settled]:
        """Write outcomes in the name of children that cannot."""
        ...

    async def hand_back(
        self,
        tag: str,
        claimed: Sequence[Claimed],
        *,
        void: Void | None = None,
        gone: bool = False,
    ) -> list[bool]:
        """Return messages to their places, uncharged: the attempt does not count.

        ``void`` also returns what that claim took; with ``gone`` its consumer is forgotten.
        """
        ...

    async def charge(self, tag: str, attempts: Sequence[tuple[Claimed, int, str]]) -> list[Charge]:
        """Count a crash against running attempts: (claimed, started ms, report)."""
        ...

    async def promote(self, tag: str) -> Promotion:
        """Move due messages to their streams."""
        ...

    async def reclaim(self, tag: str) -> Reclaim:
        """Take over expired claims."""
        ...

    async def mark_running(self, tag: str, attempts: Sequence[tuple[Claimed, int]]) -> list[bool]:
        """Make starts visible: (claimed, ms since it started)."""
        ...

    async def renew(self, tag: str, tokens: Sequence[str]) -> list[bool]:
        """Extend the leases of claims; False: not held any more, its attempts must be stopped."""
        ...

    async def beat(self, tag: str, worker: str, info: dict[str, Any] | None) -> Alive:
        """Say that this worker lives; ``None``: that it leaves."""
        ...

    async def sweep(self, tag: str, idle_ms: int) -> int:
        """Forget consumers that hold nothing and were idle for longer; return how many."""
        ...

    async def progress(self, tag: str, reports: Sequence[tuple[Claimed, bytes]]) -> list[bool]:
        """Store progress of running attempts."""
        ...

    def listen(self) -> AsyncIterator[tuple[str, str]]:
        """Yield control messages as (tag, text), first ``("", "subscribed")``.

        Raises:
            StoreUnavailable: the connection broke.
        """
        ...
