"""`Store` in the memory of this process."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence

from ...exceptions import ServerNotSupported
from ...protocol.shards import node_id, tag_of
from ...protocol.state import DeadLetter, Snapshot
from ...settings import StoreSettings
from ..types import (
    Active,
    Event,
    Events,
    Filter,
    NewMessage,
    NewWorkflow,
    Revocation,
    Statistics,
    WorkerInfo,
    WorkflowCounts,
)
from . import enqueue, read, revoke, upkeep, workflows
from .channel import MemoryChannel
from .schedule_store import MemorySchedules
from .server import MemoryServer
from .shard import Shard

__all__ = ["MOST_LETTERS", "MemoryStore"]

MOST_LETTERS = 100


class MemoryStore(MemorySchedules):
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
        """Return one shard; only inside a step of the server."""
        return self.server.shard(self.settings, tag)

    def shard_of(self, task_id: str) -> Shard:
        """Return the shard on which an id lives; only inside a step of the server."""
        return self.shard(tag_of(task_id, self.settings.tags))

    def enqueue(self, messages: Sequence[NewMessage], patience_s: float | None = None) -> list[bool]:  # noqa: ARG002
        """See `Store.enqueue`; there is nothing to be patient for.

        Raises:
            StoreFull: there would be more than ``max_tasks`` unfinished tasks; nothing was stored.
        """
        with self.server.step():
            shards = [self.shard_of(message.id) for message in messages]
            self.server.make_room(shards, messages)
            pairs = list(zip(shards, messages, strict=True))
            accepted = [enqueue.enqueue(shard, [message])[0] for shard, message in pairs]
            for (shard, message), is_new in zip(pairs, accepted, strict=True):
                if is_new:
                    revoke.end_revoked_before(shard, message.id, self.settings)
            return accepted

    def read(self, ids: Sequence[str]) -> list[Snapshot | None]:
        """See `Store.read`."""
        with self.server.lock:
            found = [read.read(self.shard_of(task_id), task_id) for task_id in ids]
        for snapshot in found:
            if snapshot is not None:
                snapshot.wire = self.settings.wire
        return found

    def finished(self, ids: Sequence[str]) -> list[Snapshot]:
        """Return the snapshots of those of these ids that are finished."""
        return [s for s in self.read(ids) if s is not None and s.is_finished]

    def wait_finished(self, ids: Sequence[str], timeout_s: float | None) -> list[Snapshot]:
        """See `Store.wait_finished`. The time is real, whatever the store's clock says."""
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        with self.server.lock:
            while not (found := self.finished(ids)):
                left_s = None if deadline is None else deadline - time.monotonic()
                if left_s is not None and left_s <= 0:
                    break
                self.server.changed.wait(left_s)
            return found

    def revoke(self, task_id: str, *, terminate: bool = False) -> Revocation:
        """See `Store.revoke`."""
        with self.server.step():
            return revoke.revoke(self.shard_of(task_id), task_id, self.settings, terminate=terminate)

    def start_workflow(self, new: NewWorkflow) -> bool:
        """See `Store.start_workflow`.

        Raises:
            StoreFull: there would be more than ``max_tasks`` unfinished tasks; nothing was stored.
        """
        with self.server.step():
            shard = self.shard_of(new.id)
            if workflows.known(shard, new.id) is not None:
                self.unfold(shard, new.id)  # as whoever starts it again does
                return False
            self.server.make_room([shard] * len(new.nodes), [node.message for node in new.nodes])
            workflows.start(shard, new, self.settings)
            return True

    def workflow(self, workflow_id: str, fan_ins: Sequence[int] = ()) -> WorkflowCounts | None:
        """See `Store.workflow`."""
        with self.server.lock:
            return workflows.counts(self.shard_of(workflow_id), workflow_id, list(fan_ins))

    def wait_workflow(self, workflow_id: str, fan_in: int | None, timeout_s: float | None, *, failure: bool) -> bool:
        """See `Store.wait_workflow`. The time is real, whatever the store's clock says."""
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        with self.server.lock:
            while not self.is_over(workflow_id, fan_in, failure=failure):
                left_s = None if deadline is None else deadline - time.monotonic()
                if left_s is not None and left_s <= 0:
                    return False
                self.server.changed.wait(left_s)
            return True

    def is_over(self, workflow_id: str, fan_in: int | None, *, failure: bool) -> bool:
        """Return what `Store.wait_workflow` waits for."""
        found = self.workflow(workflow_id, () if fan_in is None else (fan_in,))
        if found is None:
            return True
        if fan_in is None:
            return found.finished >= found.nodes
        join = found.fan_ins[0]
        return join.succeeded + join.failed >= join.members or (failure and join.failed > 0)

    def gather(self, workflow_id: str, field: str) -> list[bytes]:
        """See `Store.gather`."""
        with self.server.lock:
            return workflows.gather(self.shard_of(workflow_id), workflow_id, field)

    def revoke_workflow(self, workflow_id: str, fan_in: int | None = None, *, terminate: bool = False) -> bool:
        """See `Store.revoke_workflow`."""
        whom = "all" if fan_in is None else str(fan_in)
        with self.server.step():
            over = self.is_over(workflow_id, fan_in, failure=False)
            self.unfold(self.shard_of(workflow_id), workflow_id, f"{whom}!" if terminate else whom)
            return not over

    def unfold(self, shard: Shard, workflow_id: str, cancel: str = "") -> None:
        """Do what a workflow has left to do; only inside a step of the server."""
        state = workflows.unfold(shard, workflow_id, cancel)
        while state is not None and state.cancel:
            whom = state.cancel[0]
            for number in workflows.numbers_of(state, workflow_id, whom):
                revoke.revoke(shard, node_id(workflow_id, number), self.settings, terminate=whom.endswith("!"))
            if whom in state.cancel:  # not if all of it is finished now
                state.cancel.remove(whom)
        if state is None or not state.late:
            shard.unfolding.discard(workflow_id)

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

    def events(self, after: str = "", limit: int = 100) -> Events:
        """See `Store.events`. A cursor holds per shard how many were seen of it."""
        seen = {tag: int(number) for tag, number in (part.split("=") for part in after.split(",") if part)}
        found: list[Event] = []
        with self.server.lock:
            for tag in self.tags:
                shard = self.shard(tag)
                skipped = max(0, seen.get(tag, 0) - shard.events_gone)
                some = list(shard.events)[skipped : skipped + limit]
                seen[tag] = shard.events_gone + skipped + len(some)
                found += some
        found.sort(key=lambda event: event.at_ms)
        return Events(found, ",".join(f"{tag}={number}" for tag, number in seen.items()))

    def delete_finished(self, before_ms: int) -> int:
        """See `Store.delete_finished`."""
        with self.server.step():
            return sum(revoke.delete_finished(self.shard(tag), before_ms) for tag in self.tags)

    def delete_result(self, task_id: str) -> bool:
        """See `Store.delete_result`."""
        with self.server.step():
            return revoke.delete_result(self.shard_of(task_id), task_id)

    def dead_letters(self, limit: int = 100, before: str = "") -> list[DeadLetter]:
        """See `Store.dead_letters`."""
        with self.server.lock:
            found = [letter._replace(wire=self.settings.wire) for tag in self.tags for letter in self.shard(tag).dead]
        found = [letter._replace(wire=self.settings.wire) for letter in found]
        found.sort(key=lambda letter: _age(letter.cursor), reverse=True)
        if before:
            found = [letter for letter in found if _age(letter.cursor) < _age(before)]
        return found[: min(limit, MOST_LETTERS)]

    def workers(self) -> list[WorkerInfo]:
        """See `Store.workers`: a worker serves every shard, so its latest beat counts."""
        with self.server.lock:
            beats = [worker for tag in self.tags for worker in upkeep.workers(self.shard(tag))]
        latest = {worker.name: worker for worker in sorted(beats, key=lambda worker: worker.beat_ms)}
        return sorted(latest.values(), key=lambda worker: worker.name)

    def check(self) -> None:
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


def _age(cursor: str) -> tuple[int, int]:
    ms, _, number = cursor.partition("-")
    return int(ms), int(number)
