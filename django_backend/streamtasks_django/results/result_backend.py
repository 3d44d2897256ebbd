"""The methods of a backend that its results call."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from streamtasks.protocol.log_lines import TaskLogs

    from ..framework import TaskResult

__all__ = ["ResultBackend"]


class ResultBackend(Protocol):
    """A backend as its results see it; `streamtasks_django.backends.control.TaskControl` describes each method."""

    keeps_results: bool

    def task_logs(self, task_id: str) -> TaskLogs: ...

    def revoke(self, task_id: str, terminate: bool = False) -> bool: ...

    async def arevoke(self, task_id: str, terminate: bool = False) -> bool: ...

    def save_metadata(self, task_result: TaskResult[Any, Any], metadata: dict[str, Any]) -> None: ...

    async def asave_metadata(self, task_result: TaskResult[Any, Any], metadata: dict[str, Any]) -> None: ...

    def forget_result(self, task_id: str) -> bool: ...

    def ended_soon(
        self, task_id: str, timeout: float | None, *, allow_wait: bool = False
    ) -> TaskResult[..., Any] | None: ...

    def wait_for_results(self, ids: Sequence[str], timeout: float | None, *, allow_wait: bool = False) -> set[str]: ...

    async def await_for_results(
        self,
        ids: Sequence[str],
        timeout: float | None,  # noqa: ASYNC109 - the name users know from get()
        *,
        allow_wait: bool = False,
    ) -> set[str]: ...
