"""The result of a call on a backend of this package: Django's, and live.

Django's own attributes are a snapshot, made when the object was and renewed by `refresh`: ``status``, ``enqueued_at``,
``started_at``, ``finished_at``, ``last_attempted_at``, ``errors``, ``worker_ids``, ``return_value``, ``is_finished``.
All other attributes and methods read the server first, in one round trip, and renew the snapshot with the answer.
A finished task never changes, so nothing is read for one.

These reads block as a database query does. On an event loop use `arefresh`, `aget` and `arevoke`.
"""

from __future__ import annotations

import time
from dataclasses import field, fields
from typing import TYPE_CHECKING, Any, Self, cast

from django.utils import timezone

from streamtasks import Message
from streamtasks.exceptions import DecodeError
from streamtasks.protocol.errors import describe, rebuild
from streamtasks.protocol.log_lines import TaskLogs
from streamtasks.protocol.state import Snapshot, State
from streamtasks.results.lookup import parent_of, workflow_of
from streamtasks.results.snapshot_view import children_of, failure_of, info_of, shown_state, value_of
from streamtasks.results.unfinished import atimed_out, timed_out
from streamtasks.results.waits import left_s
from streamtasks.results.workflow_result import Workflow

from ..framework import TASK_REFRESH_ATTRS, TaskResult, TaskResultStatus
from .frozen import frozen_like_django
from .generic_bases import GenericTaskResult
from .metadata import shown
from .owners import owner_of

if TYPE_CHECKING:
    from datetime import datetime

    from .result_backend import ResultBackend

__all__ = ["StreamTaskResult", "as_text"]

# Another thread must not see a final status before the values that belong to it.
_IN_ORDER = (*sorted((TASK_REFRESH_ATTRS | {"raw_metadata"}) - {"status"}), "status")
_FINAL = frozenset({TaskResultStatus.SUCCESSFUL, TaskResultStatus.FAILED})
_STATES = {
    TaskResultStatus.READY: State.QUEUED,
    TaskResultStatus.RUNNING: State.STARTED,
    TaskResultStatus.SUCCESSFUL: State.SUCCESS,
    TaskResultStatus.FAILED: State.FAILURE,
}


def as_text(when: datetime | None) -> str | None:
    """Return a time of Django as ISO 8601 text with its offset; naive ones are local."""
    return None if when is None else (when if when.tzinfo is not None else when.astimezone()).isoformat()


