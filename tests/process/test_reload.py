"""--reload: the worker starts again with the new code when a file changes."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import psutil

from streamtasks import StreamTasks
from tests.support.waiting import DEADLINE_S

MODULE = """
from streamtasks import StreamTasks

app = StreamTasks({url!r})


@app.task(name="answer")
def answer():
    return {value}
"""


def test_a_changed_file_is_served_after_a_moment(embedded_url: str, tmp_path: Path) -> None:
    module = tmp_path / "reloaded_app.py"
    module.write_text(MODULE.format(url=embedded_url, value=1))
    app = StreamTasks(embedded_url)

    @app.task(name="answer")
    def answer() -> int:
        return 0

    command = [sys.executable, "-m", "streamtasks_workers", "--app", "reloaded_app:app", "--concurrency", "1"]
    # Bytecode of the same second and size would pass for that of the changed file.
    environment = os.environ | {"PYTHONDONTWRITEBYTECODE": "1"}
    worker = subprocess.Popen([*command, "--reload"], cwd=tmp_path, env=environment)
    try:
        assert answer.enqueue().get(timeout=60) == 1
        module.write_text(MODULE.format(url=embedded_url, value=22))
        deadline = time.monotonic() + DEADLINE_S
        while answer.enqueue().get(timeout=60) != 22:
            assert time.monotonic() < deadline, "the worker still serves the old code"
    finally:
        below = psutil.Process(worker.pid).children(recursive=True)
        worker.terminate()
        worker.wait()
    assert below
    assert psutil.wait_procs(below, timeout=60)[1] == [], "the worker outlives the process that watches files"
