"""The project of the documented code (``tests/guide/site``): a process of it to talk to, and a worker."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, Self

from tests.support.child_path import python_path
from tests.support.waiting import DEADLINE_S

SITE = Path(__file__).parent.parent / "guide" / "site"
INSTALLED = "django.tasks"
"""The code exactly as documented, after ``install_as_django_tasks()``."""
REPLACED = "streamtasks_django"
"""The code with ``django.tasks`` replaced by ``streamtasks_django``."""


class Answer(NamedTuple):
    """The answer of a view."""

    status: int
    content: Any


class GuideProject:
    """The project on a server: a web process, a worker, files. A context manager."""

    def __init__(self, folder: Path, url: str, style: str) -> None:
        self.folder = folder
        self.site = folder / "site"
        self.worker_log = folder / "worker.log"
        self._console_log = folder / "console.log"
        shutil.copytree(SITE, self.site, ignore=shutil.ignore_patterns("__pycache__"))
        if style == REPLACED:
            for path in self.site.rglob("*.py"):
                path.write_text(path.read_text().replace("django.tasks", "streamtasks_django"))
        self._environment = {
            **os.environ,
            "PYTHONPATH": python_path([str(self.site), *sys.path]),
            "DJANGO_SETTINGS_MODULE": "myproject.settings",
            "GUIDE_INSTALL": "yes" if style == INSTALLED else "",
            "GUIDE_FOLDER": str(folder),
            "GUIDE_URL": url,
        }
        self.early: dict[str, Any] = {}
        """Long tasks that are enqueued at the start and checked by later tests."""
        self._processes: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Self:
        self._console = self._start(self._console_log, "-m", "myproject.console", piped=True)
        try:
            self._reply()  # its tables are there
            self._worker = self._start(self.worker_log, "-m", "django", "streamtasks_worker")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._processes:
            if process.stdin is not None:
                process.stdin.close()
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        for process in self._processes:
            try:
                process.wait(DEADLINE_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            if process.stdout is not None:
                process.stdout.close()

    def run(self, code: str) -> Any:
        """Run code in the web process; return the value of its variable ``answer``."""
        return self._ask({"run": code})

    def evaluate(self, expression: str) -> Any:
        """Return the value of an expression in the web process."""
        return self.run(f"answer = {expression}")

    def get(self, path: str, user: str | None = None, **data: Any) -> Answer:
        """Send a GET request."""
        return Answer(*self._ask({"request": ["GET", path, {"data": data}, user]}))

    def post(self, path: str, user: str | None = None, **fields: Any) -> Answer:
        """Send a POST request; ``data`` are form fields, ``json`` a body, ``file`` a name and bytes in hexadecimal."""
        return Answer(*self._ask({"request": ["POST", path, fields, user]}))

    def finish(self, task_id: str, timeout_s: float = DEADLINE_S, alias: str = "default") -> dict[str, Any]:
        """Wait for a task; return its ``status``, ``state``, and ``result`` (of a failure: its text)."""
        found: dict[str, Any] = self.run(
            "from streamtasks_django import get_task_backend\n"
            f"result = get_task_backend({alias!r}).get_result({task_id!r})\n"
            f"get_task_backend({alias!r}).wait_for_results([{task_id!r}], {timeout_s})\n"
            "ready = result.ready()\n"
            "answer = {'ready': ready, 'status': str(result.status), 'state': result.state,\n"
            "          'result': str(result.result) if result.failed() else result.result}"
        )
        assert found.pop("ready"), f"not finished: {found}\n{self.logged()}"
        return found

    def wait_for[T](self, get: Callable[[], T], timeout_s: float = DEADLINE_S) -> T:
        """Return the first true value."""
        deadline = time.monotonic() + timeout_s
        while not (value := get()):
            assert time.monotonic() < deadline, f"not within {timeout_s} s; the worker's log:\n{self.logged()}"
            time.sleep(0.02)
        return value

    def mails(self, *words: str) -> list[str]:
        """Return the mails so far that hold all of these words."""
        # Long lines are broken (quoted-printable).
        found = [path.read_text().replace("=\n", "") for path in sorted((self.folder / "mails").glob("*"))]
        return [text for text in found if all(word in text for word in words)]

    def logged(self) -> str:
        """Return the end of the worker's log."""
        return self.worker_log.read_text("utf-8", "replace")[-4000:]

    def _start(self, log: Path, *words: str, piped: bool = False) -> subprocess.Popen[bytes]:
        pipe = subprocess.PIPE if piped else None
        with log.open("wb") as stream:
            process = subprocess.Popen(
                [sys.executable, *words],
                cwd=self.site,
                env=self._environment,
                stdin=pipe or subprocess.DEVNULL,
                stdout=pipe or stream,
                stderr=stream,
            )
        self._processes.append(process)
        return process

    def _ask(self, question: dict[str, Any]) -> Any:
        assert self._console.stdin is not None
        self._console.stdin.write(json.dumps(question).encode() + b"\n")
        self._console.stdin.flush()
        return self._reply()

    def _reply(self) -> Any:
        assert self._console.stdout is not None
        line = self._console.stdout.readline()
        assert line, f"the web process ended:\n{self._console_log.read_text()[-4000:]}"
        reply = json.loads(line)
        assert "error" not in reply, reply["error"]
        return reply["ok"]
