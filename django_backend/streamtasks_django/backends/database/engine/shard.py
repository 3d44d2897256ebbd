"""The shard of a SQL store during one step: that of the memory store, with rows in the place of what it holds."""

from __future__ import annotations

import os
from itertools import count
from typing import Any, Final, NamedTuple, override

from django.db.models import F

from streamtasks.protocol.state import DeadLetter
from streamtasks.settings import StoreSettings
from streamtasks.stores.inspection_types import Event
from streamtasks.stores.memory.clock import Clock
from streamtasks.stores.memory.limits import stop_waiting, wait
from streamtasks.stores.memory.shard import Shard
from streamtasks.stores.memory.state import LiveMessage, Record, Stream
from streamtasks.stores.rules import phases
from streamtasks.stores.rules.task_names import task_of
from streamtasks.stores.steering_types import task_paused_by

from .codec import encode
from .indexes import BatchIndex, DelayedIndex, LinkIndex, WaitingIndexes
from .letters import cap, name_of, size_of
from .message_rows import LiveRows, RecordRows
from .rows import RowNames, StateRows, parts_of, upsert
from .tables import Tables

__all__ = ["Finished", "SqlShard"]

REQUESTED_MS: Final = 3_600_000  # what a worker has not taken then, it never will

SCALARS: Final = (
    "last_beat_ms",
    "hold_until_ms",
    "listeners_until_ms",
    "schedule_revision",
    "dead_bytes",
    "dead_count",
)


SERIES_MS: Final = 32 * 86_400_000  # nothing of a series is read after that


class Finished(NamedTuple):
    """A record that a step has written, with the message's id."""

    id: str
    record: Record


class StepClock(Clock):
    """The time of the database when the step began."""

    def __init__(self, now_us: int) -> None:
        super().__init__(0)
        self._now_us = now_us

    @override
    def now_us(self) -> int:
        return self._now_us


