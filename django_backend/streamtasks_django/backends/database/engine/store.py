"""`Store` in SQL: the transitions of the memory store as steps, and what is quicker in SQL itself."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from streamtasks.exceptions import ServerNotSupported
from streamtasks.protocol.durability import REPLICATED
from streamtasks.protocol.keys import check_queue
from streamtasks.protocol.reports import open_reports
from streamtasks.protocol.state import DeadLetter, Snapshot
from streamtasks.stores.inspection_types import Active, Events, Standing, Statistics, WorkerInfo
from streamtasks.stores.measure_types import Measures
from streamtasks.stores.memory import (
    admit,
    beat,
    enqueue,
    read,
    revoke,
    schedules,
    unfold,
    workflows,
)
from streamtasks.stores.memory.transitions import Transitions
from streamtasks.stores.rules import phases
from streamtasks.stores.rules.fan_in import is_over
from streamtasks.stores.rules.queues import not_empty
from streamtasks.stores.schedule_store import Firing, NewSchedule, PutResult, StoredSchedule
from streamtasks.stores.tokens import TokenGrant
from streamtasks.stores.types import Admission, Claimed, Filter, NewMessage, Revocation
from streamtasks.stores.workflow_types import NewWorkflow

from ....results.rows import DeleteBatch
from . import inspection
from .bulk import BulkMethods
from .channel import SqlChannel
from .joining import enqueue_inside, is_plain
from .listener import EndListener
from .quick import enqueue_quickly, is_quick
from .steering import SteeringMethods
from .take import best_ready

__all__ = ["SqlStore"]

AT_ONCE: Final = 100
MOST_LETTERS: Final = 100
MOST_SCHEDULES: Final = 1000

POLL_S: Final = 0.25
"""How often a database that cannot notify is asked whether something has finished, seconds."""

LOOK_S: Final = 1.0
"""How often one that can is asked all the same."""


def refuse_replicas(messages: Iterable[NewMessage]) -> None:
    """Refuse what a database cannot promise to its client.

    Raises:
        ServerNotSupported: a message must be on replicas.
    """
    for message in messages:
        if message.durability == REPLICATED:
            raise ServerNotSupported(
                f"The durability of {message.id} is {message.durability!r}, but a DatabaseBackend cannot wait for "
                "replicas: set synchronous_standby_names on PostgreSQL, and leave the option out."
            )


class SqlStore(SteeringMethods, BulkMethods, Transitions):
    """The blocking store. See `Steps` for arguments."""

    def enqueue(self, messages: Sequence[NewMessage], retry_time_s: float | None = None) -> list[bool]:
        """See `Store.enqueue`. In a transaction of the caller's, plain messages are a part of it."""
        retry_s = self.settings.enqueue_retry_s if retry_time_s is None else retry_time_s
        refuse_replicas(messages)
        found: list[bool] = []
        for start in range(0, len(messages), AT_ONCE):
            found += self._enqueue(messages[start : start + AT_ONCE], retry_s)
        return found

    def _enqueue(self, messages: Sequence[NewMessage], retry_s: float) -> list[bool]:
        session = self.session
        if session is not self.own and session.vendor != "sqlite" and session.connection.in_atomic_block:
            return self._enqueue_inside(messages, retry_s)
        if not is_quick(session, messages):
            return self._accept(messages, retry_s)
        found = session.run(lambda: enqueue_quickly(session, messages), retry_s)
        if None not in found:
            return [bool(new) for new in found]
        answers = iter(self._accept([m for m, new in zip(messages, found, strict=True) if new is None], retry_s))
        return [next(answers) if new is None else new for new in found]

    def _enqueue_inside(self, messages: Sequence[NewMessage], retry_s: float) -> list[bool]:
        """Enqueue in the caller's transaction what is plain, and the rest at once, on a connection of its own.

        A plain one of which something is known is left alone: that connection would wait for this transaction.
        """
        session = self.session
        plain = [message for message in messages if is_plain(message)]

        def join() -> list[bool]:
            if is_quick(session, plain):
                return [bool(new) for new in enqueue_quickly(session, plain)]
            return enqueue_inside(session, self._shard(session, session.now_us()), plain)

        joined = iter(session.run(join) if plain else ())
        rest = [message for message in messages if not is_plain(message)]
        accepted = iter(self._accept(rest, retry_s) if rest else ())
        return [next(joined if is_plain(message) else accepted) for message in messages]

    def _accept(self, messages: Sequence[NewMessage], retry_s: float) -> list[bool]:
        def accept(shard: Any) -> list[bool]:
            shard.live.load(message.id for message in messages)
            shard.records.load(message.id for message in messages)
            accepted = [enqueue.accept(shard, message) for message in messages]
            for message, is_new in zip(messages, accepted, strict=True):
                if is_new:
                    revoke.end_revoked_before(shard, message.id)
            return accepted

        return self.change(accept, retry_s)

    def read(self, ids: Sequence[str]) -> list[Snapshot | None]:
        """See `Store.read`."""

        def look(shard: Any) -> list[Snapshot | None]:
            # In this order, because a message goes from one table to the other.
            shard.live.load(ids)
            shard.records.load(ids)
            return [read.read(shard, task_id) for task_id in ids]

        found = self.look(look)
        for snapshot in found:
            if snapshot is not None:
                snapshot.wire = self.settings.wire
                snapshot.reports = open_reports(snapshot.reports, self.settings.wire, snapshot.id)
        return found

    def rewrite(self, claimed: Claimed, envelope: bytes) -> bool:
        """See `Store.rewrite`. One statement, which checks the token again if another step had the row."""
        session = self.outside()

        def write() -> int:
            rows = session.tables.message.objects.using(session.using)
            held = rows.filter(id=claimed.id, token=claimed.token, phase__in=phases.HELD)
            return int(held.update(envelope=envelope))

        return session.run(write) == 1

    def revoke_many(self, ids: Sequence[str], *, terminate: bool = False) -> list[Revocation]:
        """See `Store.revoke_many`."""
        once, found = list(dict.fromkeys(ids)), dict[str, Revocation]()

        def step(some: Sequence[str]) -> Callable[[Any], list[Revocation]]:
            return lambda shard: [revoke.revoke(shard, one, terminate=terminate) for one in some]

        for start in range(0, len(once), AT_ONCE):
            some = once[start : start + AT_ONCE]
            found.update(zip(some, self.change(step(some)), strict=True))
        return [found[task_id] for task_id in ids]

    def start_workflow(self, new: NewWorkflow, retry_time_s: float | None = None) -> bool:
        """See `Store.start_workflow`."""
        refuse_replicas(node.message for node in new.nodes)

        def start(shard: Any) -> bool:
            if workflows.known(shard, new.id) is not None:
                unfold.advance(shard, new.id)  # so does a repeated start on a server
                return False
            workflows.start(shard, new)
            unfold.advance(shard, new.id)  # part of it may have been revoked before
            return True

        return self.change(start, self.settings.enqueue_retry_s if retry_time_s is None else retry_time_s)

    def gather(self, workflow_id: str, field: str) -> list[bytes]:
        """See `Store.gather`."""

        def look(shard: Any) -> list[bytes]:
            state: Any = workflows.known(shard, workflow_id)
            if state is not None and field.startswith("r") and int(field[1:]) < len(state.fan_ins):
                places = range(state.fan_ins[int(field[1:])].of.members)
                state.fields.load(f"{field}.{place}" for place in places)
            return workflows.gather(shard, workflow_id, field)

        return self.look(look)

    # -- schedules ----------------------------------------------------------------------------------------

    def put_schedule(self, schedule: NewSchedule, revision: int) -> PutResult:
        """See `ScheduleStore.put_schedule`."""
        return self.change(lambda shard: schedules.put(shard, schedule, revision))

    def schedules(self, names: Sequence[str]) -> list[StoredSchedule | None]:
        """See `ScheduleStore.schedules`."""
        return self.look(lambda shard: [schedules.stored(shard, name) for name in names])

    def list_schedules(self, limit: int = 100, after: str = "") -> list[StoredSchedule]:
        """See `ScheduleStore.list_schedules`."""

        def look(shard: Any) -> list[StoredSchedule]:
            names = sorted(name for name in shard.schedules if name > after)[: min(limit, MOST_SCHEDULES)]
            return [one for name in names if (one := schedules.stored(shard, name)) is not None]

        return self.look(look)

    def fire(self, tag: str, firings: Sequence[Firing]) -> list[bool]:  # noqa: ARG002 - there is one shard
        """See `SupervisorScheduleStore.fire`."""
        return [self.change(lambda shard, one=firing: schedules.fire(shard, one)) for firing in firings]  # type: ignore[misc]

    # -- for keepers --------------------------------------------------------------------------------------

    def admit(self, tag: str) -> Admission:  # noqa: ARG002
        """See `SupervisorStore.admit`: limits and limiters are in one place, so it is one step."""

        def step(shard: Any) -> Admission:
            admitted, grants = 0, list[TokenGrant]()
            while True:
                count, requests, next_us = admit.admit(shard, grants)
                admitted += count
                if not requests:
                    return Admission(admitted, next_us)
                grants = [admit.take(shard, one) for one in requests]

        return self.change(step)

    def ready(self, queues: Filter, tags: Sequence[str]) -> dict[str, int | None]:
        """See `SupervisorStore.ready`."""
        return dict.fromkeys(tags, self.look(lambda shard: best_ready(shard, queues)))

    def standing(self, task_id: str) -> Standing | None:
        """See `Store.standing`."""
        return self.look(lambda shard: inspection.standing(shard, task_id))

    # -- inspection ---------------------------------------------------------------------------------------

    def active(self, limit: int = 100) -> list[Active]:
        """See `Store.active`."""
        return self.look(lambda shard: inspection.active(shard, limit))

    def statistics(self) -> Statistics:
        """See `Store.statistics`."""
        return self.look(inspection.statistics)

    def measures(self) -> Measures:
        """See `Store.measures`."""
        return self.look(inspection.measures)

    def events(self, after: str = "", limit: int = 100) -> Events:
        """See `Store.events`."""
        return self.look(lambda shard: inspection.events(shard, after, limit))

    def workers(self) -> list[WorkerInfo]:
        """See `Store.workers`."""
        return self.look(lambda shard: sorted(beat.workers(shard), key=lambda worker: worker.name))

    def dead_letters(self, limit: int = 100, before: str = "") -> list[DeadLetter]:
        """See `Store.dead_letters`."""
        found = self.look(lambda shard: inspection.dead_letters(shard, min(limit, MOST_LETTERS), before))
        return [letter._replace(wire=self.settings.wire) for letter in found]

    def delete_finished(self, before_ms: int) -> int:
        """See `Store.delete_finished`."""
        deleted, batch = 0, DeleteBatch()
        while some := self.delete_some(lambda shard, most: inspection.delete_finished(shard, before_ms, most), batch):
            deleted += some
        return deleted

    def delete_some(self, delete: Callable[[Any, int], int], batch: DeleteBatch) -> int:
        """Delete records of finished messages, for which no step has to wait; return how many there were."""
        return self.look(lambda shard: batch.run(lambda most: delete(shard, most)))

    def forget_queue(self, queue: str) -> bool:
        """See `Store.forget_queue`. Nothing is kept of an empty queue."""
        check_queue(queue)
        left, held = self.look(lambda shard: inspection.in_queue(shard, queue))
        if left:
            raise not_empty(queue, left, held)
        return False

    def check(self, *, before_deploy: bool = False) -> list[str]:  # noqa: ARG002 - there are no replicas to look at
        """See `Store.check`."""
        return inspection.check(self.session)

    # -- waiting ------------------------------------------------------------------------------------------

    def wait_finished(self, ids: Sequence[str], timeout_s: float | None) -> list[Snapshot]:
        """See `Store.wait_finished`."""

        def look() -> list[Snapshot]:
            return [snapshot for snapshot in self.read(ids) if snapshot is not None and snapshot.is_finished]

        return self._wait(timeout_s, look, ids)

    def wait_workflow(self, workflow_id: str, fan_in: int | None, timeout_s: float | None, *, failure: bool) -> bool:
        """See `Store.wait_workflow`."""
        return self._wait(timeout_s, lambda: self.is_over(workflow_id, fan_in, failure=failure), None)

    def is_over(self, workflow_id: str, fan_in: int | None, *, failure: bool) -> bool:
        """Return whether what somebody waits for of a workflow has happened."""
        fan_ins = () if fan_in is None else (fan_in,)
        return is_over(self.workflow(workflow_id, fan_ins), fan_in, failure=failure)

    def _wait[T](self, timeout_s: float | None, look: Callable[[], T], ids: Sequence[str] | None) -> T:
        """Look after each push of an end, and now and then, until something is found or the time is up."""
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        if found := look():
            return found
        with EndListener(self.session, ids) as listener:
            while not (found := look()):
                left_s = None if deadline is None else deadline - time.monotonic()
                if left_s is not None and left_s <= 0:
                    break
                longest_s = LOOK_S if listener.hears else POLL_S
                listener.wait(longest_s if left_s is None else min(left_s, longest_s))
            return found

    def channel(self, tag: str, consumer: str, queues: Filter) -> SqlChannel:
        """See `Store.channel`."""
        return SqlChannel(self, tag, consumer, queues)
