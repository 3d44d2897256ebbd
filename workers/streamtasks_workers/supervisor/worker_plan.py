"""What a worker serves, and the memory that all its processes share: made before the first fork."""

from __future__ import annotations

import mmap
import os
import re
import secrets
import signal
import socket
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, Self

from streamtasks.application import Application
from streamtasks.schedules.definition import Definition
from streamtasks.stores.factory import open_supervisor_store

from ..executor.child import run_child
from ..monitor.timed_store import timed
from ..process.board import Board
from ..process.counters import Counters
from ..process.doorbell import Doorbell
from ..process.options import WorkerOptions
from ..process.shard_table import MOST_SHARDS, ShardTable
from ..process.suspect_permit import SuspectPermit
from ..process.worker_counters import WorkerCounters
from ..roles.base import ServedApp

__all__ = ["WorkerPlan"]

BASE_SLOTS: Final = 224
"""Two batches of 100 and some room."""

OWED_SLOTS: Final = 100
"""For outcomes that cannot be settled now, because one of several shards does not answer."""

SIGNAL_OF: Final = {"drain": signal.SIGTSTP, "stop": signal.SIGTERM}
"""What operators ask of a worker, as signals of the supervisor."""


@dataclass(frozen=True)
class WorkerPlan:
    """What the processes of a worker have in common.

    Attributes:
        name: of the worker.
        apps: what it serves, with the options for each.
        schedules: what each app's code declares.
        boards: all boards, by their numbers: one for each child, and some for children that are replaced while they
            still run something.
        shared: words that the supervisor and all its keepers share: the keeper's last sign of life (monotonic ns),
            the phase of the worker, then one for each shard of each app, see `Scheduler`.
        tables: of each app, if it has several shards, or is on a Cluster.
        permit: to run a suspect.
        pid: the supervisor's.
        counters: of each app; children have the same boards in all of them, each app has a keeper of its own.
        listener: where metrics and health are served, if they are.
    """

    name: str
    apps: list[tuple[Application, WorkerOptions]]
    schedules: Sequence[Sequence[Definition]]
    boards: Sequence[Board]
    shared: memoryview
    tables: list[ShardTable | None]
    permit: SuspectPermit
    pid: int
    counters: Sequence[WorkerCounters]
    listener: socket.socket | None = None

    @classmethod
    def of(cls, apps: Sequence[tuple[Application, WorkerOptions]], listener: socket.socket | None = None) -> Self:
        """Make the plan of a worker that serves these apps, in the process that becomes its supervisor.

        Raises:
            OSError: there is no shared memory, lock or pipe to be had.
        """
        host = re.sub(r"[^A-Za-z0-9_.-]", "-", socket.gethostname())[:60] or "host"
        tables = [
            ShardTable(len(app.settings.tags)) if len(app.settings.tags) > 1 or app.settings.is_cluster else None
            for app, _ in apps
        ]
        children = sum(options.children for _, options in apps)
        most_at_once = max((max(o.threads, o.async_concurrency) for _, o in apps), default=0)
        slots = BASE_SLOTS + most_at_once + OWED_SLOTS
        bells = [Doorbell() for _ in range(children + max(2, children // 2))]
        counters = tuple(Counters() for _ in bells)
        return cls(
            name=f"{host}-{os.getpid()}-{secrets.token_hex(4)}",
            apps=list(apps),
            schedules=[app.declared_schedules() for app, _ in apps],
            boards=[Board(number, slots, bell) for number, bell in enumerate(bells)],
            shared=memoryview(mmap.mmap(-1, 16 + 8 * MOST_SHARDS * len(apps))).cast("Q"),
            tables=tables,
            permit=SuspectPermit(),
            pid=os.getpid(),
            counters=[WorkerCounters(counters) for _ in apps],
            listener=listener,
        )

    def served(self) -> list[ServedApp]:
        """Return the apps as their roles see them, each with a store of its own."""
        served: list[ServedApp] = []
        of_apps = zip(self.apps, self.schedules, self.tables, self.counters, strict=True)
        for (app, options), schedules, table, counters in of_apps:
            # No role may wait for one call for long: leases must be renewed meanwhile.
            timeout_s = min(app.settings.timeout_s, max(1.0, app.settings.lease_s / 4))
            settings = replace(app.settings, timeout_s=timeout_s)
            store = open_supervisor_store(settings)
            loaded_ms = self.shared[2 + MOST_SHARDS * len(served) :]
            if self.listener is not None:
                store = timed(store, counters.keeper)
            one = ServedApp.of(app, settings, store, options, schedules, loaded_ms, worker=self.name, table=table)
            one.counters = counters
            one.ask_supervisor = lambda what: os.kill(self.pid, SIGNAL_OF[what])  # as a process manager would
            served.append(one)
        return served

    def grow(self, number: int, tags: tuple[str, ...]) -> bool:
        """Serve more shards of an app in processes that are forked from now on; return False if these are known."""
        app, known = self.apps[number][0], self.tables[number]
        if len(tags) <= len(app.settings.tags):
            return False
        app.settings.follow_shards(tags)
        app.renew_settings()
        self.tables[number] = ShardTable(len(tags), known)
        return True

    def run_child(self, number: int, board: Board, life_fd: int) -> int:
        """Live as a child that serves the app of this number; return the exit status."""
        if self.listener is not None:
            self.listener.close()
        app, options = self.apps[number]
        counters = self.counters[number].boards[board.number]
        return run_child(app, options, board, life_fd, self.pid, self.tables[number], self.permit, counters)
