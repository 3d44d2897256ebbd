"""The stores on Redis, blocking and asynchronous: the same operations, each lifted into a method."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress

from ...exceptions import StoreUnavailable
from ...protocol.keys import Keys
from ...protocol.state import Snapshot
from ..channel import Channel
from ..types import SHARDS, SUBSCRIBED, Filter
from . import operations as ops
from .async_subscription import AsyncSubscription
from .channel import RedisChannel
from .checks import check_server
from .cluster.pools import ClusterPool
from .cluster_channel import ClusterChannel
from .cluster_checks import check_cluster
from .cluster_subscription import AsyncClusterSubscription, ClusterSubscription
from .driver import AwaitingDriver, BlockingDriver, awaiting, blocking
from .endpoints import endpoint_of
from .replica_checks import check_replicas
from .shards import Operation
from .subscription import LOOK_S, PING_S, Subscription

__all__ = ["AsyncRedisStore", "RedisStore"]


class RedisStore(BlockingDriver):
    """`Store` on one Redis server."""

    enqueue = blocking(ops.enqueue.enqueue)
    read = blocking(ops.read.read)
    revoke = blocking(ops.revoke.revoke)
    revoke_many = blocking(ops.revoke.revoke_many)

    start_workflow = blocking(ops.workflows.start_workflow)
    workflow = blocking(ops.workflows.workflow)
    gather = blocking(ops.workflows.gather)
    revoke_workflow = blocking(ops.workflows.revoke_workflow)
    standing = blocking(ops.standing.standing)

    put_schedule = blocking(ops.schedules.put_schedule)
    delete_schedule = blocking(ops.schedules.delete_schedule)
    pause_schedule = blocking(ops.schedules.pause_schedule)
    schedules = blocking(ops.schedules.schedules)
    list_schedules = blocking(ops.schedules.list_schedules)

    active = blocking(ops.inspection.active)
    statistics = blocking(ops.inspection.statistics)
    workers = blocking(ops.inspection.workers)
    measures = blocking(ops.measures.measures)
    events = blocking(ops.inspection.events)
    watch_events = blocking(ops.inspection.watch_events)
    dead_letters = blocking(ops.inspection.dead_letters)
    delete_finished = blocking(ops.delete_finished.delete_finished)
    delete_result = blocking(ops.delete_finished.delete_result)
    finished_since = blocking(ops.finished_since.finished_since)
    forget_queue = blocking(ops.queues.forget_queue)
    rewrite = blocking(ops.rewrite.rewrite)

    record_audit = blocking(ops.steering.record_audit)
    audit_entries = blocking(ops.steering.audit_entries)
    discard_dead_letters = blocking(ops.steering.discard_dead_letters)
    waiting_ids = blocking(ops.steering.waiting_ids)
    finished_ids = blocking(ops.finished_before.finished_ids)
    request_worker = blocking(ops.steering.request_worker)
    pause = blocking(ops.steering.pause)
    resume = blocking(ops.steering.resume)
    pauses = blocking(ops.steering.pauses)
    logs = blocking(ops.logs.logs)
    stack = blocking(ops.logs.stack)
    queue_counts = blocking(ops.inspection.queue_counts)
    series = blocking(ops.series.series)

    put_bulk = blocking(ops.bulk.put_bulk)
    bulk = blocking(ops.bulk.bulk)
    bulks = blocking(ops.bulk.bulks)
    put_bulk_members = blocking(ops.bulk.put_bulk_members)
    bulk_counts = blocking(ops.bulk.bulk_counts)
    bulk_members = blocking(ops.bulk.bulk_members)
    advance_bulk = blocking(ops.bulk.advance_bulk)
    take_bulk = blocking(ops.bulk.take_bulk)
    shard_dead_letters = blocking(ops.bulk.shard_dead_letters)
    dead_letters_at = blocking(ops.bulk.dead_letters_at)
    replay_dead_letters = blocking(ops.bulk.replay_dead_letters)
    move = blocking(ops.bulk.move)
    discard_for_bulk = blocking(ops.bulk.discard_for_bulk)
    restore_dead_letters = blocking(ops.bulk.restore_dead_letters)

    def wait_finished(self, ids: Sequence[str], timeout_s: float | None) -> list[Snapshot]:
        """See `Store.wait_finished`."""
        return self._wait(ids, timeout_s, lambda: ops.read.finished(self.shards, ids), self._read_push)

    def wait_workflow(self, workflow_id: str, fan_in: int | None, timeout_s: float | None, *, failure: bool) -> bool:
        """See `Store.wait_workflow`."""

        def look() -> Operation[bool]:
            return ops.workflows.is_over(self.shards, workflow_id, fan_in, failure=failure)

        return self.run(look()) or self._wait([workflow_id], timeout_s, look)

    def _wait[T](
        self,
        ids: Sequence[str],
        timeout_s: float | None,
        look: Callable[[], Operation[T]],
        read_push: Callable[[bytes], T] | None = None,
    ) -> T:
        """Look whenever a push says that one of these ids is finished, until something is found or the time is up.

        ``read_push``: finds it in the text of a push, which saves the look.
        """
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        if timeout_s is not None and timeout_s <= 0:
            return self.run(look())
        wanted = {task_id.encode() for task_id in ids}
        channels = {self.shards.of(task_id).keys.done_channel(task_id) for task_id in ids}
        with self._subscription(channels) as subscription:
            text = None  # look at once: the end may have come before the subscription did
            while True:
                if text and read_push is not None and (found := read_push(text)):
                    return found
                found = self.run(look())
                left_s = LOOK_S if deadline is None else min(LOOK_S, deadline - time.monotonic())
                if found or left_s <= 0:
                    return found
                text = subscription.wait(wanted, left_s)

    def _read_push(self, text: bytes) -> list[Snapshot]:
        return ops.read.pushed(self.shards, text)

    def _subscription(self, channels: set[str]) -> Subscription | ClusterSubscription:
        pool = self.pool()
        if isinstance(pool, ClusterPool):
            return ClusterSubscription(pool, channels)
        return Subscription(self.settings, pool, channels)

    def check(self, *, before_deploy: bool = False) -> list[str]:
        """See `Store.check`."""
        check = check_cluster if self.settings.is_cluster else check_server
        warnings = check(self.settings, runs_tasks=not before_deploy)
        if before_deploy:
            warnings += check_replicas(self.settings)
        with suppress(StoreUnavailable):
            self.agree(0.0)
        return warnings

    def channel(self, tag: str, consumer: str, queues: Filter) -> Channel:
        """See `Store.channel`."""
        channel = ClusterChannel if self.settings.is_cluster else RedisChannel
        return channel(self.shards, tag, consumer, queues)


class AsyncRedisStore(AwaitingDriver):
    """`AsyncStore` and `SupervisorStore` on one Redis server."""

    enqueue = awaiting(ops.enqueue.enqueue)
    read = awaiting(ops.read.read)
    revoke = awaiting(ops.revoke.revoke)
    revoke_many = awaiting(ops.revoke.revoke_many)

    start_workflow = awaiting(ops.workflows.start_workflow)
    workflow = awaiting(ops.workflows.workflow)
    gather = awaiting(ops.workflows.gather)
    revoke_workflow = awaiting(ops.workflows.revoke_workflow)

    put_schedule = awaiting(ops.schedules.put_schedule)
    delete_schedule = awaiting(ops.schedules.delete_schedule)
    pause_schedule = awaiting(ops.schedules.pause_schedule)
    schedules = awaiting(ops.schedules.schedules)
    list_schedules = awaiting(ops.schedules.list_schedules)

    standing = awaiting(ops.standing.standing)
    active = awaiting(ops.inspection.active)
    statistics = awaiting(ops.inspection.statistics)
    workers = awaiting(ops.inspection.workers)
    measures = awaiting(ops.measures.measures)
    events = awaiting(ops.inspection.events)
    watch_events = awaiting(ops.inspection.watch_events)
    dead_letters = awaiting(ops.inspection.dead_letters)
    delete_finished = awaiting(ops.delete_finished.delete_finished)
    delete_result = awaiting(ops.delete_finished.delete_result)
    forget_queue = awaiting(ops.queues.forget_queue)

    record_audit = awaiting(ops.steering.record_audit)
    audit_entries = awaiting(ops.steering.audit_entries)
    discard_dead_letters = awaiting(ops.steering.discard_dead_letters)
    waiting_ids = awaiting(ops.steering.waiting_ids)
    finished_ids = awaiting(ops.finished_before.finished_ids)
    request_worker = awaiting(ops.steering.request_worker)
    pause = awaiting(ops.steering.pause)
    resume = awaiting(ops.steering.resume)
    pauses = awaiting(ops.steering.pauses)
    logs = awaiting(ops.logs.logs)

    settle = awaiting(ops.settle.settle)
    hand_back = awaiting(ops.hand_back.hand_back)
    holdings = awaiting(ops.hand_back.holdings)
    charge = awaiting(ops.hand_back.charge)
    reclaim = awaiting(ops.hand_back.reclaim)
    promote = awaiting(ops.promote.promote)
    admit = awaiting(ops.admit.admit)
    revocations = awaiting(ops.revoke.revocations)
    unfold = awaiting(ops.workflows.unfold)

    mark_running = awaiting(ops.leases.mark_running)
    progress = awaiting(ops.leases.progress)
    append_logs = awaiting(ops.logs.append_logs)
    answer_stack = awaiting(ops.logs.answer_stack)
    add_series = awaiting(ops.series.add_series)
    note_release = awaiting(ops.series.note_release)
    renew = awaiting(ops.leases.renew)
    beat = awaiting(ops.leases.beat)
    sweep = awaiting(ops.queues.sweep)
    ready = awaiting(ops.claim.ready)
    noted_tags = awaiting(ops.tags.noted_tags)
    expire_results = awaiting(ops.early_expiry.expire_results)

    declare_schedules = awaiting(ops.schedules.declare_schedules)
    undeclare_schedules = awaiting(ops.schedules.undeclare_schedules)
    shard_schedules = awaiting(ops.schedules.shard_schedules)
    due_schedules = awaiting(ops.schedules.due_schedules)
    fire = awaiting(ops.schedules.fire)

    async def wait_finished(self, ids: Sequence[str], timeout_s: float | None) -> list[Snapshot]:
        """See `Store.wait_finished`."""
        return await self._wait(ids, timeout_s, lambda: ops.read.finished(self.shards, ids), self._read_push)

    async def wait_workflow(
        self, workflow_id: str, fan_in: int | None, timeout_s: float | None, *, failure: bool
    ) -> bool:
        """See `Store.wait_workflow`."""

        def look() -> Operation[bool]:
            return ops.workflows.is_over(self.shards, workflow_id, fan_in, failure=failure)

        return await self.run(look()) or await self._wait([workflow_id], timeout_s, look)

    async def _wait[T](
        self,
        ids: Sequence[str],
        timeout_s: float | None,
        look: Callable[[], Operation[T]],
        read_push: Callable[[bytes], T] | None = None,
    ) -> T:
        """See `RedisStore._wait`."""
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        if timeout_s is not None and timeout_s <= 0:
            return await self.run(look())
        wanted = {task_id.encode() for task_id in ids}
        channels = {self.shards.of(task_id).keys.done_channel(task_id) for task_id in ids}
        async with self._subscription(channels) as subscription:
            text = None  # look at once: the end may have come before the subscription did
            while True:
                if text and read_push is not None and (found := read_push(text)):
                    return found
                found = await self.run(look())
                left_s = LOOK_S if deadline is None else min(LOOK_S, deadline - time.monotonic())
                if found or left_s <= 0:
                    return found
                text = await subscription.wait(wanted, left_s)

    def _read_push(self, text: bytes) -> list[Snapshot]:
        return ops.read.pushed(self.shards, text)

    async def watch(self, task_id: str) -> AsyncIterator[Snapshot]:
        """See `AsyncStore.watch`."""
        keys = self.shards.of(task_id).keys
        channels = {keys.done_channel(task_id), keys.news_channel(task_id)}
        async with self._subscription(channels) as subscription:
            while True:
                [snapshot] = await self.read([task_id])
                if snapshot is None:
                    return
                yield snapshot
                if snapshot.is_finished:
                    return
                await subscription.wait({task_id.encode()}, LOOK_S, reconnect=True)

    def _subscription(self, channels: set[str], ping_s: float = PING_S) -> AsyncSubscription | AsyncClusterSubscription:
        if self.settings.is_cluster:
            return AsyncClusterSubscription(self.settings, channels, ping_s)
        return AsyncSubscription(self.settings, channels, ping_s)

    async def listen(self, wakes_of: Filter | None = None) -> AsyncIterator[tuple[str, str]]:
        """See `SupervisorStore.listen`.

        Raises:
            StoreUnavailable: the connection broke.
        """
        tags = {shard.keys.control: tag for tag, shard in self.shards.by_tag.items()}
        list_channel = Keys(self.settings.key_prefix, ops.tags.NOTE_TAG).control
        # A Cluster has several connections, which are idle together.
        ping_s = max(2 * PING_S if self.settings.is_cluster else PING_S, self.settings.idle_poll_s)
        wakes: dict[str, str] = {}
        if wakes_of is not None:
            for tag, shard in self.shards.by_tag.items():
                wakes |= dict.fromkeys(ops.claim.wake_lists(shard.keys, wakes_of), tag)
        async with self._subscription({*tags, *wakes, list_channel}, ping_s) as subscription:
            subscription.check()
            search = endpoint_of(self.settings).search
            if search is not None and isinstance(subscription, AsyncSubscription):
                subscription.leave_when_moved(search)
            yield "", SUBSCRIBED
            while True:
                channel, text = await subscription.read()
                if not channel:
                    yield channel, text
                elif channel == list_channel:
                    yield "", SHARDS  # also after it was subscribed to anew: it may have grown meanwhile
                elif channel not in wakes:
                    yield tags[channel], text
                elif text != SUBSCRIBED:  # which that of the shard's control messages says as well
                    yield wakes[channel], "wake"
