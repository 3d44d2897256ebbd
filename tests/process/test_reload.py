"""--reload: the worker starts again with the new code when a file changes, and Ctrl-C stops it gracefully."""

from __future__ import annotations

import fcntl
import os
import pty
import subprocess
import sys
import termios
import time
from pathlib import Path

import psutil
import pytest

from streamtasks import State, StreamTasks
from tests.support.waiting import DEADLINE_S, wait_until

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


SLOW_MODULE = """
import pathlib, time
from streamtasks import StreamTasks

app = StreamTasks({url!r})


@app.task(name="slow")
def slow(begun, may_end):
    pathlib.Path(begun).touch()
    while not pathlib.Path(may_end).exists():
        time.sleep(0.01)
    return "ended"
"""


@pytest.mark.parametrize("options", [["--reload"], []], ids=["reload", "plain"])
def test_ctrl_c_stops_gracefully(embedded_url: str, tmp_path: Path, options: list[str]) -> None:
    (tmp_path / "slow_app.py").write_text(SLOW_MODULE.format(url=embedded_url))
    app = StreamTasks(embedded_url)

    @app.task(name="slow")
    def slow(_begun: str, _may_end: str) -> str:
        return ""

    # A terminal sends Ctrl-C to every process of the group in its foreground: the one that watches files, the
    # supervisor, the keeper and the children.
    terminal, end = pty.openpty()
    command = [sys.executable, "-m", "streamtasks_workers", "--app", "slow_app:app", "--concurrency", "1", *options]
    worker = subprocess.Popen(
        command,
        cwd=tmp_path,
        stdin=end,
        stdout=subprocess.DEVNULL,
        stderr=(log := (tmp_path / "log").open("wb")),
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # noqa: PLW1509 - it becomes its terminal
    )
    os.close(end)
    log.close()

    def logged() -> str:
        return (tmp_path / "log").read_text()

    try:
        running = slow.enqueue(str(tmp_path / "begun"), str(tmp_path / "may_end"))
        wait_until((tmp_path / "begun").exists, "the task runs")
        waiting = slow.enqueue(str(tmp_path / "never"), str(tmp_path / "may_end"))
        below = psutil.Process(worker.pid).children(recursive=True)
        os.write(terminal, b"\x03")
        wait_until(lambda: "stopping: running tasks may take another" in logged(), "it stops")
        assert worker.poll() is None
        (tmp_path / "may_end").touch()
        assert worker.wait(60) == 0, logged()
    finally:
        worker.kill()
        worker.wait()
        os.close(terminal)
    assert running.get(timeout=60) == "ended"
    assert waiting.state == State.QUEUED
    assert "stopping now" not in logged()
    assert "Traceback" not in logged()
    assert psutil.wait_procs(below, timeout=60)[1] == []
