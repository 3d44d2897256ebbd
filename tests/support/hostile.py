"""Run a hostile body among innocent tasks, and see how it ends, what it harms and what it leaves."""

from __future__ import annotations

import re
import tempfile
import time
from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import psutil
import redis

from streamtasks import Result, State
from tests.process.tasks import hostile_app
from tests.process.tasks.hostile_bodies.body import Body
from tests.process.test_executors import EXECUTORS
from tests.support.fleet import Fleet
from tests.support.waiting import DEADLINE_S
from tests.support.worker_process import Worker, is_alive

__all__ = [
    "BODIES",
    "EXECUTORS",
    "PAGE",
    "Cell",
    "HostileWorker",
    "Innocents",
    "documented_rows",
    "is_as_documented",
    "run_body",
    "run_together",
]

BODIES: Final = hostile_app.BODIES
ROOT = Path(__file__).parent.parent.parent
PAGE: Final = ROOT / "docs" / "hostile.md"
SETTINGS: dict[str, Any] = {"crash_limit": 3, "lost_limit": 3, "crash_delay_s": 0.1}
NAP_S = 0.05
GRACE_S = 2
LEASE_S = 10.0
SHORT_LEASE_S = 2.0
"""Where workers vanish; not elsewhere, because a worker on a busy machine that cannot renew in time is fenced."""

TOGETHER = 1000
_TIMES: Final = ("never", "once", "twice", "three times")
MOST_CRASHES = 2
"""An innocent that has crashed so often beside others runs alone from then on: it is charged no more than that."""


@dataclass
class Innocents:
    """What became of innocent tasks.

    Attributes:
        right: succeeded at the first attempt.
        again: succeeded after they were lost with their worker, and charged nothing.
        charged: succeeded after a crash of their child was charged to them.
        most: how many crashes were charged to one of them.
        wrong: have another outcome, or none.
    """

    right: int = 0
    again: int = 0
    charged: int = 0
    most: int = 0
    wrong: list[str] = field(default_factory=list)

    def are_allowed(self, harms: Collection[str]) -> bool:
        """Whether this may happen beside bodies that do this harm, see `Body.harms`."""
        charged, again = self.charged and "charged" not in harms, self.again and "again" not in harms
        return not (set(self.wrong) - set(harms) or charged or again) and self.most <= MOST_CRASHES

    def __str__(self) -> str:
        parts = [f"{count} {what}" for count, what in ((self.right, "right"), (self.again, "run again")) if count]
        if self.charged:
            parts.append(f"{self.charged} charged, at most {_TIMES[self.most]}")
        return ", ".join(parts + [f"{count} {what}" for what, count in sorted(Counter(self.wrong).items())])


@dataclass
class Cell:
    """What one body did in one executor.

    Attributes:
        end: its outcome.
        ended: what ended with it: "child", "worker" or "nothing".
        innocents: what became of those beside, before and after it.
        changed: what it has changed in its process for those after it, by name.
        left: what was left when the worker had stopped.
    """

    end: str
    ended: str
    innocents: Innocents
    changed: set[str]
    left: list[str]

    def __str__(self) -> str:
        text = self.end
        if self.ended != "nothing":
            text += ", child replaced" if self.ended == "child" else ", worker ends"
        harmed = Innocents(0, *list(vars(self.innocents).values())[1:])
        return "; ".join([text, *([f"innocents: {harmed}"] if str(harmed) else []), *self.left])


def documented_rows() -> dict[str, list[str]]:
    """Return the rows of the page's tables: body -> a text for each executor, and what is changed."""
    rows = re.finditer(r"^\| [^|]*\(`(\w+)`\) \| (.*) \|$", PAGE.read_text("utf-8"), re.MULTILINE)
    return {row[1]: row[2].split(" | ") for row in rows}


def is_as_documented(cell: Cell, text: str, body: Body) -> bool:
    """Whether a cell says the same as the page, but for what is a matter of chance and allowed: see `Body.harms`."""
    chance = r"; innocents: [^;]*|, child replaced" if body.fails else r"; innocents: [^;]*"
    return re.sub(chance, "", str(cell)) == re.sub(chance, "", text)


