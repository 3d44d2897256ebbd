"""Tasks with the documented options and ways to call."""

from __future__ import annotations

import asyncio
import time
from datetime import timedelta
from typing import Any

from contract import notes
from streamtasks_django import task
from streamtasks_django.exceptions import Ignore, Retry


@task(
    bind=True,
    max_retries=2,
    default_retry_delay=timedelta(milliseconds=50),
    rate_limit="1000/s",
    time_limit=300,
    soft_time_limit=240,
)
def robust(self: Any, times: int, word: str = "") -> dict[str, Any]:
    """Fail so often, then tell what was known while it ran."""
    request = self.request
    if request.retries < times:
        try:
            raise ValueError(f"failure {request.retries}")
        except ValueError as error:
            raise self.retry(exc=error, countdown=0.05)  # noqa: B904 - as documented
    return {
        "id": request.id,
        "retries": request.retries,
        "args": request.args,
        "kwargs": request.kwargs,
        "queue": request.queue,
        "parent": request.parent_id,
        "root": request.root_id,
        "headers": request.headers,
        "eta": request.eta.isoformat() if request.eta else None,
        "max_retries": self.max_retries,
        "name": self.name,
    }


@task(bind=True, queue="high_priority", priority=3)
async def urgent(self: Any, word: str) -> list[Any]:
    """A bound coroutine task."""
    await asyncio.sleep(0)
    self.update_state(state="HALF", meta={"word": word})
    return [word, self.queue_name, self.request.retries]


@task(bind=True)
def progress(self: Any, path: str) -> str:
    """Show a state of its own until a file is there."""
    import os

    self.update_state(state="WAITING", meta={"for": path})
    deadline = time.monotonic() + 60
    while not os.path.exists(path) and time.monotonic() < deadline:  # noqa: PTH110
        time.sleep(0.005)
    return path


@task(autoretry_for=(KeyError,), retry_backoff=0.01, max_retries=1)
def automatic(key: str) -> str:
    """Is retried by itself."""
    raise KeyError(key)


@task(name="shop.by-name", bind=True)
def with_a_name(self: Any) -> list[str]:
    """Has a name that says nothing of where it is."""
    return [self.name, self.request.task]


@task(bind=True)
def parent(self: Any) -> list[str]:
    """Enqueue a child and tell both ids."""
    return [self.request.id, follower.delay("child", queue="of the task").id]


@task(bind=True)
def follower(self: Any, *args: Any, **kwargs: Any) -> list[Any]:
    """Tell what it was called with, and where it comes from."""
    notes.leave(["followed", list(args), kwargs, self.request.parent_id, self.request.root_id])
    return [list(args), kwargs, self.request.parent_id, self.request.root_id]


@task
def told(task_id: str, error: str, traceback: str, *own: Any) -> list[Any]:
    """Handle the error of another task."""
    notes.leave(["told", task_id, error, traceback.strip().splitlines()[-1:], list(own)])
    return [task_id, error, traceback, list(own)]


@task
def fails(word: str) -> None:
    raise ValueError(word)


@task
def ignored() -> None:
    raise Ignore("not worth it")


@task(takes_context=True)
def asks(context: Any) -> int:
    """Raise a bare Retry once."""
    if context.attempt == 1:
        raise Retry
    return int(context.attempt)
