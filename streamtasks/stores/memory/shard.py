"""One shard in memory, and the steps that several transitions share.

Each transition is a module named as its Lua script, with functions on a shard; `store` makes methods of them.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable
from itertools import count
from typing import Any, Final

from ...protocol.state import DeadLetter
from ...settings import StoreSettings
from ..bulk_types import StoredBulk
from ..inspection_types import WATCHED_EVENTS, Event
from ..rules import phases
from ..rules.bounded_log import BoundedLog
from ..rules.rate_limits import LimitState
from ..steering_types import EVERYTHING, MOST_AUDITED, AuditEntry, pause_of
from ..types import NewMessage
from .clock import Clock
from .delayed import Delayed
from .state import NOBODY, SUSPECTS, BulkMembers, LiveMessage, Record, Schedule, Stream, WorkflowState

__all__ = ["MANY", "Shard"]

MANY: Final = 1000
"""Expired records and workflows are looked for when there are so many, and again when there are twice as many."""


class Shard:
    """One shard. The server holds the lock; ``pushes`` and ``wakes`` leave at the end of a step.

    ``settings`` are those of the store that is at work.
    """

    def __init__(
        self,
        tag: str,
        clock: Clock,
        settings: StoreSettings,
        accepted: Callable[[NewMessage], None] = lambda _: None,
    ) -> None:
        self.tag = tag
        self.clock = clock
        self.settings = settings
        self.accepted = accepted
        self.live: dict[str, LiveMessage] = {}
        self.records: dict[str, Record] = {}
        self.streams: dict[str, Stream] = {}
        self.ready: set[str] = set()
        self.paused: dict[str, tuple[int, str, str]] = {}  # what, see `pause_of` -> since when (ms), actor, reason
        self.paused_ready: set[str] = set()  # streams that are paused and have something to claim
        self.audit: deque[AuditEntry] = deque(maxlen=MOST_AUDITED)  # only that of the first shard is used
        self.audit_counts: Counter[tuple[str, str]] = Counter()  # operation and outcome -> how many entries
        self.leases: dict[str, int] = {}
        self.batches: dict[str, tuple[str, ...]] = {}
        self.claims: dict[str, tuple[int, str, int]] = {}
        self.suspects: dict[str, str] = {}  # worker -> the claim of the suspect that it took last
        self.reserved: dict[str, tuple[str, int]] = {}  # stream -> who makes room for its next suspect, until when
        self.delayed = Delayed()
        self.children_of: dict[str, list[str]] = {}
        self.workflows: dict[str, WorkflowState] = {}
        self.unfolding: set[str] = set()
        self.revoked_workflows: dict[str, tuple[int, list[str]]] = {}  # before they came: when that expires, what of it
        self.many_workflows = MANY
        self.schedules: dict[str, Schedule] = {}
        self.declarations: dict[tuple[str, str], tuple[int, int]] = {}  # project, release -> since when, last heard of
        self.schedule_revision = 0
        # Rate limits: the waiting messages, and their place (the smallest goes first); the limits; when to look, ms.
        self.waiting: dict[str, dict[str, tuple[int, int, str]]] = {}
        self.limits: dict[str, LimitState] = {}
        self.asking: dict[str, int] = {}
        self.limiters: dict[str, int] = {}
        self.dead: deque[tuple[DeadLetter, int]] = deque()  # each with its size, bytes
        self.dead_bytes = 0
        self.bulks: dict[str, tuple[StoredBulk, int]] = {}  # only those of the first shard: until when somebody has it
        self.bulk_members: dict[str, BulkMembers] = {}
        self.totals: Counter[str] = Counter()
        self.workers: dict[str, tuple[int, dict[str, Any]]] = {}
        self.worker_requests: dict[str, str] = {}
        self.last_beat_ms = 0
        self.hold_until_ms = 0
        self.listeners_until_ms = 0  # until then it is believed that workers listen to the ends of all tasks
        self.events: deque[Event] = deque()
        self.events_dropped = 0
        self.watched_until_ms = 0  # until then somebody watches events
        self.logs: dict[str, tuple[str, BoundedLog]] = {}  # what attempts have logged, with the nonce of the last call
        self.series: dict[tuple[str, str], str] = {}  # of an hour ("m<hour>") or a day ("h<day>"), see `series`
        self.releases: dict[str, list[tuple[int, str, str]]] = {}  # under "": when, project, release; newest first
        self.wakes: set[str] = set()
        self.pushes: list[tuple[str, str]] = []
        self._entries = count(1)
        self._crowded = self._many_streams = MANY

    def now_ms(self) -> int:
        """Return the time, ms since the epoch."""
        return self.clock.now_ms()

    def push(self, channel: str, text: str) -> None:
        """Send a text to the listeners of a channel: ``control``, ``done``, ``news`` or ``wake``."""
        self.pushes.append((channel, text))

    def note(self, kind: str, task_id: str, detail: str) -> None:
        """Note an event, if events are wanted; the oldest go first."""
        kept = self.settings.events_kept or (WATCHED_EVENTS if self.watched_until_ms > self.now_ms() else 0)
        if kept:
            self.events.append(Event(self.now_ms(), kind, task_id, detail))
            while len(self.events) > kept:
                self.events.popleft()
                self.events_dropped += 1

    # -- streams -------------------------------------------------------------------------------------

    def stream(self, name: str) -> Stream:
        """Return the stream of that name, made at first use."""
        found = self.streams.get(name)
        if found is None:
            if len(self.streams) >= self._many_streams:
                self.clean()
                self._many_streams = max(MANY, 2 * len(self.streams))
            found = self.streams[name] = Stream(name, used_ms=self.now_ms())
        return found

    def retire(self, stream: Stream) -> None:
        """Delete a stream in which nothing is; the next message makes it again."""
        del self.streams[stream.name]
        self.ready.discard(stream.name)
        self.paused_ready.discard(stream.name)
        self.reserved.pop(stream.name, None)

    def clean(self) -> int:
        """Delete what nothing needs any more, empty streams included, of which it returns how many."""
        now_ms, expires_ms = self.now_ms(), self.settings.queue_expires_ms
        idle = [s for s in self.streams.values() if not s.entries and now_ms - s.used_ms > expires_ms]
        for stream in idle:
            self.retire(stream)
        ready = {name.partition(":")[2] for name in self.ready}
        self.wakes = {queue for queue in self.wakes if not queue or queue in ready}
        self.reserved = {name: held for name, held in self.reserved.items() if held[1] > now_ms}
        self.claims = {consumer: claim for consumer, claim in self.claims.items() if claim[2] > now_ms}
        self.suspects = {worker: token for worker, token in self.suspects.items() if token in self.leases}
        self.waiting = {limit: waiting for limit, waiting in self.waiting.items() if waiting or limit in self.limits}
        self.logs = {one: log for one, log in self.logs.items() if one in self.live or one in self.records}
        self.limiters = {limit: full_us for limit, full_us in self.limiters.items() if full_us > self.clock.now_us()}
        return len(idle)

    def new_entry(self) -> str:
        """Return an entry's id, later than all before."""
        return f"{self.now_ms()}-{next(self._entries)}"

    def append(self, message: LiveMessage) -> None:
        """Put a message at the end of its stream, and wake a child."""
        stream, entry = self.stream(message.name), self.new_entry()
        stream.entries[entry] = message.id
        stream.used_ms = self.now_ms()
        stream.added += 1
        stream.unread.append(entry)
        self.make_ready(stream)

    def put_back(self, message: LiveMessage, *, suspect: bool = False) -> None:
        """Return a message to its old place in its stream; ``suspect``: to be claimed alone."""
        message.leave(phases.SUSPECT if suspect else phases.QUEUED)
        stream = self.stream(message.name)
        if message.entry in stream.entries:
            stream.owners[message.entry] = SUSPECTS if suspect else NOBODY
        self.make_ready(stream)

    def make_ready(self, stream: Stream) -> None:
        """Note that there is something to claim; wake a child if there was nothing."""
        if self.is_paused(stream.queue):
            self.paused_ready.add(stream.name)
        elif stream.name not in self.ready:
            self.ready.add(stream.name)
            self.wake("")
            self.wake(stream.queue)

    def is_paused(self, queue: str) -> bool:
        """Return whether nothing is claimed of a queue."""
        return bool(self.paused) and (EVERYTHING in self.paused or pause_of(queue) in self.paused)

    def wake(self, queue: str) -> None:
        """Wake one child that waits for this queue; empty: for any."""
        self.wakes.add(queue)
        self.push("wake", queue)

    def park(self, message: LiveMessage, due_ms: int) -> None:
        """Keep a message until it is due; push the time if it is the next one."""
        message.phase = phases.DELAYED
        self.delayed.put(message.id, due_ms)
        if self.delayed.first() == (due_ms, message.id):
            self.push("control", f"due {due_ms}")

    # -- claims --------------------------------------------------------------------------------------

    def held(self, task_id: str, token: str) -> LiveMessage | None:
        """Return a message if this token holds it."""
        message = self.live.get(task_id)
        return message if message is not None and message.held_by(token) else None

    def held_in(self, token: str) -> list[LiveMessage]:
        """Return the messages of a claim that it still holds."""
        return [m for task_id in self.batches.get(token, ()) if (m := self.held(task_id, token)) is not None]

    def release(self, tokens: Iterable[str]) -> None:
        """End those of these claims that hold nothing any more."""
        for token in tokens:
            if not self.held_in(token):
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
            self.clean()

    def finish(self, message: LiveMessage, record: Record) -> None:
        """Replace a message by its record, count it, and push that it is finished."""
        del self.live[message.id]
        self.keep(message.id, record)
        self.totals[record.state] += 1
        if record.started_ms:
            self.totals["ms"] += max(0, record.finished_ms - record.started_ms)
        self.note("settled", message.id, record.state)
        self.push("done", message.id)

    def bury(self, reason: str, message: LiveMessage) -> None:
        """Keep a dead letter; the oldest go first."""
        envelope = message.body.partition(b" ")[2]
        letter = DeadLetter(self.new_entry(), reason, message.id, message.name, self.now_ms(), envelope)
        self.bury_letter(letter, len(reason) + len(message.id) + len(message.name) + len(message.body))

    def bury_letter(self, letter: DeadLetter, size: int) -> None:
        """Add a dead letter of so many bytes; the oldest go first."""
        self.dead.append((letter, size))
        self.dead_bytes += size
        deleted = 0
        while len(self.dead) > 1 and (
            len(self.dead) > self.settings.max_dead_letters or self.dead_bytes > self.settings.max_dead_letter_bytes
        ):
            self.dead_bytes -= self.dead.popleft()[1]
            deleted += 1
        if deleted:
            self.push("control", f"dead {deleted}")
