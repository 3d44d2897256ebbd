"""What one shard holds: unfinished messages, records of finished ones, streams, claims; and the small moves that
several transitions share. Each transition's module stands beside the Lua script of the same purpose.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING, Any

from ...protocol.state import DeadLetter
from ..types import Event, Limit, NewMessage
from .clock import Clock

if TYPE_CHECKING:
    from .limits import LimitState
    from .schedules import Scheduled
    from .workflows import WorkflowState

__all__ = ["HELD", "MANY", "RETURNED", "SUSPECT", "Live", "Record", "Shard", "Stream"]

MANY = 1000
RETURNED = "returned"
SUSPECT = "suspect"
HELD = frozenset("CRX")
"""Phases of a message that somebody holds; all phases stand in the protocol page under "State line"."""


@dataclass(slots=True)
class Live:
    """A message that is not finished; the words of the state line under their own names.

    ``token`` holds the claim, ``settled`` ended an attempt last; both empty: nobody. ``skip_reason`` is why it must not
    run any more: ``"revoked"``, ``"terminate"`` or ``"parent:<id>"``. ``after`` is the task it waits for,
    ``after_due_ms`` when it is due once that has succeeded, and ``after_delay_ms`` how long after it. ``suspect``: a
    suspect that waits for its limit. ``then``: what follows a workflow's node, as in `transitions.Node`.
    ``expires_ms``: from a second later it needs no token of its limit.
    """

    id: str
    body: bytes
    name: str
    phase: str = "Q"
    token: str = ""
    entry: str = ""
    attempts: int = 0
    crashes: int = 0
    lost: int = 0
    first_ms: int = 0
    started_ms: int = 0
    settled: str = ""
    limit: Limit | None = None
    suspect: bool = False
    expires_ms: int = 0
    skip_reason: str = ""
    after: str = ""
    after_due_ms: int = 0
    after_delay_ms: int = 0
    then: str = ""
    history: bytes = b""
    progress: bytes = b""

    @property
    def retries(self) -> int:
        """Attempts before the current one that asked to be run again."""
        return self.attempts - 1 - self.crashes - self.lost

    @property
    def is_blank(self) -> bool:
        """Whether it is queued without a past: nothing but the message itself is worth keeping then."""
        return self.phase == "Q" and not (
            self.attempts or self.crashes or self.lost or self.skip_reason or self.limit or self.then
        )

    def held_by(self, token: str) -> bool:
        """Whether this token holds the claim."""
        return self.token == token and self.phase in HELD

    def set_down(self, phase: str) -> None:
        """Leave the hands that held it."""
        if self.phase == "X":
            self.skip_reason = "revoked"
        self.token, self.phase, self.started_ms, self.progress = "", phase, 0, b""
        if self.is_blank:
            self.first_ms, self.settled = 0, ""


@dataclass(slots=True)
class Record:
    """A finished message. ``state`` is empty for one that was revoked before it was enqueued.

    ``forgotten``: nobody can read it any more, but its id is still known.
    """

    state: str
    token: str
    finished_ms: int
    expires_ms: int
    first_ms: int = 0
    started_ms: int = 0
    attempts: int = 0
    body: bytes = b""
    result: bytes = b""
    history: bytes = b""
    forgotten: bool = False


@dataclass(slots=True)
class Stream:
    """Entries of one queue and priority. ``unread`` ones belong to nobody yet; of the others ``owners`` tells who has
    them, a consumer or one of the two that do not exist: `RETURNED`, `SUSPECT`.
    """

    name: str
    entries: dict[str, str] = field(default_factory=dict)
    unread: deque[str] = field(default_factory=deque)
    owners: dict[str, str] = field(default_factory=dict)

    @property
    def queue(self) -> str:
        """The queue's name."""
        return self.name.partition(":")[2]

    @property
    def priority(self) -> int:
        """-100 to 100."""
        return int(self.name.partition(":")[0])

    def owned_by(self, owner: str, most: int) -> list[str]:
        """Return the oldest entries that somebody has."""
        return sorted((entry for entry, who in self.owners.items() if who == owner), key=_age)[:most]

    def drop(self, entry: str) -> None:
        """Acknowledge and delete an entry."""
        owned = self.owners.pop(entry, None) is not None
        if self.entries.pop(entry, None) is not None and not owned and entry in self.unread:
            self.unread.remove(entry)


