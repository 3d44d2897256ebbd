"""The project of the Django tests (``tests/django/site``), and real workers that serve it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from tests.support.appended_file import whole_lines
from tests.support.child_path import python_path
from tests.support.failure_logs import show_log
from tests.support.users import worker_url
from tests.support.waiting import DEADLINE_S

if TYPE_CHECKING:
    from django.tasks import TaskResult

SITE = Path(__file__).parent.parent / "django" / "site"
SETTINGS = "contract.settings"


def environment(**more: str) -> dict[str, str]:
    """Return the environment of a process that can import the project and everything this process can import."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("CONTRACT_")}
    return {**kept, "PYTHONPATH": python_path([str(SITE), *sys.path]), "DJANGO_SETTINGS_MODULE": SETTINGS, **more}


def manage(*words: str, **more: str) -> subprocess.CompletedProcess[str]:
    """Run one command of manage.py; return its status and output."""
    command = [sys.executable, "-m", "django", *words]
    return subprocess.run(
        command, cwd=SITE, env=environment(**more), capture_output=True, text=True, timeout=2 * DEADLINE_S, check=False
    )


class DjangoWorker:
    """A worker process; a context manager. ``notes`` is the file its tasks and receivers write to."""

    def __init__(self, folder: Path, url: str, prefix: str, *options: str, **more: str) -> None:
        self.notes = folder / "notes"
        self.log = folder / "worker.log"
        self._options = options
        own = {"CONTRACT_NOTES": str(self.notes), "CONTRACT_DATABASE": str(folder / "database.sqlite3"), **more}
        self._environment = environment(CONTRACT_URL=worker_url(url), CONTRACT_PREFIX=prefix, **own)
        self.process: subprocess.Popen[bytes]

    def __enter__(self) -> Self:
        show_log("Django worker", self.log)
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "django", "streamtasks_worker", *self._options],
                cwd=SITE,
                env=self._environment,
                stdout=log,
                stderr=log,
            )
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> int:
        """Stop gracefully and return the exit status; a worker that hangs is killed."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(DEADLINE_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"the worker did not stop; its log:\n{self._tail()}") from None

    def logged(self) -> str:
        """Return its log so far."""
        return self.log.read_text() if self.log.exists() else ""

    def _tail(self) -> str:
        return self.logged()[-4000:]

    def noted(self) -> list[Any]:
        """Return the notes so far, in order."""
        return [json.loads(line) for line in whole_lines(self.notes)] if self.notes.exists() else []

    def finish(self, result: TaskResult[Any, Any], timeout_s: float = DEADLINE_S) -> TaskResult[Any, Any]:
        """Wait for one result, refreshed in place."""
        deadline = time.monotonic() + timeout_s
        while not result.is_finished:
            if time.monotonic() > deadline or self.process.poll() is not None:
                raise AssertionError(f"{result.task.name} is {result.status} yet; the worker's log:\n{self._tail()}")
            time.sleep(0.005)
            result.refresh()
        return result
