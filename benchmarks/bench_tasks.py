"""The tasks of the benchmarks."""

import os

from streamtasks import StreamTasks

app = StreamTasks(os.environ.get("STREAMTASKS_BENCHMARK_URL", "redis://127.0.0.1:1/0"))


@app.task
def noop() -> None:
    """Do nothing."""
