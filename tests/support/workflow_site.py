"""An app with small tasks for workflows, on any store, and a worker by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import redis

from streamtasks import Ignore, Retry, StreamTasks
from streamtasks.protocol.keys import Keys
from streamtasks.stores.memory import MemoryServer
from tests.support.manual_worker import ManualWorker
from tests.support.sql_stores import change_states
from tests.support.workflow_deadlines import end_in_memory, end_on_server

if TYPE_CHECKING:
    from streamtasks.workflows.canvas import Canvas

__all__ = ["WorkflowSite", "told"]

told: list[tuple[str, str, str]] = []


def tasks_of(app: StreamTasks) -> None:
    @app.task(name="add")
    def add(*numbers: int) -> int:
        return sum(numbers)

    @app.task(name="same")
    def same(value: Any = None, *_: Any) -> Any:
        return value

    @app.task(name="boom")
    def boom(*_: Any) -> None:
        raise ValueError("boom")

    @app.task(name="flaky", max_retries=2, default_retry_delay=0)
    def flaky(value: Any = None) -> Any:
        from streamtasks import current_attempt

        if current_attempt().retries < 2:
            raise Retry("again", delay_s=0)
        return value

    @app.task(name="limited", rate_limit="50/s")
    def limited(value: Any = None, *_: Any) -> Any:
        return value

    @app.task(name="ignored")
    def ignored(*_: Any) -> None:
        raise Ignore

    @app.task(name="handler")
    def handler(task_id: str, error: str, traceback: str) -> None:
        told.append((task_id, error, traceback))


class WorkflowSite:
    """An app, its tasks by name, and a worker by hand."""

    def __init__(self, url: str, **settings: Any) -> None:
        self.app = StreamTasks(url, timeout_s=60.0, enqueue_timeout_s=60.0, **settings)
        tasks_of(self.app)
        self.worker = ManualWorker(self.app)

    def __getattr__(self, name: str) -> Any:
        return self.app.tasks[name]

    def run(self) -> None:
        self.worker.until_idle()

    def end_deadlines(self, workflow_id: str) -> None:
        """End the deadlines of a workflow."""
        settings = self.app.settings
        [tag] = settings.tags
        if settings.is_memory:
            end_in_memory(MemoryServer.at(settings.url).shard(settings, tag), workflow_id)
            return
        if settings.is_sql:
            change_states(settings, [f"workflow:{workflow_id}"], _late)
            return
        with redis.Redis.from_url(settings.url) as client:
            end_on_server(client, Keys(settings.key_prefix, tag), workflow_id)

    def get(self, canvas: Canvas[Any]) -> Any:
        """Start, run, return the result."""
        result = canvas.apply_async()
        self.run()
        return result.get(timeout=0)


def _late(state: Any) -> Any:
    state.late = dict.fromkeys(state.late, 1)
    return state