class Shard:
    """One shard. Its owner holds the lock; ``told`` and ``rings`` leave with the end of the step."""

    def __init__(self, tag: str, clock: Clock, accepted: Callable[[NewMessage], None] = lambda _: None) -> None:
        self.tag = tag
        self.clock = clock
        self.accepted = accepted
        self.live: dict[str, Live] = {}
        self.records: dict[str, Record] = {}
        self.streams: dict[str, Stream] = {}
        self.ready: set[str] = set()
        self.leases: dict[str, int] = {}
        self.batches: dict[str, tuple[str, ...]] = {}
        self.claims: dict[str, tuple[int, str, int]] = {}
        self.delayed: dict[str, int] = {}
        self.children_of: dict[str, list[str]] = {}
        self.workflows: dict[str, WorkflowState] = {}
        self.unfolding: set[str] = set()
        self.many_workflows = MANY
        self.schedules: dict[str, Scheduled] = {}
        self.declarations: dict[str, int] = {}  # app -> when the code was loaded that declared last
        self.schedule_revision = 0
        # Rate limits: who waits, and its place (the smallest goes first); what is known of each; when to look, ms.
        self.waiting: dict[str, dict[str, tuple[int, int, str]]] = {}
        self.limits: dict[str, LimitState] = {}
        self.asking: dict[str, int] = {}
        self.limiters: dict[str, int] = {}
        self.dead: deque[DeadLetter] = deque()
        self.totals: Counter[str] = Counter()
        self.workers: dict[str, tuple[int, dict[str, Any]]] = {}
        self.last_beat_ms = 0
        self.hold_until_ms = 0
        self.events: deque[Event] = deque()
        self.events_kept = self.events_gone = 0
        self.rings: set[str] = set()
        self.told: list[tuple[str, str]] = []
        self._entries = count(1)
        self._crowded = MANY

    def now_ms(self) -> int:
        """Return the time, ms since the epoch."""
        return self.clock.now_ms()

    def tell(self, channel: str, text: str) -> None:
        """Say something to whoever listens: ``control``, ``done`` or ``news``."""
        self.told.append((channel, text))

    def note(self, kind: str, task_id: str, detail: str) -> None:
        """Note an event, if events are wanted; the oldest go first."""
        if self.events_kept:
            self.events.append(Event(self.now_ms(), kind, task_id, detail))
            while len(self.events) > self.events_kept:
                self.events.popleft()
                self.events_gone += 1

    # -- streams -------------------------------------------------------------------------------------

    def stream(self, name: str) -> Stream:
        """Return the stream of that name, made when it is first asked for."""
        found = self.streams.get(name)
        if found is None:
            found = self.streams[name] = Stream(name)
        return found

    def new_entry(self) -> str:
        """Return an entry's id, later than all before."""
        return f"{self.now_ms()}-{next(self._entries)}"

    def append(self, message: Live) -> None:
        """Put a message at the end of its stream, and ring for a child."""
        stream, entry = self.stream(message.name), self.new_entry()
        stream.entries[entry] = message.id
        stream.unread.append(entry)
        self.make_ready(stream)

    def put_back(self, message: Live, owner: str) -> None:
        """Return a message to its old place, for ``owner``."""
        stream = self.stream(message.name)
        if message.entry in stream.entries:
            stream.owners[message.entry] = owner
        self.make_ready(stream)

    def make_ready(self, stream: Stream) -> None:
        """Note that there is something to claim; ring if there was nothing."""
        if stream.name not in self.ready:
            self.ready.add(stream.name)
            self.ring("")
            self.ring(stream.queue)

    def ring(self, queue: str) -> None:
        """Wake one child that waits for this queue; empty: for any."""
        self.rings.add(queue)

    def park(self, message: Live, due_ms: int) -> None:
        """Keep a message until it is due; tell when it is the next one."""
        self.delayed[message.id] = due_ms
        if min(self.delayed.items(), key=lambda item: (item[1], item[0]))[0] == message.id:
            self.tell("control", f"due {due_ms}")

    # -- claims --------------------------------------------------------------------------------------

    def held(self, task_id: str, token: str) -> Live | None:
        """Return a message if this token holds it."""
        message = self.live.get(task_id)
        return message if message is not None and message.held_by(token) else None

    def release(self, tokens: Iterable[str]) -> None:
        """End the claims whose messages are all out of their hands."""
        for token in tokens:
            if not any(self.held(task_id, token) for task_id in self.batches.get(token, ())):
                self.batches.pop(token, None)
                self.leases.pop(token, None)

    # -- records -------------------------------------------------------------------------------------

    def record(self, task_id: str) -> Record | None:
        """Return the record of an id that has not expired."""
        found = self.records.get(task_id)
        if found is not None and found.expires_ms <= self.now_ms():
            del self.records[task_id]
            return None
        return found

    def keep(self, task_id: str, record: Record) -> None:
        """Keep a record until it expires; expired ones go before there are twice as many."""
        self.records[task_id] = record
        if len(self.records) >= self._crowded:
            for known in list(self.records):
                self.record(known)
            self._crowded = max(MANY, 2 * len(self.records))

    def bury(self, reason: str, message: Live, most: int) -> None:
        """Keep a dead letter; the oldest go first."""
        envelope = message.body.partition(b" ")[2]
        letter = DeadLetter(self.new_entry(), reason, message.id, message.name, self.now_ms(), envelope)
        self.dead.append(letter)
        while len(self.dead) > most:
            self.dead.popleft()


def _age(entry: str) -> tuple[int, int]:
    ms, _, number = entry.partition("-")
    return int(ms), int(number)
