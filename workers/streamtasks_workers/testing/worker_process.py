"""A real worker process for a test: it serves the app of the test on another server than the app's own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, Self

from streamtasks import StoreError, StreamTasks
from streamtasks.exceptions import ConfigurationError, StreamTasksError
from streamtasks.settings import StoreSettings
from streamtasks.stores.factory import open_store

__all__ = ["HANDED_OVER", "WorkerProcess", "path_of"]

HANDED_OVER: Final = "STREAMTASKS_TESTING"
"""The environment variable with what a framework's tests hand over to their worker (JSON)."""

_START_TIMEOUT_S: Final = 20.0


def path_of(app: StreamTasks) -> str:
    """Return where an app can be imported from, ``module:attribute``.

    Raises:
        ConfigurationError: it stands in no module, so that a worker could not find it.
    """
    for name, module in list(sys.modules.items()):
        found = [attribute for attribute, value in list(vars(module).items()) if value is app]
        if found and name != "__main__":
            return f"{name}:{found[0]}"
    raise ConfigurationError("The app is in no importable module, so that a worker process could not find it.")


class WorkerProcess:
    """A worker with one child; a context manager.

    Args:
        url: its server.
        app: ``module:attribute``; empty: what ``handed_over`` names.
        log: the file it writes its log to.
        handed_over: for `HANDED_OVER`.
    """

    def __init__(self, url: str, app: str, log: Path, handed_over: Mapping[str, Any] | None = None) -> None:
        self.url = url
        self.log_file = log
        self._app = app
        self._handed_over = handed_over
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> str:
        """What it has logged so far."""
        return self.log_file.read_text("utf-8", "replace") if self.log_file.exists() else ""

    def __enter__(self) -> Self:
        environment = {name: text for name, text in os.environ.items() if not name.startswith("STREAMTASKS_WORKER_")}
        environment["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
        if self._handed_over is not None:
            environment[HANDED_OVER] = json.dumps(self._handed_over)
        command = [sys.executable, "-m", "streamtasks_workers.cli.worker_for_tests", self.url, self._app]
        with self.log_file.open("ab") as log:
            self._process = subprocess.Popen(
                [*command, "--concurrency", "1"],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        try:
            self._wait_ready()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Stop it gracefully; one that does not end in time is killed."""
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def _wait_ready(self) -> None:
        """Return when it has given a sign of life.

        Raises:
            StreamTasksError: it ended, or gave none in time; the message holds its log.
        """
        prefix = (self._handed_over or {}).get("key_prefix", "")
        store = open_store(StoreSettings(url=self.url, **({"key_prefix": prefix} if prefix else {})))
        deadline = time.monotonic() + _START_TIMEOUT_S
        while self._process is not None and self._process.poll() is None and time.monotonic() < deadline:
            with suppress(StoreError):  # it may start before its server answers
                if store.workers():
                    return
            time.sleep(0.01)
        raise StreamTasksError(f"The worker process did not start; its log:\n{self.log}")
