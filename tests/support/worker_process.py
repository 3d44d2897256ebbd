"""One ``streamtasks-worker`` process tree, started as users start it."""

from __future__ import annotations

import json
import os
import re
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, Self

import psutil
import redis

from streamtasks.protocol.keys import Keys
from streamtasks_workers.executor.guards import INTERRUPT
from tests.process.tasks import proc_app
from tests.support import fork_server
from tests.support.child_path import python_path
from tests.support.execution_record import Record
from tests.support.failure_logs import show_log
from tests.support.servers import client_of
from tests.support.users import worker_url
from tests.support.waiting import DEADLINE_S, wait_until

TASKS_DIRECTORY = Path(proc_app.__file__).parent


class Pids(NamedTuple):
    """The processes of one worker; one that was just forked may be missing."""

    supervisor: int
    keeper: int | None
    children: list[int]


def _signals(pid: int, what: str) -> int:
    """The signals that a process handles (``SigCgt``), ignores (``SigIgn``) or has yet to get (``ShdPnd``): a mask."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    line = next((line for line in status.splitlines() if line.startswith(what)), f"{what}: 0")
    return int(line.split()[1], 16)


def _has(mask: int, number: int) -> bool:
    return bool(mask >> (number - 1) & 1)


def is_alive(pid: int) -> bool:
    """Whether a process runs; a zombie does not."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


class Worker:
    """One ``streamtasks-worker`` process tree; a context manager.

    Args:
        url: its server.
        directory: where its log and its record go; the record is shared with other workers of that directory.
        options: of the command line.
        settings: of the app.
        environment: additional variables.
        app: what to give as ``--app``; None: nothing.
        anew: see `fork_server.start`.
    """

    def __init__(
        self,
        url: str,
        directory: Path,
        *options: str,
        settings: Mapping[str, Any] | None = None,
        environment: Mapping[str, str] | None = None,
        app: str | None = "proc_app:app",
        anew: bool = False,
    ) -> None:
        self.url = url
        self.settings = dict(settings or {})
        self._options = options
        self._app = app
        self._anew = anew
        self._environment = dict(environment or {})
        self._directory = directory
        self.record = Record(directory / "record")
        self._process: fork_server.Process | None = None
        self._log = directory / f"worker-{time.monotonic_ns()}.log"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    # -- life ----------------------------------------------------------------------------------------

    def spawn(self) -> None:
        """Start the process; do not wait for anything."""
        words = ["streamtasks_workers", *(["--app", self._app] if self._app else [])]
        environment = {k: v for k, v in os.environ.items() if not k.startswith(("STREAMTASKS_WORKER_", "DJANGO_"))}
        environment |= {
            proc_app.URL_VARIABLE: worker_url(self.url, self.settings.get("connection")),
            proc_app.SETTINGS_VARIABLE: json.dumps(self.settings),
            proc_app.RECORD_VARIABLE: str(self.record.path),
        }
        environment |= self._environment
        environment["PYTHONPATH"] = python_path(environment.get("PYTHONPATH", "").split(os.pathsep))
        show_log("worker", self._log)
        with self._log.open("ab") as log:
            self._process = fork_server.start(
                [*words, *self._options],
                cwd=TASKS_DIRECTORY,
                environment=environment,
                output=log,
                anew=self._anew,
            )

    def start(self) -> None:
        """Start the process and return when it is in the registry and all of its children handle signals."""
        self.spawn()
        with client_of(self.url) as client:

            def ready() -> Any:
                if self.process.poll() is not None:
                    raise AssertionError(f"the worker ended with {self.process.returncode} before it was ready")
                started = re.search(r"worker \S+: (\d+) children for ", self.log)
                return started and self.registered(client) and len(self.pids().children) >= int(started[1])

            wait_until(ready, "the worker is ready")

    def registered(self, client: redis.Redis) -> bool:
        """Whether this worker is in the registry; not known if the reply is lost on the way."""
        keys = Keys(self.settings.get("key_prefix", "streamtasks:"), "u0")
        try:
            entries: Any = client.hvals(keys.worker_info)
        except redis.ConnectionError:
            return False
        return any(json.loads(entry)["pid"] == self.process.pid for entry in entries)

    @property
    def registered_name(self) -> str:
        """The prefix of its consumers' names, from its log."""
        found = re.search(r"worker (\S+): ", self.log)
        assert found, "the worker has not logged its name"
        return found[1]

    @property
    def process(self) -> fork_server.Process:
        """The supervisor."""
        assert self._process is not None, "the worker has not been started"
        return self._process

    def end(self) -> None:
        """Kill all of its processes."""
        if self._process is None:
            return
        pids = self.all_pids()
        for pid in pids:
            kill(pid, signal.SIGKILL)
        self._process.wait(DEADLINE_S)
        # A process gives its memory back before it closes its sockets: for so long a child still waits for work, and
        # could take the next test's.
        for pid in pids:
            wait_until(lambda pid=pid: not is_alive(pid), f"process {pid} is gone")  # type: ignore[misc]

    def pends(self, number: int) -> bool:
        """Whether a signal was sent to the supervisor and not delivered yet."""
        return _has(_signals(self.process.pid, "ShdPnd"), number)

    def terminate(self) -> None:
        """Ask for a graceful stop."""
        self.process.send_signal(signal.SIGTERM)

    def wait(self, timeout_s: float = DEADLINE_S) -> int:
        """Return the exit status."""
        return self.process.wait(timeout_s)

    # -- processes -----------------------------------------------------------------------------------

    def pids(self) -> Pids:
        """Return its processes by kind, see `pids_of`."""
        return pids_of(self.process.pid)

    def cpu_s(self) -> float:
        """Return the processor time that all processes of this worker have taken, seconds."""
        times = [psutil.Process(pid).cpu_times() for pid in self.all_pids()]
        return sum(one.user + one.system for one in times)

    def all_pids(self) -> list[int]:
        """The pids of the supervisor and of all its living descendants."""
        return all_pids_of(self.process.pid)

    def stall(self) -> None:
        """Send SIGSTOP to every process."""
        for pid in self.all_pids():
            kill(pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Send SIGCONT to every process."""
        for pid in reversed(self.all_pids()):
            kill(pid, signal.SIGCONT)

    # -- log -----------------------------------------------------------------------------------------

    @property
    def log(self) -> str:
        """The log so far."""
        return self._log.read_text("utf-8", "replace") if self._log.exists() else ""

    def wait_log(self, text: str) -> None:
        """Return when this has been logged."""
        wait_until(lambda: text in self.log, f"{text!r} in the worker's log")


def pids_of(supervisor: int) -> Pids:
    """Return a worker's processes by kind: the keeper ignores SIGTERM, children handle the signal of interrupts."""
    keeper, children = None, []
    for pid in all_pids_of(supervisor)[1:]:
        if _has(_signals(pid, "SigIgn"), signal.SIGTERM):
            keeper = pid
        elif _has(_signals(pid, "SigCgt"), INTERRUPT):
            children.append(pid)
    return Pids(supervisor, keeper, children)


def all_pids_of(supervisor: int) -> list[int]:
    """The pids of a worker's supervisor and of all its living descendants."""
    try:
        return [supervisor, *(process.pid for process in psutil.Process(supervisor).children(recursive=True))]
    except psutil.NoSuchProcess:
        return [supervisor]


def kill(pid: int, number: int = signal.SIGKILL) -> None:
    """Send a signal; a process that is gone already is fine."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return
