"""Run ``streamtasks demo`` as a process, and find the processes it leaves behind."""

from __future__ import annotations

import contextlib
import os
import queue
import re
import subprocess
import sys
import threading
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Self

import psutil

from tests.support.waiting import DEADLINE_S, wait_until

if TYPE_CHECKING:
    from collections.abc import Sequence

PROGRAM = Path(sys.executable).with_name("streamtasks")
MARK = "STREAMTASKS_TEST_MARK"


class DemoProcess:
    """Runs the command in an empty directory; a context manager that kills what is left."""

    def __init__(self, directory: Path, *arguments: str) -> None:
        self.directory = directory
        self.arguments = arguments
        self.mark = uuid.uuid4().hex
        self.said: list[str] = []
        self._seen: set[psutil.Process] = set()
        self._lines: queue.Queue[str] = queue.Queue()

    def __enter__(self) -> Self:
        self.process = subprocess.Popen(
            [PROGRAM, "demo", *self.arguments],
            cwd=self.directory,
            env={**os.environ, MARK: self.mark, "COLUMNS": "120"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read)
        self._reader.start()
        return self

    def __exit__(self, *_: object) -> None:
        for process in self.left():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        self.process.wait(DEADLINE_S)
        self._reader.join(DEADLINE_S)
        assert self.process.stdout is not None
        self.process.stdout.close()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.said.append(line)
            self._lines.put(line)

    @property
    def text(self) -> str:
        """The output so far."""
        return "".join(self.said)

    def address(self, timeout_s: float = DEADLINE_S) -> str:
        """Wait until it serves; return its URL."""
        line = self._lines.get(timeout=timeout_s)
        found = re.search(r"http://127\.0\.0\.1:\d+/", line)
        assert found, line
        return found[0]

    def end(self, timeout_s: float = 2 * DEADLINE_S) -> int:
        """Wait for its end; return the exit status."""
        # Each look reads about every process of the machine, beside the demo, which wants the processors too.
        wait_until(lambda: not self._alive(), lambda: f"the demo ends; it said:\n{self.text}", timeout_s, every_s=0.1)
        status = self.process.wait()
        self._reader.join(DEADLINE_S)
        return status

    def _alive(self) -> bool:
        self.left()  # notes who descends from it
        return self.process.poll() is None

    def left(self) -> Sequence[psutil.Process]:
        """Return its living processes: itself and its descendants."""
        # The mark tells the orphans; but the server writes its title over its environment.
        with contextlib.suppress(psutil.NoSuchProcess):
            self._seen.update(psutil.Process(self.process.pid).children(recursive=True))
        found = []
        for process in psutil.process_iter():
            # A process may end, or be somebody else's, while one looks.
            with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                if (
                    process in self._seen or process.environ().get(MARK) == self.mark
                ) and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
        return found

    def wait_for_process(self, word: str) -> psutil.Process:
        """Wait for a process of it with this word in its command line."""
        matching: list[psutil.Process] = []

        def look() -> bool:
            for process in self.left():
                with contextlib.suppress(psutil.NoSuchProcess):
                    if any(word in part for part in process.cmdline()[:4]):
                        matching.append(process)
            return bool(matching)

        wait_until(look, f"a process with {word!r} in its command line")
        return matching[0]
