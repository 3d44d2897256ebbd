"""A handle on one enqueued task: live state, and the result when there is one."""

from __future__ import annotations

import time
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from ..exceptions import TaskNotFound
from ..protocol.log_lines import NO_LOGS, TaskLogs
from ..protocol.message import Message
from ..protocol.state import STATUS, Snapshot, State
from ..stores.base import Store
from ..stores.owner import Owner
from ..stores.types import Revocation
from .lookup import parent_of, workflow_of
from .snapshot_view import children_of, error_of, failure_of, info_of, outcome_of, shown_state, value_of
from .unfinished import atimed_out, timed_out
from .waits import aended_soon, ended_soon, is_refused, left_s, refusal
from .workflow_result import Workflow

__all__ = ["Result", "wait_for"]


def _time(ms: int) -> datetime | None:
    return datetime.fromtimestamp(ms / 1000, UTC) if ms else None


def _text(when: datetime | None) -> str | None:
    return None if when is None else when.isoformat()


_REVOKED = (Revocation.GONE, Revocation.MARKED)


class Result[R]:
    """One enqueued call. Every method and property reads the present state, in one round trip.

    A finished state never changes, so it is read once.
    """

    __slots__ = ("_final", "_owner", "id")

    def __init__(self, owner: Owner, task_id: str) -> None:
        self._owner = owner
        self.id = task_id
        self._final: Snapshot | None = None

    def __repr__(self) -> str:
        return f"<Result {self.id}>"

    @property
    def store(self) -> Store:
        """The store that holds the task."""
        return self._owner.store

    def snapshot(self) -> Snapshot:
        """Read the present snapshot.

        Raises:
            TaskNotFound: nothing is known of this id, or not any more.
        """
        if self._final is not None:
            return self._final
        return self._keep(self._owner.store.read([self.id])[0])

    async def asnapshot(self) -> Snapshot:
        """Read the present snapshot from an event loop."""
        if self._final is not None:
            return self._final
        return self._keep((await self._owner.async_store.read([self.id]))[0])

    def _keep(self, snapshot: Snapshot | None) -> Snapshot:
        if snapshot is None:
            raise TaskNotFound(f"No task {self.id} is known: it was never enqueued here, or its result has expired.")
        if snapshot.is_finished:
            self._final = snapshot
        return snapshot

    @property
    def state(self) -> str:
        """The detailed state: a `State`, or the word that a running task shows instead."""
        return shown_state(self.snapshot())

    @property
    def status(self) -> str:
        """One of four words: ``"READY"``, ``"RUNNING"``, ``"FAILED"``, ``"SUCCESSFUL"``."""
        return STATUS[self.snapshot().state]

    def ready(self) -> bool:
        """Return whether it is finished."""
        return self.snapshot().is_finished

    def successful(self) -> bool:
        """Return whether it finished without an error."""
        return self.snapshot().state in (State.SUCCESS, State.IGNORED)

    def failed(self) -> bool:
        """Return whether it finished with an error, or was revoked or expired."""
        snapshot = self.snapshot()
        return snapshot.is_finished and snapshot.state not in (State.SUCCESS, State.IGNORED)

    @property
    def info(self) -> Any:
        """The last progress of the running task, a JSON value; None if there is none."""
        return info_of(self.snapshot())

    @property
    def progress(self) -> Any:
        """The same as `info`."""
        return self.info

    @property
    def result(self) -> R | Exception | None:
        """Its return value; the exception if it failed; None while it is not finished, or if it was ignored."""
        snapshot = self.snapshot()
        failure = failure_of(snapshot)
        if failure is not None:
            return failure
        return outcome_of(snapshot).get("r") if snapshot.is_finished else None

    @property
    def traceback(self) -> str | None:
        """The traceback of a failure as text, None if there is none."""
        error = error_of(self.snapshot())
        return None if error is None else error.get("traceback")

    @property
    def parent_id(self) -> str | None:
        """The task that enqueued it, or that it follows; None if there is none."""
        return self.message.parent_id or None

    @property
    def parent(self) -> Any:
        """A handle on the task or group that it follows in its workflow, or on the task that enqueued it."""
        return parent_of(self._owner, self.message)

    @property
    def workflow(self) -> Workflow | None:
        """The workflow that it belongs to; None if there is none."""
        return workflow_of(self._owner, self.id)

    @property
    def children(self) -> list[str]:
        """The ids of tasks that were linked to it and follow its outcome."""
        snapshot = self.snapshot()
        return list(children_of(snapshot.message(), snapshot.state))

    @property
    def attempts(self) -> int:
        """How many attempts were started."""
        return self.snapshot().attempts

    @property
    def message(self) -> Message:
        """What was enqueued."""
        return self.snapshot().message()

    @property
    def enqueued_at(self) -> datetime | None:
        """When it was accepted (UTC, the store's clock)."""
        return _time(self.snapshot().enqueued_ms)

    @property
    def finished_at(self) -> datetime | None:
        """When it finished (UTC, the store's clock), None before."""
        return _time(self.snapshot().finished_ms)

    @property
    def date_created(self) -> str | None:
        """`enqueued_at` as ISO 8601 text."""
        return _text(self.enqueued_at)

    @property
    def date_done(self) -> str | None:
        """`finished_at` as ISO 8601 text, None before."""
        return _text(self.finished_at)

    def logs(self) -> TaskLogs:
        """Return what its attempts have logged and printed, as far as it is kept; lines come a moment later.

        Raises:
            ServerNotSupported: the store keeps none.
        """
        return self._owner.store.logs(self.id) or NO_LOGS

    async def alogs(self) -> TaskLogs:
        """Return what its attempts have logged and printed, from an event loop; see `logs`."""
        return await self._owner.async_store.logs(self.id) or NO_LOGS

    def revoke(self, *, terminate: bool = False) -> bool:
        """Revoke it; return False if it is finished already, or unknown.

        A task that has not started never starts. A running one is interrupted with ``terminate``, and runs to its end
        without; its outcome is REVOKED either way.
        """
        return self._owner.store.revoke(self.id, terminate=terminate) in _REVOKED

    async def arevoke(self, *, terminate: bool = False) -> bool:
        """Revoke it from an event loop; see `revoke`."""
        return await self._owner.async_store.revoke(self.id, terminate=terminate) in _REVOKED

    def forget(self) -> bool:
        """Delete its result from the store; False if it is not finished, or unknown."""
        return self._owner.store.delete_result(self.id)

    def get(self, timeout: float | None = None, *, allow_wait: bool = False) -> R:
        """Wait for the result and return it. A push wakes the wait; the store is also read once a second.

        Args:
            timeout: seconds, None for ever.
            allow_wait: wait inside a task, too, which keeps the task's place in its worker.

        Raises:
            TimeoutError: it is not finished yet.
            WaitInTask: a task is running here, and the result is not there yet.
            TaskNotFound: nothing is known of this id.
            TaskRevoked: it was revoked or has expired.
            Exception: the task's own error.
        """
        begun = time.monotonic()
        store = self._owner.store
        ended = None if self._final is not None else ended_soon(store, self.id, timeout, allow_wait=allow_wait)
        snapshot = self.snapshot() if ended is None else self._keep(ended)
        if not snapshot.is_finished:
            if is_refused(timeout, allow_wait=allow_wait):
                raise refusal(f"task {self.id}")
            finished = store.wait_finished([self.id], left_s(timeout, begun))
            if not finished:
                late = self.snapshot()
                raise timed_out(self._owner, late, timeout, shown_state(late))
            [snapshot] = finished
        return value_of(snapshot)  # type: ignore[no-any-return]

    async def aget(
        self,
        timeout: float | None = None,  # noqa: ASYNC109 - the name users know from get()
        *,
        allow_wait: bool = False,
    ) -> R:
        """Wait for the result on an event loop; see `get`."""
        begun = time.monotonic()
        store, ended = self._owner.async_store, None
        if self._final is None:
            ended = await aended_soon(store, self.id, timeout, allow_wait=allow_wait)
        snapshot = await self.asnapshot() if ended is None else self._keep(ended)
        if not snapshot.is_finished:
            if is_refused(timeout, allow_wait=allow_wait):
                raise refusal(f"task {self.id}")
            finished = await store.wait_finished([self.id], left_s(timeout, begun))
            if not finished:
                late = await self.asnapshot()
                raise await atimed_out(self._owner, late, timeout, shown_state(late))
            [snapshot] = finished
        return value_of(snapshot)  # type: ignore[no-any-return]


def wait_for(results: Iterable[Result[Any]], timeout: float | None = None, *, allow_wait: bool = False) -> bool:
    """Wait until all of these are finished; return whether they are. One connection waits for all of them.

    Args:
        results: handles of one app.
        timeout: seconds for all together, None for ever.
        allow_wait: wait inside a task, too.

    Raises:
        WaitInTask: a task is running here, and not all results are there yet.
    """
    waiting = {result.id: result for result in results}
    refused = is_refused(timeout, allow_wait=allow_wait)
    if refused:
        timeout = 0
    deadline = None if timeout is None else time.monotonic() + timeout
    if not waiting:
        return True
    store = next(iter(waiting.values())).store
    while waiting:
        left = None if deadline is None else max(0.0, deadline - time.monotonic())
        for snapshot in store.wait_finished(list(waiting), left):
            del waiting[snapshot.id]
        if left == 0:
            break
    if waiting and refused:
        raise refusal(f"task {next(iter(waiting))}")
    return not waiting
