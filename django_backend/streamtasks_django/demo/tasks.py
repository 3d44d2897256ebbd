"""The tasks of the example site. They are ordinary Django tasks; only ``set_progress`` comes from streamtasks."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from typing import Any

from streamtasks import current_attempt

from ..framework import TaskContext, task  # django.tasks, or its backport on Django 5.2

__all__ = ["divide", "fetch_all", "remind", "report", "square", "survive"]


def _step(done: int, total: int) -> None:
    """Report the progress and the process of the task."""
    current_attempt().set_progress(done=done, total=total, pid=os.getpid())


@task
def square(n: int) -> int:
    """Return at once."""
    return n * n


@task
def remind(text: str) -> str:
    """Return a text later: it is enqueued with ``run_after``."""
    return text


@task
def divide(a: int, b: int) -> float:
    """Fail if ``b`` is 0."""
    return a / b


@task
def report(pages: int, seconds: float) -> dict[str, Any]:
    """Work for a while and report the progress."""
    for page in range(pages):
        _step(page, pages)
        time.sleep(seconds / pages)
    _step(pages, pages)
    return {"pages": pages, "pid": os.getpid()}


@task
async def fetch_all(count: int, seconds: float) -> list[str]:
    """Wait for several things at once, on an event loop."""

    async def fetch(number: int) -> str:
        await asyncio.sleep(seconds)
        return f"answer {number}"

    return await asyncio.gather(*(fetch(number) for number in range(1, count + 1)))


@task(takes_context=True)
def survive(context: TaskContext[..., Any], seconds: float) -> str:
    """Kill its own process halfway, the first time."""
    steps = 20
    for step in range(steps):
        _step(step, steps)
        time.sleep(seconds / steps)
        if context.attempt == 1 and step == steps // 2:
            os.kill(os.getpid(), signal.SIGKILL)
    _step(steps, steps)
    return f"finished by attempt {context.attempt}, in process {os.getpid()}"
