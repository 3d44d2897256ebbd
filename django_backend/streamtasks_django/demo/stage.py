"""Run an embedded server and a worker process for the demo, and stop both in any case."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import django

from streamtasks import StreamTasksError
from streamtasks_workers.testing.embedded import EmbeddedServer

from .interrupts import Interrupts

__all__ = ["CHILDREN", "Stage", "staged"]

CHILDREN: Final = 2
_SETTINGS: Final = "streamtasks_django.demo.settings"
_GRACE_S: Final = 2
_START_TIMEOUT_S: Final = 15.0


@dataclass(slots=True)
class Stage:
    """The running server and worker."""

    server: EmbeddedServer
    worker: subprocess.Popen[bytes]
    worker_log: Path
    interrupts: Interrupts

    def last_words(self) -> str:
        """Return the end of the worker's log."""
        return "\n".join(self.worker_log.read_text("utf-8", "replace").splitlines()[-20:])

    def check(self) -> None:
        """Raise unless the worker is alive and no signal has come.

        Raises:
            StreamTasksError: the worker has ended.
            Interrupted: a signal has come.
        """
        self.interrupts.check()
        if self.worker.poll() is not None:
            raise StreamTasksError(f"The worker ended with status {self.worker.returncode}. {self.last_words()}")


@contextmanager
def staged(interrupts: Interrupts) -> Generator[Stage]:
    """Start server, Django and worker; yield once the worker has run a task; stop everything.

    Raises:
        ConfigurationError: no server can be started.
        StreamTasksError: a part did not start.
        Interrupted: a signal has come.
    """
    with EmbeddedServer() as server:
        os.environ["DJANGO_SETTINGS_MODULE"] = _SETTINGS
        os.environ["STREAMTASKS_DEMO_URL"] = server.url
        django.setup()
        log = server.directory / "worker.log"
        worker = _start_worker(server.directory, log)
        try:
            stage = Stage(server, worker, log, interrupts)
            _await_worker(stage)
            yield stage
        finally:
            _stop_worker(worker)


def _start_worker(directory: Path, log: Path) -> subprocess.Popen[bytes]:
    arguments = [sys.executable, "-m", "streamtasks_django.demo.worker", str(os.getpid())]
    arguments += ["--settings", _SETTINGS, "--concurrency", str(CHILDREN), "--grace", str(_GRACE_S)]
    arguments += ["--log-level", "WARNING"]
    # The user's own worker settings are not for this worker.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("STREAMTASKS_WORKER_")}
    with log.open("wb") as stream:
        return subprocess.Popen(
            arguments,
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=stream,
            cwd=directory,  # with -m, modules in the current directory would be imported first
            env=environment,
            start_new_session=True,  # only the demo receives Ctrl-C, and stops the worker gracefully
        )


def _await_worker(stage: Stage) -> None:
    from .tasks import square  # Django is set up now

    result = square.enqueue(1)
    waited = 0.0
    while not result.is_finished:
        stage.interrupts.pause(0.01)
        stage.check()
        waited += 0.01
        if waited > _START_TIMEOUT_S:
            raise StreamTasksError(f"The worker ran nothing within {_START_TIMEOUT_S:g} s.")
        result.refresh()


def _stop_worker(worker: subprocess.Popen[bytes]) -> None:
    if worker.poll() is None:
        worker.terminate()
        try:
            worker.wait(_GRACE_S + 8)
        except subprocess.TimeoutExpired:
            os.killpg(worker.pid, signal.SIGKILL)  # its session, so its children too
            worker.wait()
