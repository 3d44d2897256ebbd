"""The keeper: the supervisor's first fork, which looks at boards and runs all roles on one event loop.

It runs no user code, so it can renew leases and watch boards whatever a task does. If it dies, the
supervisor starts another, which reads everything it needs from the boards.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import socket
import time
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from streamtasks.application import Application
from streamtasks.schedules.definition import Definition
from streamtasks.stores.backoff import Backoff
from streamtasks.stores.factory import open_supervisor_store

from ..process.board import Board
from ..process.lifeline import STOP_SIGNALS, die_with_parent
from ..process.options import WorkerOptions
from ..process.shard_table import ShardTable
from ..roles.app_roles import AppRoles
from ..roles.base import ServedApp
from ..roles.ended_child import EndedChild
from ..roles.enforcer import Enforcer
from ..roles.watch import Watch
from ..roles.watched_child import WatchedChild

__all__ = ["WorkerPlan", "run_keeper"]

logger = logging.getLogger("streamtasks.worker")

TICK_S: Final = 0.01
"""How often boards are looked at, seconds (design: 10 ms)."""


@dataclass(frozen=True)
class WorkerPlan:
    """What a supervisor hands to its keepers.

    Attributes:
        name: of the worker.
        apps: what it serves, with the options for each.
        schedules: what each app's code declares.
        boards: all boards, by their numbers.
        shared: words that the supervisor and all its keepers share: the last sign of life (monotonic ns), then one
            for each shard of each app, see `Scheduler`.
        tables: of each app, if it has several shards.
        pid: the supervisor's.
    """

    name: str
    apps: Sequence[tuple[Application, WorkerOptions]]
    schedules: Sequence[Sequence[Definition]]
    boards: Sequence[Board]
    shared: memoryview
    tables: Sequence[ShardTable | None]
    pid: int

    def served(self, kill: Any) -> list[ServedApp]:
        """Return the apps as their roles see them, each with a store of its own."""
        loaded_ms, served = self.shared[1:], []
        for (app, options), schedules, table in zip(self.apps, self.schedules, self.tables, strict=True):
            # No role may wait for one call for long: leases must be renewed meanwhile.
            timeout_s = min(app.settings.timeout_s, max(1.0, app.settings.lease_s / 4))
            settings = replace(app.settings, timeout_s=timeout_s)
            store = open_supervisor_store(settings)
            served.append(
                ServedApp(
                    app.label,
                    settings,
                    store,
                    options,
                    self.name,
                    schedules,
                    loaded_ms,
                    app.project_name,
                    os.environ.get("STREAMTASKS_RELEASE", ""),
                    app.task_names(),
                    kill,
                    app.listens_to_ends,
                    table=table,
                )
            )
            loaded_ms = loaded_ms[len(settings.tags) :]
        return served


class Keeper:
    """The boards and roles of one worker. ``line``: the connection to the supervisor."""

    def __init__(self, plan: WorkerPlan, line: socket.socket) -> None:
        self._line = line
        self._boards = plan.boards
        self._alive = plan.shared[:1]
        self._apps = [AppRoles(app) for app in plan.served(self._kill)]
        self._stopping = False
        self._tasks: set[asyncio.Task[Any]] = set()
        self._settling: set[asyncio.Task[Any]] = set()  # boards of ended children
        self._writer: asyncio.StreamWriter | None = None

    async def run(self) -> None:
        """Work until all children have ended, or the supervisor closes the line."""
        reader, self._writer = await asyncio.open_connection(sock=self._line)
        for roles in self._apps:
            for loop in roles.loops():
                self._spawn(loop)
        self._spawn(self._look())
        async for line in reader:
            message = json.loads(line)
            if message["op"] == "end":
                break
            self._handle(message)
        for task in self._settling:
            task.cancel()  # what is left is free when its leases end
        for roles in self._apps:
            await roles.leave()

    def _handle(self, message: dict[str, Any]) -> None:
        match message["op"]:
            case "born":
                self._born(self._apps[message["app"]].app, self._boards[message["board"]], message["pid"])
            case "died":
                self._settling.add(task := self._spawn(self._settle(message)))
                task.add_done_callback(self._settling.discard)
            case "stop":
                self._stopping = True
            case other:
                logger.error("the supervisor sent an unknown message: %r", other)

    def _born(self, app: ServedApp, board: Board, pid: int) -> None:
        def request(what: str, why: str) -> None:
            self._send(op=what, pid=pid, why=why)

        single = not (app.options.threads or app.options.async_concurrency)
        enforcer = Enforcer(app.store, app.settings, board, single=single, request=request)
        watch, answered_at = Watch(app.store, board), app.store.answered_at
        app.children[board.number] = WatchedChild(board, pid, watch, enforcer, request, answered_at)

    def _send(self, **message: Any) -> None:
        assert self._writer is not None
        self._writer.write(json.dumps(message).encode() + b"\n")

    def _kill(self, board: Board, why: str) -> None:
        for roles in self._apps:
            if (child := roles.app.children.get(board.number)) is not None:  # else it ended while the store was asked
                self._send(op="kill", pid=child.pid, why=why)

    async def _settle(self, message: dict[str, Any]) -> None:
        """Settle what an ended child held, then let its board be used again."""
        roles, board = self._apps[message["app"]], self._boards[message["board"]]
        roles.app.children.pop(board.number, None)
        ended = EndedChild(roles.app, board, message["pid"], message["how"], charged=message["charged"])
        backoff = Backoff(0.1, 1.0)
        while not await roles.attempt(ended.settle(), board.tag, "EndedChild"):  # noqa: ASYNC110 - each turn is a try
            await asyncio.sleep(backoff.next_s())
        self._send(op="free", board=board.number)

    async def _look(self) -> None:
        """Look at all boards, every tick, and show that the keeper lives."""
        while True:
            self._alive[0] = time.monotonic_ns()
            for roles in self._apps:
                for child in roles.app.children.values():
                    for work in child.look(stopping=self._stopping):
                        self._spawn(roles.attempt(work, child.board.tag, "Watch"))
            await asyncio.sleep(TICK_S)

    def _spawn(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


def run_keeper(plan: WorkerPlan, line: socket.socket) -> int:
    """Live as the keeper; return the exit status. Called right after the fork."""
    die_with_parent(plan.pid)
    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)  # the supervisor ends it by a message
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)
    signal.set_wakeup_fd(-1)
    asyncio.run(Keeper(plan, line).run())
    return 0
