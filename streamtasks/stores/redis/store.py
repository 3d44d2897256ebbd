"""The sync driver: `Store` on one Redis."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from redis.exceptions import RedisError

from ...protocol.state import DeadLetter, Snapshot
from ...settings import StoreSettings
from ..types import (
    Active,
    Events,
    Filter,
    NewMessage,
    NewWorkflow,
    Revocation,
    Statistics,
    WorkerInfo,
    WorkflowCounts,
)
from . import connections, inspection, pools, workflows
from .calls import Call
from .checks import check_server
from .conversation import exchange
from .operations import Operation, Operations
from .schedule_store import RedisSchedules

if TYPE_CHECKING:
    from .channel import RedisChannel

__all__ = ["RedisStore"]


class RedisStore(RedisSchedules):
    """`Store` on one Redis server; safe to share between threads and cheap to make.

    Connections come from the process's pool for these settings, so a store survives a fork.
    """

    def __init__(self, settings: StoreSettings) -> None:
        self.settings = settings
        self.operations = Operations(settings)
        self._pool_of: tuple[int, pools.Pool | None] = (0, None)

    @property
    def tags(self) -> tuple[str, ...]:
        """The shards."""
        return self.settings.tags

    def enqueue(self, messages: Sequence[NewMessage], patience_s: float | None = None) -> list[bool]:
        """See `Store.enqueue`."""
        return self._run(self.operations.enqueue(messages), patience_s)

    def read(self, ids: Sequence[str]) -> list[Snapshot | None]:
        """See `Store.read`."""
        return self._run(self.operations.read(ids))

    def wait_finished(self, ids: Sequence[str], timeout_s: float | None) -> set[str]:
        """See `Store.wait_finished`: woken by a push, and looks once a second in case one was lost."""
        return self._wait(ids, timeout_s, lambda: self._finished(ids))

    def _wait[T](self, ids: Sequence[str], timeout_s: float | None, look: Callable[[], T]) -> T:
        """Look whenever one of these ids is told to be finished, until there is something or the time is up."""
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        if timeout_s is not None and timeout_s <= 0:
            return look()
        channels = {self.operations.shards[self.operations.tag_of(i)].keys.done_channel(i) for i in ids}
        wanted = {task_id.encode() for task_id in ids}
        connection: Any = self._pool().borrow()
        try:
            self._subscribe(connection, channels)
            while True:
                found = look()
                left = 1.0 if deadline is None else min(1.0, deadline - time.monotonic())
                if found or left <= 0:
                    return found
                self._pushed(connection, wanted, time.monotonic() + left)
        finally:
            self._give_back(connection, len(channels))

    def revoke(self, task_id: str, *, terminate: bool = False) -> Revocation:
        """See `Store.revoke`."""
        return self._run(self.operations.revoke(task_id, terminate))

    def start_workflow(self, new: NewWorkflow) -> bool:
        """See `Store.start_workflow`."""
        return self._run(workflows.start(self.operations, new))

    def workflow(self, workflow_id: str, fan_ins: Sequence[int] = ()) -> WorkflowCounts | None:
        """See `Store.workflow`."""
        return self._run(workflows.counts(self.operations, workflow_id, fan_ins))

    def wait_workflow(self, workflow_id: str, fan_in: int | None, timeout_s: float | None, *, failure: bool) -> bool:
        """See `Store.wait_workflow`."""

        def look() -> bool:
            return self._run(workflows.is_over(self.operations, workflow_id, fan_in, failure=failure))

        return look() or self._wait([workflow_id], timeout_s, look)

    def gather(self, workflow_id: str, field: str) -> list[bytes]:
        """See `Store.gather`."""
        return self._run(workflows.gather(self.operations, workflow_id, field))

    def revoke_workflow(self, workflow_id: str, fan_in: int | None = None, *, terminate: bool = False) -> bool:
        """See `Store.revoke_workflow`."""
        return self._run(workflows.cancel(self.operations, workflow_id, fan_in, terminate=terminate))

    def active(self, limit: int = 100) -> list[Active]:
        """See `Store.active`."""
        return self._run(inspection.active(self.operations, limit))

    def statistics(self) -> Statistics:
        """See `Store.statistics`."""
        return self._run(inspection.statistics(self.operations))

    def workers(self) -> list[WorkerInfo]:
        """See `Store.workers`."""
        return self._run(inspection.workers(self.operations))

    def forget(self, before_ms: int) -> int:
        """See `Store.forget`."""
        return self._run(inspection.forget(self.operations, before_ms))

    def forget_result(self, task_id: str) -> bool:
        """See `Store.forget_result`."""
        return self._run(inspection.forget_result(self.operations, task_id))

    def events(self, after: str = "", limit: int = 100) -> Events:
        """See `Store.events`."""
        return self._run(inspection.events(self.operations, after, limit))

    def dead_letters(self, limit: int = 100, before: str = "") -> list[DeadLetter]:
        """See `Store.dead_letters`."""
        return self._run(inspection.dead_letters(self.operations, limit, before))

    def check(self) -> None:
        """See `Store.check`."""
        check_server(self.settings)

    def channel(self, tag: str, consumer: str, queues: Filter) -> RedisChannel:
        """See `Store.channel`."""
        from .channel import RedisChannel

        return RedisChannel(self.operations, tag, consumer, queues)

    def _finished(self, ids: Sequence[str]) -> set[str]:
        return {s.id for s in self.read(ids) if s is not None and s.is_finished}

    def _give_back(self, connection: Any, channels: int) -> None:
        """Unsubscribe and return a connection, or close it if anything is in doubt."""
        try:
            if connection.is_connected:
                connection.send_command("SUNSUBSCRIBE", check_health=False)
                while channels:
                    channels -= connection.read_response()[0] == b"sunsubscribe"
        except (RedisError, OSError):
            connection.disconnect()
        self._pool().give_back(connection)

    def _subscribe(self, connection: Any, channels: set[str]) -> None:
        try:
            for channel in channels:
                connection.send_command("SSUBSCRIBE", channel, check_health=False)
                connection.read_response()
        except (RedisError, OSError) as error:
            lasting = connections.lasting_error(error, self.settings)
            if lasting is not None:
                raise lasting from error
            connection.disconnect()  # `_pushed` then only waits; reading each second goes on

    @staticmethod
    def _pushed(connection: Any, wanted: set[bytes], until: float) -> None:
        """Return when one of the wanted ids is told to be finished, or at ``until`` (monotonic seconds)."""
        try:
            while (left := until - time.monotonic()) > 0:
                if not connection.is_connected:
                    time.sleep(left)
                    return
                if connection.can_read(timeout=left):
                    told = connection.read_response()
                    if told[0] == b"smessage" and not wanted.isdisjoint(told[2].split(b" ")):
                        return
        except (RedisError, OSError):
            connection.disconnect()

    def _run[T](self, operation: Operation[T], patience_s: float | None = None) -> T:
        try:
            requests = next(operation)
            while True:
                requests = operation.send(self._exchange(requests, patience_s))
        except StopIteration as stop:
            return stop.value  # type: ignore[no-any-return]

    def _exchange(self, requests: list[Call], patience_s: float | None) -> list[Any]:
        """Send calls and return their replies, again and again until the deadline."""
        if not requests:
            return []
        patience = connections.Patience(self.settings, patience_s)
        while True:
            try:
                with self._pool().lend() as connection:
                    return exchange(connection, requests)
            except (RedisError, OSError) as error:
                delay = patience.delay_s(error)
            time.sleep(delay)

    def _pool(self) -> pools.Pool:
        pid = os.getpid()
        if self._pool_of[0] != pid:
            self._pool_of = (pid, pools.sync_pool(self.settings))
        assert self._pool_of[1] is not None
        return self._pool_of[1]
