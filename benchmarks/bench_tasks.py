"""The tasks of the benchmarks."""

import os

from streamtasks import StreamTasks

app = StreamTasks(os.environ.get("STREAMTASKS_BENCHMARK_URL", "redis://127.0.0.1:1/0"))


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
