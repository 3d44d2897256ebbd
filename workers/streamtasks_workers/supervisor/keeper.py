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
from collections.abc import Coroutine
from typing import Any, Final

from streamtasks.operations.store_metrics import StoreCollector
from streamtasks.stores.backoff import Backoff
from streamtasks.stores.factory import open_store

from ..monitor.health import WorkerHealth
from ..monitor.server import pages_of, start_server
from ..monitor.worker_metrics import WorkerCollector
from ..process.board import Board
from ..process.lifeline import STOP_SIGNALS, die_with_parent
from ..process.title import set_title
from ..roles.app_roles import AppRoles
from ..roles.base import ServedApp
from ..roles.ended_child import EndedChild
from ..roles.watched_child import WatchedChild
from .worker_plan import WorkerPlan

__all__ = ["run_keeper"]

logger = logging.getLogger("streamtasks.worker")

TICK_S: Final = 0.01
"""How often boards are looked at, seconds (design: 10 ms)."""

SIGNAL_OF: Final = {"drain": signal.SIGTSTP, "stop": signal.SIGTERM}
"""What operators ask of a worker, as signals of the supervisor."""


class Keeper:
    """The boards and roles of one worker. ``line``: the connection to the supervisor."""

    def __init__(self, plan: WorkerPlan, line: socket.socket) -> None:
        self._line = line
        self._boards = plan.boards
        self._alive = plan.shared[:1]
        self._apps = [AppRoles(app) for app in plan.served()]
        for roles in self._apps:  # as a process manager would
            roles.app.ask_supervisor = lambda what: os.kill(plan.pid, SIGNAL_OF[what])
        self._stopping = False
        self._tasks: set[asyncio.Task[Any]] = set()
        self._writer: asyncio.StreamWriter | None = None
        if plan.counters is not None and plan.listener is not None:
            plan.counters.keeper.adopt()
            served = [roles.app for roles in self._apps]
            health = WorkerHealth(served, lambda: self._stopping)
            stores = StoreCollector([open_store(app.settings) for app in served])
            start_server(plan.listener, pages_of(WorkerCollector(served, plan.counters), stores, health))

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
        for roles in self._apps:
            await roles.leave()

    def _handle(self, message: dict[str, Any]) -> None:
        match message["op"]:
            case "born":
                self._born(self._apps[message["app"]].app, self._boards[message["board"]], message["pid"])
            case "died":
                self._spawn(self._settle(message))
            case "stop":
                self._stopping = True
            case other:
                logger.error("the supervisor sent an unknown message: %r", other)

    def _born(self, app: ServedApp, board: Board, pid: int) -> None:
        def request(what: str, why: str) -> None:
            self._send(op=what, pid=pid, why=why)

        single = not (app.options.threads or app.options.async_concurrency)
        app.children[board.number] = WatchedChild(
            board, app.store, app.settings, request, single=single, counters=app.counters
        )

    def _send(self, **message: Any) -> None:
        assert self._writer is not None
        self._writer.write(json.dumps(message).encode() + b"\n")

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

    def _spawn(self, work: Coroutine[Any, Any, Any]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def run_keeper(plan: WorkerPlan, line: socket.socket) -> int:
    """Live as the keeper; return the exit status. Called right after the fork."""
    die_with_parent(plan.pid)
    set_title("keeper")
    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)  # the supervisor ends it by a message
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)
    signal.set_wakeup_fd(-1)
    asyncio.run(Keeper(plan, line).run())
    return 0
