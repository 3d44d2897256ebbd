"""The tasks of the benchmarks."""

import asyncio
import os
import time
from pathlib import Path
from typing import Any

from streamtasks import StreamTasks

_tags = os.environ.get("STREAMTASKS_BENCHMARK_TAGS")
_more: dict[str, Any] = {"tags": tuple(_tags.split(","))} if _tags else {}
app = StreamTasks(os.environ.get("STREAMTASKS_BENCHMARK_URL", "redis://127.0.0.1:1/0"), **_more)


@app.task
def noop() -> None:
    """Do nothing."""


@app.task
def take(text: str) -> None:
    """Do nothing with an argument."""


@app.task
def count(results: list[None]) -> int:
    """Count what a chord's header returned."""
    return len(results)


@app.task
def after(_: object = None) -> None:
    """Do nothing, after another one."""


@app.task
def kilobyte(_: object = None) -> str:
    """Return a result as large as many real ones."""
    return "x" * 1024


@app.task
def fail() -> None:
    """Fail."""
    raise ValueError("it does")


@app.task
def tick(path: str, seconds: float, _: str = "") -> None:
    """Note when it ran, and in which process; then sleep."""
    with Path(path).open("ab", buffering=0) as file:
        file.write(b"%d %d\n" % (os.getpid(), time.monotonic_ns()))
    time.sleep(seconds)


@app.task
def nap(seconds: float) -> None:
    """Sleep."""
    time.sleep(seconds)


@app.task
async def nap_on_loop(seconds: float) -> None:
    """Sleep on the event loop."""
    await asyncio.sleep(seconds)