class SqlShard(Shard):
    """One shard for the time of one step.

    Args:
        settings: of the store.
        using: the database.
        names: the tables.
        now_us: the database's time, microseconds.
        tag: of the shard.
    """

    dead_count: int

    def __init__(self, settings: StoreSettings, using: str, names: Tables, now_us: int, tag: str) -> None:
        super().__init__(tag, StepClock(now_us), settings)
        self.using = using
        self.names = names
        self._places = count(now_us)
        self._numbers = count()

        def rows(kind: str, **options: Any) -> Any:
            found: StateRows[Any, Any] = StateRows(using, names, kind, **options)
            self._states.append(found)
            return found

        self._states: list[StateRows[Any, Any]] = []
        live = LiveRows(using, names)
        shard: Any = self
        shard.live, shard.records = live, RecordRows(using, names)
        shard.delayed, shard.batches, shard.children_of = DelayedIndex(live), BatchIndex(live), LinkIndex(live)
        shard.waiting = WaitingIndexes(live, names.state.objects.using(using))
        shard.leases, shard.suspects, shard.reserved = rows("lease"), rows("suspect"), rows("reserved")
        shard.claims = rows("claim", number=lambda claim: claim[0], expires_ms=lambda claim: claim[2])
        shard.workflows = rows("workflow", read=self._with_fields, expires_ms=lambda state: state.expires_ms)
        shard.unfolding = RowNames(rows("unfold"))
        shard.revoked_workflows = rows("unstarted", expires_ms=lambda before: before[0])
        shard.schedules = rows("schedule")
        shard.declarations = rows("declared", key=parts_of)
        shard.limits, shard.asking, shard.limiters = rows("limit"), rows("asking"), rows("limiter")
        shard.workers, shard.paused = rows("worker"), rows("pause")
        shard.worker_requests = rows("request", expires_ms=lambda _: self.now_ms() + REQUESTED_MS)
        shard.series = rows("series", key=parts_of, expires_ms=lambda _: self.now_ms() + SERIES_MS)
        shard.releases = rows("releases")
        self.many_workflows = 2**62
        shard.ready = {"0:"}  # whether something is ready is not known here; whoever is woken looks
        self._scalars: StateRows[str, int] = rows("shard")
        self._scalars.load(SCALARS)
        for name in SCALARS:
            setattr(self, name, self._scalars.get(name, 0))
        self._events: list[Event] = []
        self._letters: list[tuple[str, DeadLetter]] = []

    def _with_fields(self, workflow_id: str, state: Any) -> Any:
        state.fields = self.fields_of(workflow_id)
        return state

    def fields_of(self, workflow_id: str) -> Any:
        """Return the results that a workflow keeps, a row each."""
        found: StateRows[str, tuple[bytes, bytes]] = StateRows(
            self.using, self.names, "field", prefix=f"{workflow_id}/"
        )
        return found

    # -- streams: a message says itself where it is -------------------------------------------------------

    @override
    def stream(self, name: str) -> Stream:
        return Stream(name)

    @override
    def new_entry(self) -> str:
        return str(next(self._places))

    @override
    def append(self, message: LiveMessage) -> None:
        message.entry = self.new_entry()
        self.wake("")

    @override
    def put_back(self, message: LiveMessage, *, suspect: bool = False) -> None:
        message.leave(phases.SUSPECT if suspect else phases.QUEUED)
        if message.active_limit is not None and task_of(message.body) in self.paused_tasks():
            self.give_token_up(message)
        self.wake("")

    def paused_tasks(self) -> set[str]:
        """Return the names of paused tasks."""
        return {task for what in self.paused if (task := task_paused_by(what))}

    def give_token_up(self, message: LiveMessage) -> None:
        """Let a message of a paused task wait for its limit again, so that what shares the limit goes on."""
        limit = message.active_limit
        if limit is not None:
            message.suspect = message.suspect or message.phase == phases.SUSPECT
            stop_waiting(self, message)
            wait(self, message, limit, first=True)

    @override
    def park(self, message: LiveMessage, due_ms: int) -> None:
        message.phase = phases.DELAYED
        self.delayed.put(message.id, due_ms)
        self.push("control", f"due {due_ms}")

    @override
    def clean(self) -> int:
        return 0

    @override
    def keep(self, task_id: str, record: Record) -> None:
        self.records[task_id] = record

    # -- what is only ever added --------------------------------------------------------------------------

    @override
    def note(self, kind: str, task_id: str, detail: str) -> None:
        if self.settings.events_kept:
            self._events.append(Event(self.now_ms(), kind, task_id, detail))

    @override
    def bury(self, reason: str, message: LiveMessage) -> None:
        envelope = message.body.partition(b" ")[2]
        letter = DeadLetter("", reason, message.id, message.name, self.now_ms(), envelope)
        self.bury_letter(letter, size_of(letter))

    @override
    def bury_letter(self, letter: DeadLetter, size: int) -> None:
        cursor = f"{self.now_ms()}-{next(self._places)}"
        self._letters.append((cursor, letter._replace(cursor=cursor)))
        self.dead_bytes += size
        self.dead_count += 1

    # -- writing ------------------------------------------------------------------------------------------

    def write(self) -> list[Finished]:
        """Write all that has changed; return the records of messages that have finished."""
        if self._letters:
            cap(self, self._letters)
        self.live.write()  # type: ignore[attr-defined]
        finished = self.records.write()  # type: ignore[attr-defined]
        for name in SCALARS:
            if self._scalars.get(name, 0) != getattr(self, name):
                self._scalars[name] = getattr(self, name)
        rows, gone = self._appended(), []
        fields = [self._own_fields(one, state) for one, state in dict.items(self.workflows)]
        for states in (*self._states, *fields):
            some, names = states.to_write()
            rows += some
            gone += names
        upsert(self.using, self.names.state, rows)
        if gone:
            self.names.state.objects.using(self.using).filter(name__in=gone).delete()
        self._add_totals()
        return [Finished(task_id, record) for task_id, record in finished if record.state]

    def _own_fields(self, workflow_id: str, state: Any) -> Any:
        """Return the rows of a workflow's results; a new one has a plain dict of them."""
        if not isinstance(state.fields, StateRows):
            rows = self.fields_of(workflow_id)
            rows.update(state.fields)
            state.fields = rows
        return state.fields

    def _appended(self) -> list[Any]:
        state, rows = self.names.state, []
        unique = f"{os.getpid()}.{id(self):x}"
        for number, event in enumerate(self._events):
            name = f"event:{self.clock.now_us():020d}-{unique}-{number:06d}"
            rows.append(state(name=name, kind="event", number=event.at_ms, data=encode(tuple(event))))
        for cursor, letter in self._letters:
            number = int(cursor.rpartition("-")[2])
            rows.append(state(name=name_of(cursor, letter.id), kind="dead", number=number, data=encode(letter)))
        self._events.clear()
        self._letters.clear()
        return rows

    def _add_totals(self) -> None:
        state = self.names.state.objects.using(self.using)
        for word, value in sorted(self.totals.items()):
            name = f"total:{word}:"
            if not state.filter(name=name).update(number=F("number") + value):
                state.bulk_create([self.names.state(name=name, kind="total", number=value)], ignore_conflicts=True)
        self.totals.clear()
