"""The app that is measured."""

from __future__ import annotations

from typing import Any

from streamtasks import StreamTasks
from streamtasks.settings import StoreSettings
from streamtasks.tasks.task import Task

__all__ = ["measured_app"]


def measured_app(settings: StoreSettings) -> tuple[StreamTasks, Task[[], None]]:
    """Return an app on this store, and its task, which does nothing."""
    app = StreamTasks("memory://", label="bench")
    app.owner.use(settings)

    def noop() -> None:
        pass

    made: Any = app.task(name="bench.noop")(noop)
    return app, made
