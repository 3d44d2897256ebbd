"""A handle on one enqueued task: live state, and the result when there is one."""

from __future__ import annotations

import time
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from .attempt import read_progress
from .codec import loads
from .errors import rebuild
from .exceptions import TaskNotFound, TaskRevoked
from .message import Message
from .state import Snapshot, State

if TYPE_CHECKING:
    from .app import StreamTasks

__all__ = ["Result", "value_of", "wait_for"]


def value_of(snapshot: Snapshot) -> Any:
    """Return what a finished task returned; None for an ignored one.

    Raises:
        TaskRevoked: it was revoked, or expired before it started.
        Exception: the task's own error, as `errors.rebuild` makes it.
    """
    if snapshot.state in (State.SUCCESS, State.IGNORED):
        return loads(snapshot.result).get("r") if snapshot.result else None
    if snapshot.state in (State.REVOKED, State.EXPIRED):
        raise TaskRevoked(f"Task {snapshot.id} was {snapshot.state.value.lower()} before it finished.")
    raise rebuild(loads(snapshot.result).get("e", {}) if snapshot.result else {})


def _time(ms: int) -> datetime | None:
    return datetime.fromtimestamp(ms / 1000, UTC) if ms else None


class Result[R]:
    """One enqueued call. Every method and property reads the present state, in one round trip.

    A finished state never changes, so it is read once.
    """

    __slots__ = ("_final", "app", "id")

    def __init__(self, app: StreamTasks, task_id: str) -> None:
        self.app = app
        self.id = task_id
        self._final: Snapshot | None = None

    def __repr__(self) -> str:
        return f"<Result {self.id}>"

    def snapshot(self) -> Snapshot:
        """Return what is known now.

        Raises:
            TaskNotFound: nothing is known of this id, or not any more.
        """
        if self._final is not None:
            return self._final
        return self._keep(self.app.store.read([self.id])[0])

    async def asnapshot(self) -> Snapshot:
        """Return what is known now, without blocking the event loop."""
        if self._final is not None:
            return self._final
        return self._keep((await self.app.async_store.read([self.id]))[0])

    def _keep(self, snapshot: Snapshot | None) -> Snapshot:
        if snapshot is None:
            raise TaskNotFound(f"No task {self.id} is known: it was never enqueued here, or its result has expired.")
        if snapshot.is_finished:
            self._final = snapshot
        return snapshot

    @property
    def state(self) -> State:
        """The detailed state."""
        return self.snapshot().state

    def ready(self) -> bool:
        """Whether it is finished, in whatever way."""
        return self.snapshot().is_finished

    def successful(self) -> bool:
        """Whether it finished without an error."""
        return self.snapshot().state in (State.SUCCESS, State.IGNORED)

    def failed(self) -> bool:
        """Whether it finished otherwise."""
        snapshot = self.snapshot()
        return snapshot.is_finished and snapshot.state not in (State.SUCCESS, State.IGNORED)

    @property
    def progress(self) -> dict[str, Any] | None:
        """What the running task said last with ``set_progress``, None if nothing."""
        data = self.snapshot().progress
        return read_progress(data)[1] if data else None

    @property
    def attempts(self) -> int:
        """How many attempts were started."""
        return self.snapshot().attempts

    @property
    def message(self) -> Message:
        """What was enqueued."""
        return Message.decode(self.snapshot().envelope)

    @property
    def enqueued_at(self) -> datetime | None:
        """When it was accepted (UTC, the store's clock)."""
        return _time(self.snapshot().enqueued_ms)

    @property
    def finished_at(self) -> datetime | None:
        """When it finished (UTC, the store's clock), None before."""
        return _time(self.snapshot().finished_ms)

    def get(self, timeout: float | None = None) -> R:
        """Wait for the result and return it. A push wakes the wait; nothing is polled meanwhile.

        Args:
            timeout: seconds, None for ever.

        Raises:
            TimeoutError: it is not finished yet.
            TaskNotFound: nothing is known of this id.
            TaskRevoked: it was revoked or has expired.
            Exception: the task's own error.
        """
        if not self.snapshot().is_finished and not self.app.store.wait_finished([self.id], timeout):
            raise TimeoutError(f"Task {self.id} was not finished within {timeout} s; it is {self.state.value}.")
        return value_of(self.snapshot())  # type: ignore[no-any-return]

    async def aget(self, timeout: float | None = None) -> R:  # noqa: ASYNC109 - the name users know from get()
        """Wait for the result on an event loop; see `get`."""
        if not (await self.asnapshot()).is_finished and not await self.app.async_store.wait_finished(
            [self.id], timeout
        ):
            state = (await self.asnapshot()).state
            raise TimeoutError(f"Task {self.id} was not finished within {timeout} s; it is {state.value}.")
        return value_of(await self.asnapshot())  # type: ignore[no-any-return]


def wait_for(results: Iterable[Result[Any]], timeout: float | None = None) -> bool:
    """Wait until all of these are finished; return whether they are. One connection waits for all of them.

    Args:
        results: handles of one app.
        timeout: seconds for all together, None for ever.
    """
    waiting = {result.id: result for result in results}
    deadline = None if timeout is None else time.monotonic() + timeout
    while waiting:
        left = None if deadline is None else max(0.0, deadline - time.monotonic())
        store = next(iter(waiting.values())).app.store
        for task_id in store.wait_finished(list(waiting), left):
            del waiting[task_id]
        if left == 0:
            break
    return not waiting
