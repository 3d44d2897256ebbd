"""The result of a call on a backend of ours: Django's, and live.

Django's own attributes are a snapshot, made when the object was and renewed by `refresh`: ``status``, ``enqueued_at``,
``started_at``, ``finished_at``, ``last_attempted_at``, ``errors``, ``worker_ids``, ``return_value``, ``is_finished``.
Everything that stands below looks at the server first, in one round trip, and renews the snapshot with what it finds.
What is finished never changes: then nothing is asked any more.

All of it blocks as a database query does. On an event loop use `arefresh`, `aget` and `arevoke`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self, cast

from django.tasks.base import TASK_REFRESH_ATTRS, TaskResult, TaskResultStatus
from django.utils import timezone

from streamtasks import Message
from streamtasks.exceptions import DecodeError
from streamtasks.protocol.errors import describe, rebuild
from streamtasks.protocol.state import Snapshot, State
from streamtasks.results.snapshot_view import children_of, failure_of, info_of, shown_state, value_of
from streamtasks.results.workflow_result import Workflow, parent_of, workflow_of

from ..tasks.owners import owner_of

if TYPE_CHECKING:
    from datetime import datetime

    from .result_backend import ResultBackend

    _Base = TaskResult[..., Any]
else:
    _Base = TaskResult

__all__ = ["StreamTaskResult", "as_text"]

_put = object.__setattr__

# Whoever looks from another thread shall not see a final status before what belongs to it.
_IN_ORDER = (*sorted(TASK_REFRESH_ATTRS - {"status"}), "status")
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


class StreamTaskResult(_Base):
    """What ``enqueue()``, ``delay()`` and ``get_result()`` return.

    Attributes that are not Django's: ``known`` is what the store told last (None if it was not asked yet, or there is
    no store); ``decided`` and ``raised`` are state and exception of a call that was run in this process.
    """

    __slots__ = ("decided", "known", "raised")

    if TYPE_CHECKING:
        _return_value: Any
    known: Snapshot | None
    decided: State | None
    raised: BaseException | None

    def __post_init__(self) -> None:
        _put(self, "known", None)
        _put(self, "decided", None)
        _put(self, "raised", None)
        TaskResult.__post_init__(self)

    def set(self, **values: Any) -> Self:
        """Set attributes of this frozen object; for those who make it."""
        for name, value in values.items():
            object.__setattr__(self, name, value)
        return self

    # -- snapshot ------------------------------------------------------------------------------------

    def refresh(self) -> None:
        """Renew the snapshot.

        Raises:
            TaskResultDoesNotExist: nothing is known of it any more.
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
    def known_state(self) -> str:
        """`state` as it was at the last look."""
        if self.decided is None and self.known is not None:
            return shown_state(self.known)
        return self._final_state().value

    @property
    def known_info(self) -> Any:
        """`info` as it was at the last look."""
        return None if self.known is None or self.status in _FINAL else info_of(self.known)

    def _look(self) -> Self:
        """Renew the snapshot if it can still change."""
        if self.status not in _FINAL and self._backend().keeps_results:
            self.refresh()
        return self

    def _backend(self) -> ResultBackend:
        return cast("ResultBackend", self.task.get_backend())

    # -- live ----------------------------------------------------------------------------------------

    def ready(self) -> bool:
        """Whether it is finished, in whatever way."""
        return self._look().is_finished

    def successful(self) -> bool:
        """Whether it finished without an error; also if it was ignored."""
        return self._look().status == TaskResultStatus.SUCCESSFUL

    def failed(self) -> bool:
        """Whether it finished otherwise: failed, revoked, expired, given up on."""
        return self._look().status == TaskResultStatus.FAILED

    @property
    def state(self) -> str:
        """The detailed state: a word of `streamtasks.State`, or the one that a running task shows itself."""
        return self._look().known_state

    @property
    def info(self) -> Any:
        """What the running task said last of its progress, a JSON value; None if nothing, or not any more."""
        return self._look().known_info

    @property
    def progress(self) -> Any:
        """The same as `info`."""
        return self.info

    @property
    def result(self) -> Any:
        """What it returned; the exception if it failed; None while it is not finished, or if it was ignored."""
        self._look()
        return self._failure() if self.status == TaskResultStatus.FAILED else self._return_value

    @property
    def traceback(self) -> str | None:
        """The traceback of a failure as text; None if it has not failed."""
        self._look()
        return self.errors[-1].traceback if self.status == TaskResultStatus.FAILED and self.errors else None

    @property
    def date_created(self) -> str | None:
        """When it was enqueued, as ISO 8601 text."""
        return as_text(self.enqueued_at)

    @property
    def date_done(self) -> str | None:
        """When it finished, as ISO 8601 text; None before."""
        return as_text(self._look().finished_at)

    @property
    def parent_id(self) -> str | None:
        """The task that enqueued it, or that it follows; None if there is none."""
        message = self._message()
        return message.parent_id or None if message is not None else None

    @property
    def parent(self) -> Any:
        """A handle on what it came after in its workflow (a `GroupResult` for a group), or on what enqueued it."""
        message = self._message()
        return None if message is None else parent_of(self._owner(), message)

    @property
    def workflow(self) -> Workflow | None:
        """The workflow of which it is a part; None if it is of none."""
        return workflow_of(self._owner(), self.id) if self._backend().keeps_results else None

    def _owner(self) -> Any:
        return owner_of(self.task.get_backend())

    @property
    def children(self) -> list[str]:
        """The ids of tasks that were linked to it and follow its outcome."""
        message = self._message()
        return [] if message is None else list(children_of(message, self._look()._final_state()))

    def get(self, timeout: float | None = None) -> Any:
        """Wait for the result and return it. A push wakes the wait.

        Args:
            timeout: seconds, None for ever.

        Raises:
            TimeoutError: it is not finished yet.
            TaskRevoked: it was revoked, or expired before it started.
            TaskResultDoesNotExist: nothing is known of it.
            Exception: the task's own error.
        """
        if not self.ready():
            self._backend().wait_for_results([self.id], timeout)
        return self._look()._outcome(timeout)

    async def aget(self, timeout: float | None = None) -> Any:  # noqa: ASYNC109 - the name users know from get()
        """Wait for the result on an event loop; see `get`."""
        backend = self._backend()
        if self.status not in _FINAL and backend.keeps_results:
            await self.arefresh()
            if self.status not in _FINAL:
                await backend.await_for_results([self.id], timeout)
                await self.arefresh()
        return self._outcome(timeout)

    def revoke(self, *, terminate: bool = False) -> bool:
        """End it before it finishes; see the backend's ``revoke()``."""
        return self._backend().revoke(self.id, terminate=terminate)

    async def arevoke(self, *, terminate: bool = False) -> bool:
        """End it before it finishes, from an event loop; see `revoke`."""
        return await self._backend().arevoke(self.id, terminate=terminate)

    def forget(self) -> bool:
        """Have the store forget it; False if it is not finished, or not known. This object keeps what it knows."""
        return self._backend().forget_result(self.id)

    # -- inside --------------------------------------------------------------------------------------

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
        last = self.errors[-1] if self.errors else None  # read by a backend that is not ours
        return rebuild({"traceback": last.traceback, "message": last.exception_class_path} if last is not None else {})

    def _outcome(self, timeout: float | None) -> Any:
        if self.status == TaskResultStatus.SUCCESSFUL:
            if self._return_value is None and self.known is not None:
                return value_of(self.known)  # None, or the error of reading it
            return self._return_value
        if self.status != TaskResultStatus.FAILED:
            raise TimeoutError(f"Task {self.id} was not finished within {timeout} s; it is {self.status}.")
        failure = self._failure()
        if not isinstance(failure, Exception):  # what would end this process is never raised here
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

    def __getstate__(self) -> Any:
        raised = None if self.raised is None else rebuild(describe(self.raised))
        return [*super().__getstate__(), self.known, self.decided, raised]  # type: ignore[misc]

    def __setstate__(self, state: Any) -> None:
        super().__setstate__(state[:-3])  # type: ignore[misc]
        self.set(known=state[-3], decided=state[-2], raised=state[-1])
