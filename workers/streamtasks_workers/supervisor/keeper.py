"""The keeper: the supervisor's first fork, which looks at boards and runs all roles on one event loop.

It runs no user code, so it can renew leases and watch boards whatever a task does. If it dies, the
supervisor starts another and tells it which children there are; the rest stands on their boards.
"""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import time
from collections.abc import Coroutine, Sequence
from functools import partial
from typing import Any, Final

from ..process.lifeline import STOP_SIGNALS, die_with_parent
from ..process.title import set_title
from ..roles.app_roles import AppRoles
from .worker_plan import WorkerPlan

__all__ = ["run_keeper"]

TICK_S: Final = 0.01
"""How often boards are looked at, seconds (design: 10 ms)."""

IDLE_TICK_S: Final = 0.02
"""The same while no child holds anything. An attempt is shown after 15 ms: it is seen in time at the first look, or at
the one after it, which comes 10 ms later."""


class Keeper:
    """The boards and roles of one worker. ``line``: the connection to the supervisor."""

    _writer: asyncio.StreamWriter

    def __init__(self, plan: WorkerPlan, line: socket.socket) -> None:
        self._line = line
        self._plan = plan
        self._apps = [AppRoles(app) for app in plan.served()]
        for number, roles in enumerate(self._apps):
            roles.app.ask_growth = partial(self._ask_growth, number)
        self._tasks: set[asyncio.Task[Any]] = set()
        for counters in plan.counters:
            counters.keeper.adopt()
        if plan.listener is not None:
            # The library of metrics takes 0.1 s and some MB: only where they are served.
            from ..monitor.server import serve_worker

            serve_worker(plan.listener, [roles.app for roles in self._apps], plan.counters[0], self._is_stopping)

    def _is_stopping(self) -> bool:
        return self._plan.shared[1] != 0

    async def run(self) -> None:
        """Work until all children have ended, or the supervisor closes the line."""
        reader, self._writer = await asyncio.open_connection(sock=self._line)
        for roles in self._apps:
            for loop in roles.loops():
                self._spawn(loop)
        self._spawn(self._look())
        async for line in reader:
            message: dict[str, Any] = json.loads(line)
            match message.pop("op"):
                case "born":
                    self._watch(**message)
                case "died":
                    self._spawn(self._settle(**message))
                case _:  # "end"
                    break
        for roles in self._apps:
            await roles.leave()

    def _watch(self, app: int, board: int, pid: int) -> None:
        self._apps[app].watch(self._plan.boards[board], lambda what, why: self._request(what, pid=pid, why=why))

    def _request(self, what: str, **about: Any) -> None:
        """Ask the supervisor for something, see `Supervisor` and `ProcessTable.obey`."""
        self._writer.write(json.dumps({"op": what, **about}).encode() + b"\n")

    def _ask_growth(self, app: int, tags: Sequence[str]) -> None:
        self._request("grow", app=app, tags=list(tags))

    async def _settle(self, app: int, board: int, pid: int, how: str, *, charged: bool) -> None:
        """Settle what an ended child held, then let its board be used again."""
        await self._apps[app].settle(self._plan.boards[board], pid, how, charged=charged)
        self._request("free", board=board)

    async def _look(self) -> None:
        """Look at all boards, every tick, and show that the keeper lives."""
        while True:
            self._plan.shared[0] = time.monotonic_ns()
            for roles in self._apps:
                for work in roles.look(stopping=self._is_stopping()):
                    self._spawn(work)
            await asyncio.sleep(TICK_S if any(roles.hold_anything() for roles in self._apps) else IDLE_TICK_S)

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
