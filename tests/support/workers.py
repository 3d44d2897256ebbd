"""Real workers, started as users start them, and what their tasks wrote down."""

from __future__ import annotations

import json
import math
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Self

import psutil
import redis

from streamtasks import StreamTasks
from streamtasks.protocol.keys import Keys
from streamtasks.results import Result
from tests.process.tasks import proc_app

TASKS_DIRECTORY = Path(proc_app.__file__).parent
POLL_S = 0.001


def wait_for_value[T](get: Callable[[], T], timeout_s: float, what: str | Callable[[], str]) -> T:
    """Return the first true value; fail with ``what`` if there is none in time."""
    deadline = time.monotonic() + timeout_s
    while not (value := get()):
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout_s} s: {what if isinstance(what, str) else what()}")
        time.sleep(POLL_S)
    return value


def percentile(values: Iterable[float], share: float) -> float:
    """Return a percentile by the nearest rank."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * share) - 1)]


class Pids(NamedTuple):
    """The processes of one worker. One that was forked this very moment may be missing."""

    root: int
    keeper: int | None
    children: list[int]


def _ignored_signals(pid: int) -> int:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    line = next((line for line in status.splitlines() if line.startswith("SigIgn:")), "SigIgn: 0")
    return int(line.split()[1], 16)


def _ignores(mask: int, number: int) -> bool:
    return bool(mask >> (number - 1) & 1)


def is_alive(pid: int) -> bool:
    """Whether a process runs; a zombie does not."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


class Execution(NamedTuple):
    """One started execution; ``ended`` is 0 if it never came to its end. Times are monotonic seconds."""

    id: str
    attempt: int
    pid: int
    started: float
    ended: float
    started_wall: float


