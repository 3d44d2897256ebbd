"""A worker as the first process of a container: it gets the signals, and what tasks leave behind."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from streamtasks import StreamTasks
from tests.docs.test_readme import environment
from tests.support.failure_logs import show_log
from tests.support.waiting import DEADLINE_S, wait_until

APP = """
import os
import subprocess
import sys

from streamtasks import StreamTasks

app = StreamTasks({url!r})


@app.task(name="leave")
def leave():
    # A process whose parent is gone: the first process of the container inherits it.
    nap = "import subprocess, sys; subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(0.5)'])"
    subprocess.run([sys.executable, "-c", nap], check=True)
    return os.getppid()
"""
CONTAINER = ["unshare", "--user", "--map-root-user", "--pid", "--fork", "--mount-proc", "--kill-child"]


@pytest.fixture
def container() -> list[str]:
    """What starts a command as the first process of its own namespace."""
    if not shutil.which("unshare") or subprocess.run([*CONTAINER, "true"], capture_output=True, check=False).returncode:
        pytest.skip("needs namespaces of users and processes")
    return CONTAINER


@pytest.fixture
def worker(container: list[str], tmp_path: Path, embedded_url: str) -> Iterator[psutil.Process]:
    (tmp_path / "leaving.py").write_text(APP.format(url=embedded_url))
    log = tmp_path / "log"
    show_log("worker", log)
    command = [*container, "streamtasks-worker", "--app", "leaving:app", "--concurrency", "1", "--grace", "5"]
    with (
        log.open("wb") as stream,
        subprocess.Popen(command, cwd=tmp_path, env=environment(), stdout=stream, stderr=stream) as process,
    ):
        try:
            wait_until(lambda: "1 children for" in log.read_text(), "the worker starts")
            [first] = psutil.Process(process.pid).children()
            yield first
            assert process.wait(DEADLINE_S) == 0, log.read_text()
        finally:
            process.kill()


@pytest.mark.slow
def test_it_collects_what_tasks_leave_and_stops_gracefully(worker: psutil.Process, embedded_url: str) -> None:
    app = StreamTasks(embedded_url)
    leave = app.task(name="leave")(lambda: None)
    assert leave.delay().get(timeout=DEADLINE_S) == 1
    usual = 3  # the supervisor's keeper and its child, and what was left
    wait_until(lambda: len(worker.children(recursive=True)) < usual, "what the task left is gone, and collected")
    os.kill(worker.pid, signal.SIGTERM)
