"""`Store` in the memory of this process: what concerns several shards; `transitions.py` has what concerns one."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final

from ...exceptions import ServerNotSupported
from ...protocol.keys import check_queue
from ...protocol.reports import open_reports
from ...protocol.shards import limiter_tag, schedule_tag, tag_of
from ...protocol.state import DeadLetter, Snapshot
from ...settings import StoreSettings
from ..inspection_types import Active, NewLog, Statistics, WorkerInfo
from ..letter_cursor import cursor_of, order_of
from ..measure_types import Measures
from ..rules.fan_in import is_over
from ..rules.queues import not_empty
from ..schedule_store import Firing, NewSchedule, PutResult, StoredSchedule
from ..tokens import TokenGrant
from ..types import Admission, Claimed, Filter, NewMessage, Revocation
from ..workflow_types import NewWorkflow
from . import (
    admit,
    beat,
    delete_finished,
    enqueue,
    logs,
    measures,
    queues,
    read,
    revoke,
    rewrite,
    schedules,
    unfold,
    workflows,
)
from .bulk import BulkMethods
from .channel import MemoryChannel
from .claim import best_ready
from .server import MemoryServer
from .shard import Shard
from .steering import SteeringMethods
from .transitions import Transitions

__all__ = ["MemoryStore"]

MOST_LETTERS: Final = 100
MOST_SCHEDULES: Final = 1000


class MemoryStore(Transitions, SteeringMethods, BulkMethods):
    """`Store` without a server: for development, for tests, and to compare others with. Safe between threads.

    Args:
        settings: as for any store; the ``url`` names the server.
        server: where things are kept; default: the one of ``settings.url``.
    """

    def __init__(self, settings: StoreSettings, server: MemoryServer | None = None) -> None:
        self.settings = settings
        self.server = server or MemoryServer.at(settings.url)

    @property
    def tags(self) -> tuple[str, ...]:
        """The shards."""
        return self.settings.tags

    def shard(self, tag: str) -> Shard:
        """Return one shard; only while the server's lock is held."""
        return self.server.shard(self.settings, tag)

    def shard_of(self, task_id: str) -> Shard:
        """Return the shard of a task or workflow; only while the server's lock is held."""
        return self.shard(tag_of(task_id, self.tags))

    def on_shard[T](self, tag: str, work: Callable[[Shard], T], *, changes: bool) -> T:
        """Call ``work`` with a shard in one step and return its answer; without ``changes`` nobody is woken."""
        with self.server.step() if changes else self.server.lock:
            return work(self.shard(tag))

    def enqueue(self, messages: Sequence[NewMessage], retry_time_s: float | None = None) -> list[bool]:  # noqa: ARG002
        """See `Store.enqueue`; there is nothing to be patient for.

        Raises:
            StoreFull: there would be more than ``max_tasks`` unfinished tasks; nothing was stored.
        """
        with self.server.step():
            shards = [self.shard_of(message.id) for message in messages]
            self.server.make_room(shards, messages)
            placed = list(zip(shards, messages, strict=True))
            accepted = [enqueue.accept(shard, message) for shard, message in placed]
            for (shard, message), is_new in zip(placed, accepted, strict=True):
                if is_new:
                    revoke.end_revoked_before(shard, message.id)
            return accepted

    def revoke_many(self, ids: Sequence[str], *, terminate: bool = False) -> list[Revocation]:
        """See `Store.revoke_many`."""
        with self.server.step():
            once = dict.fromkeys(ids)
            found = {one: revoke.revoke(self.shard_of(one), one, terminate=terminate) for one in once}
            return [found[task_id] for task_id in ids]

    def rewrite(self, claimed: Claimed, envelope: bytes) -> bool:
        """See `Store.rewrite`."""
        with self.server.lock:
            return rewrite.rewrite(self.shard_of(claimed.id), claimed, envelope)

    def read(self, ids: Sequence[str]) -> list[Snapshot | None]:
        """See `Store.read`."""
        with self.server.lock:
            found = [read.read(self.shard_of(task_id), task_id) for task_id in ids]
        for snapshot in found:
            if snapshot is not None:
                snapshot.wire = self.settings.wire
                if snapshot.reports:
                    open_reports(snapshot.reports, snapshot.wire, snapshot.id)
        return found

    def finished(self, ids: Sequence[str]) -> list[Snapshot]:
        """Return the snapshots of those of these ids that are finished."""
        return [s for s in self.read(ids) if s is not None and s.is_finished]

    def is_over(self, workflow_id: str, fan_in: int | None, *, failure: bool) -> bool:
        """Return what `Store.wait_workflow` waits for."""
        return is_over(self.workflow(workflow_id, () if fan_in is None else (fan_in,)), fan_in, failure=failure)

    def wait_finished(self, ids: Sequence[str], timeout_s: float | None) -> list[Snapshot]:
        """See `Store.wait_finished`. The time is real, whatever the store's clock says."""
        return self._wait(timeout_s, lambda: self.finished(ids))

    def wait_workflow(self, workflow_id: str, fan_in: int | None, timeout_s: float | None, *, failure: bool) -> bool:
        """See `Store.wait_workflow`. The time is real, whatever the store's clock says."""
        return self._wait(timeout_s, lambda: self.is_over(workflow_id, fan_in, failure=failure))

    def _wait[T](self, timeout_s: float | None, look: Callable[[], T]) -> T:
        """Look after each change until something is found or the time is up."""
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        with self.server.lock:
            while not (found := look()):
                left_s = None if deadline is None else deadline - time.monotonic()
                if left_s is not None and left_s <= 0:
                    break
                self.server.changed.wait(left_s)
            return found

    def start_workflow(self, new: NewWorkflow, retry_time_s: float | None = None) -> bool:  # noqa: ARG002
        """See `Store.start_workflow`.

        Raises:
            StoreFull: there would be more than ``max_tasks`` unfinished tasks; nothing was stored.
        """
        with self.server.step():
            shard = self.shard_of(new.id)
            if workflows.known(shard, new.id) is not None:
                unfold.advance(shard, new.id)  # so does a repeated start on a server
                return False
            self.server.make_room([shard] * len(new.nodes), [node.message for node in new.nodes])
            workflows.start(shard, new)
            unfold.advance(shard, new.id)  # part of it may have been revoked before
            return True

    def put_schedule(self, schedule: NewSchedule, revision: int) -> PutResult:
        """See `ScheduleStore.put_schedule`."""
        with self.server.step():
            return schedules.put(self.shard(schedule_tag(schedule.name, self.tags)), schedule, revision)

    def schedules(self, names: Sequence[str]) -> list[StoredSchedule | None]:
        """See `ScheduleStore.schedules`."""
        with self.server.lock:
            return [schedules.stored(self.shard(schedule_tag(name, self.tags)), name) for name in names]

    def list_schedules(self, limit: int = 100, after: str = "") -> list[StoredSchedule]:
        """See `ScheduleStore.list_schedules`."""
        with self.server.lock:
            names = sorted(name for tag in self.tags for name in self.shard(tag).schedules if name > after)
            found = self.schedules(names[: min(limit, MOST_SCHEDULES)])
        return [one for one in found if one is not None]

    def fire(self, tag: str, firings: Sequence[Firing]) -> list[bool]:
        """See `SupervisorScheduleStore.fire`.

        Raises:
            StoreFull: there would be more than ``max_tasks`` unfinished tasks; this firing and those after it wait.
        """
        answers: list[bool] = []
        for firing in firings:
            with self.server.step():
                shard = self.shard(tag)
                self.server.make_room([shard] * len(firing.messages), firing.messages)
                answers.append(schedules.fire(shard, firing))
        return answers

    def admit(self, tag: str) -> Admission:
        """See `SupervisorStore.admit`."""
        admitted = 0
        grants: list[TokenGrant] = []
        with self.server.step():
            while True:
                count, requests, next_us = admit.admit(self.shard(tag), grants)
                admitted += count
                if not requests:
                    return Admission(admitted, next_us)
                grants = [admit.take(self.shard(limiter_tag(one.limit.name, self.tags)), one) for one in requests]

    def append_logs(self, some: Sequence[NewLog], nonce: str) -> list[int]:
        """See `SupervisorStore.append_logs`."""
        with self.server.lock:
            return [logs.append(self.shard_of(one.id), one, nonce) for one in some]

    def ready(self, queues: Filter, tags: Sequence[str]) -> dict[str, int | None]:
        """See `SupervisorStore.ready`."""
        with self.server.lock:
            return {tag: best_ready(self.shard(tag), queues) for tag in tags}

    def active(self, limit: int = 100) -> list[Active]:
        """See `Store.active`."""
        with self.server.lock:
            found = [one for tag in self.tags for one in read.active(self.shard(tag))]
        return sorted(found, key=lambda one: one.started_ms)[:limit]

    def statistics(self) -> Statistics:
        """See `Store.statistics`."""
        with self.server.lock:
            parts = [read.statistics(self.shard(tag)) for tag in self.tags]
        outcomes: Counter[str] = Counter()
        for part in parts:
            outcomes.update(part.outcomes)
        return Statistics(
            sum(part.unfinished for part in parts),
            sum(part.running for part in parts),
            sum(part.delayed for part in parts),
            dict(outcomes),
            sum(part.run_ms for part in parts),
        )

    def measures(self) -> Measures:
        """See `Store.measures`."""
        with self.server.lock:
            shards = [self.shard(tag) for tag in self.tags]
            return measures.added([*map(measures.measures, shards)])._replace(
                limits=measures.limits(shards), operations=dict(shards[0].audit_counts)
            )

    def delete_finished(self, before_ms: int) -> int:
        """See `Store.delete_finished`."""
        with self.server.step():
            return sum(delete_finished.delete_finished(self.shard(tag), before_ms) for tag in self.tags)

    def forget_queue(self, queue: str) -> bool:
        """See `Store.forget_queue`."""
        check_queue(queue)
        with self.server.step():
            found = [queues.forget_queue(self.shard(tag), queue) for tag in self.tags]
        forgotten, left, held = (sum(one[place] for one in found) for place in range(3))
        if left:
            raise not_empty(queue, left, held)
        return forgotten > 0

    def dead_letters(self, limit: int = 100, before: str = "") -> list[DeadLetter]:
        """See `Store.dead_letters`."""
        with self.server.lock:
            letters = [(tag, letter) for tag in self.tags for letter, _ in self.shard(tag).dead]
        found = [
            letter._replace(wire=self.settings.wire, cursor=cursor_of(letter.cursor, tag, self.tags))
            for tag, letter in letters
        ]
        found.sort(key=lambda letter: order_of(letter.cursor, self.tags), reverse=True)
        if before:
            last = order_of(before, self.tags)
            found = [letter for letter in found if order_of(letter.cursor, self.tags) < last]
        return found[: min(limit, MOST_LETTERS)]

    def workers(self) -> list[WorkerInfo]:
        """See `Store.workers`: a worker serves every shard, so its latest beat counts."""
        with self.server.lock:
            beats = [worker for tag in self.tags for worker in beat.workers(self.shard(tag))]
        latest = {worker.name: worker for worker in sorted(beats, key=lambda worker: worker.beat_ms)}
        return sorted(latest.values(), key=lambda worker: worker.name)

    def check(self, *, before_deploy: bool = False) -> list[str]:  # noqa: ARG002 - it is refused in any case
        """See `Store.check`.

        Raises:
            ServerNotSupported: always; what is in memory ends with its process, and no other one can reach it.
        """
        raise ServerNotSupported(
            f"{self.settings.url} keeps tasks in the memory of one process: they end with it, and a worker in another "
            "process cannot see them. Use it for development and tests, and redis:// for all else."
        )

    def channel(self, tag: str, consumer: str, queues: Filter) -> MemoryChannel:
        """See `Store.channel`."""
        return MemoryChannel(self.server, self.settings, tag, consumer, queues)