class Record:
    """What the tasks of all workers wrote down."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.touch()

    def _lines(self, kinds: str) -> list[list[str]]:
        text = self.path.read_text()
        # The last line may be half written only if the machine stopped: an append is one system call.
        return [words for line in text.splitlines() if (words := line.split())[0] in kinds]

    def executions(self) -> list[Execution]:
        """All of them, in the order of their starts."""
        started: dict[tuple[str, str, str], list[list[float]]] = {}
        order: list[tuple[tuple[str, str, str], list[float]]] = []
        for kind, task_id, attempt, pid, at, wall in (words[:6] for words in self._lines("SE")):
            key = (task_id, attempt, pid)
            if kind == "S":
                times = [int(at) / 1e9, 0.0, int(wall) / 1e9]
                started.setdefault(key, []).append(times)
                order.append((key, times))
            else:
                started[key][-1][1] = int(at) / 1e9
        return [Execution(k[0], int(k[1]), int(k[2]), *times) for k, times in order]

    def of(self, result: Result[Any] | str) -> list[Execution]:
        """Those of one task."""
        task_id = result if isinstance(result, str) else result.id
        return [e for e in self.executions() if e.id == task_id]

    def steps(self, result: Result[Any]) -> list[float]:
        """When the steps of one task were made, monotonic seconds."""
        return [int(words[4]) / 1e9 for words in self._lines("P") if words[1] == result.id]

    def steps_by_pid(self, result: Result[Any]) -> list[tuple[int, float]]:
        """The same with the process that made each."""
        return [(int(words[3]), int(words[4]) / 1e9) for words in self._lines("P") if words[1] == result.id]

    def told(self, kind: str) -> list[tuple[str, str]]:
        """Of which outcomes middleware (``M``) or hooks (``H``) were told: id and state."""
        return [(words[1], words[6]) for words in self._lines(kind)]

    def wait_started(self, result: Result[Any] | str, timeout_s: float = 10.0, times: int = 1) -> Execution:
        """Return an execution (the ``times``-th) of a task as soon as it has started."""
        return wait_for_value(lambda: self.of(result)[times - 1 : times], timeout_s, f"start {times} of task {result}")[
            0
        ]


class Worker:
    """One ``streamtasks-worker`` process tree; a context manager.

    Args:
        url: its server.
        directory: where its log and its record go; the record is shared with other workers of that directory.
        options: of the command line.
        settings: of the app.
        environment: additional variables.
        app: what to give as ``--app``; None: nothing.
    """

    def __init__(
        self,
        url: str,
        directory: Path,
        *options: str,
        settings: Mapping[str, Any] | None = None,
        environment: Mapping[str, str] | None = None,
        app: str | None = "proc_app:app",
    ) -> None:
        self.url = url
        self.settings = dict(settings or {})
        self._options = options
        self._app = app
        self._environment = dict(environment or {})
        self._directory = directory
        self.record = Record(directory / "record")
        self._process: subprocess.Popen[bytes] | None = None
        self._log = directory / f"worker-{time.monotonic_ns()}.log"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    # -- life ----------------------------------------------------------------------------------------

    def spawn(self) -> None:
        """Start the process; do not wait for anything."""
        command = [sys.executable, "-m", "streamtasks_workers"]
        command += ["--app", self._app] if self._app else []
        environment = {k: v for k, v in os.environ.items() if not k.startswith(("STREAMTASKS_WORKER_", "DJANGO_"))}
        environment |= {
            proc_app.URL_VARIABLE: self.url,
            proc_app.SETTINGS_VARIABLE: json.dumps(self.settings),
            proc_app.RECORD_VARIABLE: str(self.record.path),
        }
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [*command, *self._options],
                cwd=TASKS_DIRECTORY,
                env=environment | self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def start(self, timeout_s: float = 20.0) -> None:
        """Start the process and return when it is in the registry and its children have connected."""
        self.spawn()
        with redis.Redis.from_url(self.url, decode_responses=True) as client:

            def ready() -> bool:
                if self.process.poll() is not None:
                    raise AssertionError(f"the worker ended with {self.process.returncode} before it was ready")
                return self.registered(client) and bool(self.pids().children)

            wait_for_value(ready, timeout_s, "the worker is ready")

    def registered(self, client: redis.Redis) -> bool:
        """Whether this worker is in the registry."""
        keys = Keys(self.settings.get("key_prefix", "streamtasks:"), "u0")
        entries: Any = client.hvals(keys.worker_info)
        return any(json.loads(entry)["pid"] == self.process.pid for entry in entries)

    @property
    def registered_name(self) -> str:
        """What begins the names of its consumers, as its log tells."""
        found = re.search(r"worker (\S+): ", self.log)
        assert found, "the worker has not logged its name"
        return found[1]

    @property
    def process(self) -> subprocess.Popen[bytes]:
        """The root."""
        assert self._process is not None, "the worker has not been started"
        return self._process

    def end(self) -> None:
        """End everything of it at once."""
        if self._process is None:
            return
        pids = self.all_pids()
        for pid in pids:
            kill(pid, signal.SIGKILL)
        self._process.wait(10)
        # A process gives its memory back before it closes its sockets: for so long a child still waits for work, and
        # could take the next test's.
        for pid in pids:
            wait_for_value(lambda pid=pid: not is_alive(pid), 10, f"process {pid} is gone")  # type: ignore[misc]

    def terminate(self) -> None:
        """Ask for a graceful stop."""
        self.process.send_signal(signal.SIGTERM)

    def wait(self, timeout_s: float) -> int:
        """Return the exit status."""
        return self.process.wait(timeout_s)

    # -- processes -----------------------------------------------------------------------------------

    def pids(self) -> Pids:
        """Tell the processes apart: all but the root ignore SIGINT, and the keeper ignores SIGTERM too."""
        return pids_of(self.process.pid)

    def all_pids(self) -> list[int]:
        """The root's and those of all its living descendants."""
        return all_pids_of(self.process.pid)

    def stall(self) -> None:
        """Stop every process where it is."""
        for pid in self.all_pids():
            kill(pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Let every process go on."""
        for pid in reversed(self.all_pids()):
            kill(pid, signal.SIGCONT)

    # -- log -----------------------------------------------------------------------------------------

    @property
    def log(self) -> str:
        """What it has logged so far."""
        return self._log.read_text("utf-8", "replace") if self._log.exists() else ""

    def wait_log(self, text: str, timeout_s: float = 10.0) -> None:
        """Return when this has been logged."""
        wait_for_value(lambda: text in self.log, timeout_s, f"{text!r} in the worker's log")


def pids_of(root: int) -> Pids:
    """Tell the processes of a worker apart: all but the root ignore SIGINT, and the keeper ignores SIGTERM too."""
    keeper, children = None, []
    for pid in all_pids_of(root)[1:]:
        mask = _ignored_signals(pid)
        if _ignores(mask, signal.SIGINT) and _ignores(mask, signal.SIGTERM):
            keeper = pid
        elif _ignores(mask, signal.SIGINT):
            children.append(pid)
    return Pids(root, keeper, children)


def all_pids_of(root: int) -> list[int]:
    """A worker's root, and all its living descendants."""
    try:
        return [root, *(process.pid for process in psutil.Process(root).children(recursive=True))]
    except psutil.NoSuchProcess:
        return [root]


def kill(pid: int, number: int = signal.SIGKILL) -> None:
    """Send a signal; a process that is gone already is fine."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


@dataclass
class Field:
    """One server, one app on it, its workers and what their tasks wrote down."""

    url: str
    directory: Path
    settings: dict[str, Any] = field(default_factory=dict)
    workers: list[Worker] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.record = Record(self.directory / "record")
        self.app: StreamTasks = proc_app.make(self.url, **self.settings)
        self.keys = Keys(self.app.settings.key_prefix, "u0")
        self.client: redis.Redis = redis.Redis.from_url(self.url, decode_responses=True)

    def configure(self, **settings: Any) -> None:
        """Use these settings of the app from now on, here and in workers still to start."""
        self.settings |= settings
        self.app = proc_app.make(self.url, **self.settings)

    def worker(self, *options: str, **more: Any) -> Worker:
        """Make a worker; the caller starts it."""
        worker = Worker(self.url, self.directory, *options, settings=self.settings, **more)
        self.workers.append(worker)
        return worker

    def start(self, *options: str, **more: Any) -> Worker:
        """Start a worker and wait until it is ready."""
        worker = self.worker(*options, **more)
        worker.start()
        return worker

    def wait_idle(self, children: int, timeout_s: float = 10.0) -> None:
        """Wait until so many children, of all workers together, wait for work."""

        def blocked() -> bool:
            clients: Any = self.client.info("clients")
            return bool(clients["blocked_clients"] >= children)

        wait_for_value(blocked, timeout_s, f"{children} children wait for work")

    def enqueue(self, name: str, *args: Any, **options: Any) -> Result[Any]:
        """Enqueue one call."""
        task = self.app.tasks[name]
        return (task.using(**options) if options else task).enqueue(*args)

    def many(self, name: str, calls: Iterable[tuple[Any, ...]], **options: Any) -> list[Result[Any]]:
        """Enqueue many calls."""
        return self.app.tasks[name].using(**options).enqueue_many(calls)

    def unfinished(self) -> int:
        """How many messages have no outcome yet."""
        count: Any = self.client.hlen(self.keys.messages)
        return int(count)

    def wait_drained(self, timeout_s: float) -> None:
        """Wait until every message has its outcome."""
        wait_for_value(
            lambda: self.unfinished() == 0, timeout_s, lambda: f"all finished; {self.unfinished()} messages are not"
        )

    def totals(self) -> dict[str, int]:
        """Recorded outcomes by kind."""
        found: Any = self.client.hgetall(self.keys.totals)
        return {kind: int(count) for kind, count in found.items() if kind != "ms"}

    def close(self) -> None:
        """End all workers."""
        for worker in self.workers:
            worker.end()
        self.client.close()