class HostileWorker:
    """A server and one worker that is started again whenever it ends, as a process manager does; a context manager."""

    def __init__(self, url: str, executor: str, bodies: Iterable[Body] = ()) -> None:
        with redis.Redis.from_url(url) as client:
            client.flushall()
        self._folder = tempfile.TemporaryDirectory(prefix="streamtasks-hostile-")
        self.executor = executor
        self.fleet = Fleet(url, Path(self._folder.name))
        lease_s = SHORT_LEASE_S if any(body.ends == "worker" for body in bodies) else LEASE_S
        self.fleet.configure(**SETTINGS, lease_s=lease_s)
        self.fleet.app = hostile_app.make(url, **SETTINGS, lease_s=lease_s)
        self._options = ("--concurrency", "2", "--grace", str(GRACE_S), *EXECUTORS[executor])
        self._worker = self._start()
        self.restarts = 0

    def __enter__(self) -> HostileWorker:
        return self

    def __exit__(self, *_: object) -> None:
        self.fleet.close()
        for process in self._processes():
            process.kill()
        self._folder.cleanup()

    def _start(self) -> Worker:
        environment = {"PYTHONPATH": str(ROOT)}
        worker = self.fleet.worker(*self._options, app="hostile_app:app", environment=environment, anew=True)
        worker.spawn()  # what is left from the one before may end it before it is ready
        return worker

    @property
    def log(self) -> str:
        return "".join(worker.log for worker in self.fleet.workers)

    def innocents(self, count: int) -> list[Result[Any]]:
        """Enqueue tasks that harm nobody."""
        on_loop = {"async": count, "mixed": count // 2}.get(self.executor, 0)
        return [
            *self.fleet.many("ainnocent", [(NAP_S,)] * on_loop),
            *self.fleet.many("innocent", [(NAP_S,)] * (count - on_loop)),
        ]

    def hostile(self, name: str) -> Result[Any]:
        """Enqueue a hostile body; in the async executor it is a coroutine task."""
        return self.fleet.enqueue(f"on_loop.{name}" if self.executor == "async" else name)

    def wait(self, results: Iterable[Result[Any]], timeout_s: float = DEADLINE_S) -> bool:
        """Wait until all are finished, or the time is up; start the worker again when it has ended."""
        deadline = time.monotonic() + timeout_s
        ids = {result.id for result in results}
        while ids and time.monotonic() < deadline:
            ids -= {found.id for found in self.fleet.app.store.wait_finished(sorted(ids)[:100], 0.2)}
            if self._worker.process.poll() is not None:
                self._worker.end()
                self._worker = self._start()
                self.restarts += 1
        return not ids

    def children(self) -> set[int]:
        return set(self._worker.pids().children)

    def probe(self) -> list[dict[str, Any]]:
        """Return what tasks find in the processes of all children."""
        results = self.fleet.many("probe", [()] * 12)
        self.wait(results)
        return [result.get(0)[1] for result in results if result.state == State.SUCCESS]

    def judge(self, results: list[Result[Any]]) -> Innocents:
        """Say what became of innocent tasks."""
        starts = Counter(execution.id for execution in self.fleet.record.executions())
        found = Innocents()
        for result in results:
            snapshot = result.snapshot()
            if snapshot.state != State.SUCCESS:
                found.wrong.append(_outcome(result) if snapshot.is_finished else "unfinished")
            elif result.get(0) != NAP_S:
                found.wrong.append("another result")
            elif crashes := sum(report["kind"] != "LOST" for report in snapshot.reports):
                found.charged += 1
                found.most = max(found.most, crashes)
            elif starts[result.id] > 1:
                found.again += 1
            else:
                found.right += 1
        return found

    def stop(self, most_s: float = GRACE_S + 1) -> list[str]:
        """Stop the worker gracefully, in ``most_s``; return what is left of it and of its tasks."""
        left = []
        began = time.monotonic()
        self._worker.terminate()
        status = self._worker.wait()
        if status != 0:
            left.append(f"worker's exit status {status}")
        if (took := time.monotonic() - began) > most_s:
            left.append(f"stop took {took:.0f} s")
        if processes := self._processes():
            left.append(f"{len(processes)} process left" if len(processes) == 1 else f"{len(processes)} processes left")
        if count := self.fleet.unfinished():
            left.append(f"{count} messages left")
        return left

    def _processes(self) -> list[psutil.Process]:
        """What still lives of the workers' sessions: tasks may have started it."""
        variable = str(self.fleet.record.path)
        found = []
        for process in psutil.process_iter(["pid"]):
            try:
                if is_alive(process.pid) and process.environ().get("PROC_APP_RECORD") == variable:
                    found.append(process)
            except (psutil.AccessDenied, psutil.NoSuchProcess, OSError):
                continue
        return found


def _outcome(result: Result[Any]) -> str:
    snapshot = result.snapshot()
    if not snapshot.is_finished:
        return f"{snapshot.state}, no end"
    if snapshot.state == State.SUCCESS:
        return str(snapshot.state)
    return f"{snapshot.state} {type(result.result).__name__}"


def run_body(url: str, executor: str, body: Body, timeout_s: float = DEADLINE_S, stop_s: float = GRACE_S + 1) -> Cell:
    """Run one body among innocents, in a worker of its own, which is to stop in ``stop_s``."""
    with HostileWorker(url, executor, [body]) as worker:
        [before, *_] = worker.probe()
        children = worker.children()
        innocents = worker.innocents(10)
        hostile = worker.hostile(body.name)
        innocents += worker.innocents(10)
        worker.wait([hostile], timeout_s)
        innocents += worker.innocents(10)  # what it has done to its process meets these
        worker.wait([hostile, *innocents], timeout_s)
        changed = {name for state in worker.probe() for name, value in state.items() if value != before[name]}
        ended = "worker" if worker.restarts else "nothing" if worker.children() == children else "child"
        found = worker.judge(innocents)
        return Cell(_outcome(hostile), ended, found, changed, worker.stop(stop_s))


def run_together(
    url: str, executor: str, bodies: list[Body], innocents: int = TOGETHER, stop_s: float = GRACE_S + 1
) -> tuple[Innocents, list[str]]:
    """Run bodies one after the other in one worker, with many innocents beside them; return what is left, too."""
    share = innocents // len(bodies)
    with HostileWorker(url, executor, bodies) as worker:
        results = worker.innocents(innocents - share * len(bodies))
        for body in bodies:
            results += worker.innocents(share // 2)
            hostile = worker.hostile(body.name)
            results += worker.innocents(share - share // 2)
            worker.wait([hostile])
        worker.wait(results, 3 * DEADLINE_S)
        return worker.judge(results), worker.stop(stop_s)