@frozen_like_django  # pyright: ignore[reportGeneralTypeIssues]  # it does not see that results of Django are frozen
class StreamTaskResult[R](GenericTaskResult[..., R]):  # type: ignore[misc]  # django-stubs do not know that results are frozen
    """The object that ``enqueue()``, ``delay()`` and ``get_result()`` return.

    Attributes:
        raw_metadata: the metadata of the call, with the keys of backends and libraries. Provisional.
        known: the last answer of the store; None before the first one, and without a store.
        decided: the final state of a call that ran in this process.
        raised: the exception of a call that ran in this process.
    """

    raw_metadata: dict[str, Any] = field(default_factory=dict)
    known: Snapshot | None = field(init=False, default=None, compare=False, repr=False)
    decided: State | None = field(init=False, default=None, compare=False, repr=False)
    raised: BaseException | None = field(init=False, default=None, compare=False, repr=False)

    if TYPE_CHECKING:
        _return_value: Any = field(init=False, default=None)

    def set(self, **values: Any) -> Self:
        """Set attributes of this frozen object; for those who make it."""
        for name, value in values.items():
            object.__setattr__(self, name, value)
        return self

    # -- snapshot ------------------------------------------------------------------------------------

    def refresh(self) -> None:
        """Renew the snapshot.

        Raises:
            TaskResultDoesNotExist: the id is not known any more.
        """
        self._take(self.task.get_backend().get_result(self.id))

    async def arefresh(self) -> None:
        """Renew the snapshot without blocking the event loop; see `refresh`."""
        self._take(await self.task.get_backend().aget_result(self.id))

    def _take(self, fresh: TaskResult[..., Any]) -> None:
        if isinstance(fresh, StreamTaskResult):
            self.set(known=fresh.known, decided=fresh.decided, raised=fresh.raised)
        for name in _IN_ORDER:
            object.__setattr__(self, name, getattr(fresh, name))

    @property
    def metadata(self) -> dict[str, Any]:
        """The metadata of the call as it was last read, as a copy: what ``using()`` and the task have set. Provisional.

        Keys that begin with ``_`` belong to backends and libraries and are left out; ``raw_metadata`` has them.
        """
        return shown(self.raw_metadata)

    @property
    def known_state(self) -> str:
        """`state` as it was when it was last read."""
        if self.decided is None and self.known is not None:
            return shown_state(self.known)
        return self._final_state().value

    @property
    def known_info(self) -> Any:
        """`info` as it was when it was last read."""
        return None if self.known is None or self.status in _FINAL else info_of(self.known)

    def _look(self) -> Self:
        """Renew the snapshot of an unfinished task."""
        if self.status not in _FINAL and self._backend().keeps_results:
            self.refresh()
        return self

    def _backend(self) -> ResultBackend:
        return cast("ResultBackend", self.task.get_backend())

    # -- live ----------------------------------------------------------------------------------------

    def ready(self) -> bool:
        """Return whether the task is finished, with any outcome."""
        return self._look().is_finished

    def successful(self) -> bool:
        """Return whether the task succeeded or was ignored."""
        return self._look().status == TaskResultStatus.SUCCESSFUL

    def failed(self) -> bool:
        """Return whether the task failed, was revoked, expired, or became a dead letter."""
        return self._look().status == TaskResultStatus.FAILED

    @property
    def state(self) -> str:
        """The detailed state: a name of `streamtasks.State`, or the one that a running task has set."""
        return self._look().known_state

    @property
    def info(self) -> Any:
        """The last progress that a running task has reported, a JSON value; None if there is none."""
        return self._look().known_info

    @property
    def progress(self) -> Any:
        """The same as `info`."""
        return self.info

    @property
    def result(self) -> Any:
        """The return value; the exception if the task failed; None if it is unfinished or was ignored."""
        self._look()
        return self._failure() if self.status == TaskResultStatus.FAILED else self._return_value

    @property
    def traceback(self) -> str | None:
        """The traceback of a failure as text; None without a failure."""
        self._look()
        return self.errors[-1].traceback if self.status == TaskResultStatus.FAILED and self.errors else None

    @property
    def date_created(self) -> str | None:
        """The time of enqueueing, as ISO 8601 text."""
        return as_text(self.enqueued_at)

    @property
    def date_done(self) -> str | None:
        """The time at which the task finished, as ISO 8601 text; None before."""
        return as_text(self._look().finished_at)

    @property
    def parent_id(self) -> str | None:
        """The id of the task that enqueued this one, or that it follows; None if there is none."""
        message = self._message()
        return message.parent_id or None if message is not None else None

    @property
    def parent(self) -> Any:
        """The result of what it follows in its workflow (a `GroupResult` for a group), or of what enqueued it."""
        message = self._message()
        return None if message is None else parent_of(self._owner(), message)

    @property
    def workflow(self) -> Workflow | None:
        """Its workflow; None outside workflows."""
        return workflow_of(self._owner(), self.id) if self._backend().keeps_results else None

    def _owner(self) -> Any:
        return owner_of(self.task.get_backend())

    @property
    def children(self) -> list[str]:
        """The ids of linked tasks that follow its outcome."""
        message = self._message()
        return [] if message is None else list(children_of(message, self._look()._final_state()))

    def get(self, timeout: float | None = None, *, allow_wait: bool = False) -> R:
        """Wait for the result and return it.

        The server pushes the end of the task; the state is also read once a second in case a push was lost.

        Args:
            timeout: seconds; None waits for ever.
            allow_wait: wait inside a task, too, which keeps that task's place in its worker.

        Raises:
            TimeoutError: the task is not finished in time.
            WaitInTask: a task is running here, and the result is not there yet.
            TaskRevoked: the task was revoked, or expired before it started.
            TaskResultDoesNotExist: the id is unknown.
            Exception: the task's own error.
        """
        begun = time.monotonic()
        if self.status not in _FINAL:
            ended = self._backend().ended_soon(self.id, timeout, allow_wait=allow_wait)
            if ended is not None:
                self._take(ended)
        if not self.ready():
            self._backend().wait_for_results([self.id], left_s(timeout, begun), allow_wait=allow_wait)
        if (late := self._look()._late()) is not None:
            raise timed_out(self._owner(), late, timeout, self.status)
        return self._outcome(timeout)

    async def aget(
        self,
        timeout: float | None = None,  # noqa: ASYNC109 - the name users know from get()
        *,
        allow_wait: bool = False,
    ) -> R:
        """Wait for the result on an event loop; see `get`."""
        backend = self._backend()
        if self.status not in _FINAL and backend.keeps_results:
            await self.arefresh()
            if self.status not in _FINAL:
                await backend.await_for_results([self.id], timeout, allow_wait=allow_wait)
                await self.arefresh()
                if (late := self._late()) is not None:
                    raise await atimed_out(self._owner(), late, timeout, self.status)
        return self._outcome(timeout)

    def logs(self) -> TaskLogs:
        """Return what its attempts have logged and printed, as far as the store keeps it.

        Raises:
            ServerNotSupported: the backend keeps none.
        """
        return self._backend().task_logs(self.id)

    def revoke(self, *, terminate: bool = False) -> bool:
        """Revoke the task; see the backend's ``revoke()``."""
        return self._backend().revoke(self.id, terminate=terminate)

    async def arevoke(self, *, terminate: bool = False) -> bool:
        """Revoke the task from an event loop; see `revoke`."""
        return await self._backend().arevoke(self.id, terminate=terminate)

    def forget(self) -> bool:
        """Delete the stored result; return False if the task is unfinished or unknown. This object keeps its values."""
        return self._backend().forget_result(self.id)

    # -- private --------------------------------------------------------------------------------------

    def _final_state(self) -> State:
        if self.decided is not None:
            return self.decided
        if self.known is not None and self.known.is_finished:
            return self.known.state
        if self.status == TaskResultStatus.READY and self.task.run_after is not None:
            return State.DELAYED if self.task.run_after > timezone.now() else State.QUEUED
        return _STATES[self.status]

    def _failure(self) -> BaseException:
        if self.raised is not None:
            return self.raised
        failure = failure_of(self.known) if self.known is not None else None
        if failure is not None:
            return failure
        last = self.errors[-1] if self.errors else None  # read by another package's backend
        return rebuild({"traceback": last.traceback, "message": last.exception_class_path} if last is not None else {})

    def _late(self) -> Snapshot | None:
        """Return what a store knows of an unfinished task; None if it is finished, or its backend has no store."""
        return None if self.status in _FINAL else self.known

    def _outcome(self, timeout: float | None) -> R:
        if self.status == TaskResultStatus.SUCCESSFUL:
            if self._return_value is None and self.known is not None:
                return value_of(self.known)  # type: ignore[no-any-return]  # None, or the error of reading it
            return self._return_value  # type: ignore[no-any-return]
        if self.status != TaskResultStatus.FAILED:
            raise TimeoutError(f"Task {self.id} was not finished within {timeout} s; it is {self.status}.")
        failure = self._failure()
        if not isinstance(failure, Exception):  # an exception that would end this process is never raised here
            failure = rebuild(describe(failure))
        raise failure

    def _message(self) -> Message | None:
        if self.known is None:
            self._look()
        if self.known is None:
            return None
        try:
            return self.known.message()
        except DecodeError:
            return None

    def __getstate__(self) -> list[Any]:
        """Return the values of all fields; an exception as one that surely can be pickled."""
        raised = None if self.raised is None else rebuild(describe(self.raised))
        return [raised if one.name == "raised" else getattr(self, one.name) for one in fields(self)]

    def __setstate__(self, state: list[Any]) -> None:
        self.set(**{one.name: value for one, value in zip(fields(self), state, strict=True)})
