"""The keeper: the supervisor's first fork, which looks at boards and runs all roles on one event loop.

It runs no user code, so it can renew leases and watch boards whatever a task does. If it dies, the
supervisor starts another, which reads everything it needs from the boards.
"""

from __future__ import annotations

import asyncio
import json
import logging
import signal
import socket
import time
from collections.abc import Awaitable, Coroutine, Sequence
from dataclasses import replace
from typing import Any, Final

from streamtasks.application import Application
from streamtasks.exceptions import StoreError
from streamtasks.schedules.definition import Definition
from streamtasks.stores.backoff import Backoff
from streamtasks.stores.factory import open_supervisor_store

from ..process.board import Board
from ..process.lifeline import STOP_SIGNALS, die_with_parent
from ..process.options import WorkerOptions
from ..roles import roles_of
from ..roles.base import Role, ServedApp
from ..roles.ended_child import EndedChild
from ..roles.enforcer import Enforcer
from ..roles.watch import Watch
from ..roles.watched_child import WatchedChild

__all__ = ["run_keeper"]

logger = logging.getLogger("streamtasks.worker")

TICK_S: Final = 0.01
"""How often boards are looked at, seconds (design: 10 ms)."""


class Keeper:
    """The boards and roles of one worker; see `run_keeper`."""

    def __init__(
        self,
        apps: Sequence[tuple[Application, WorkerOptions]],
        boards: Sequence[Board],
        worker: str,
        line: socket.socket,
        shared: memoryview,
        schedules: Sequence[Sequence[Definition]],
    ) -> None:
        self._boards = boards
        self._line = line
        self._alive, loaded_ms = shared[:1], shared[1:]
        self._apps: list[ServedApp] = []
        for (app, options), declared in zip(apps, schedules, strict=True):
            # No role may wait for one call for long: leases must be renewed meanwhile.
            timeout_s = min(app.settings.timeout_s, max(1.0, app.settings.lease_s / 4))
            settings = replace(app.settings, timeout_s=timeout_s)
            store = open_supervisor_store(settings)
            self._apps.append(ServedApp(app.label, settings, store, options, worker, declared, loaded_ms, self._kill))
            loaded_ms = loaded_ms[len(settings.tags) :]
        self._roles = [role for app in self._apps for role in roles_of(app)]
        self._stopping = False
        self._away_since = 0.0
        self._tasks: set[asyncio.Task[Any]] = set()
        self._settling: set[asyncio.Task[Any]] = set()  # boards of ended children
        self._writer: asyncio.StreamWriter | None = None

    async def run(self) -> None:
        """Work until all children have ended, or the supervisor closes the line."""
        reader, self._writer = await asyncio.open_connection(sock=self._line)
        for role in self._roles:
            self._spawn(self._run_role(role))
        for app in self._apps:
            self._spawn(self._listen(app))
        self._spawn(self._look())
        async for line in reader:
            message = json.loads(line)
            if message["op"] == "end":
                break
            self._handle(message)
        for task in self._settling:
            task.cancel()  # what is left is free when its leases end
        for role in self._roles:
            await self._attempt(role.leave())

    # -- the supervisor ------------------------------------------------------------------------------

    def _handle(self, message: dict[str, Any]) -> None:
        match message["op"]:
            case "born":
                app, board, pid = self._apps[message["app"]], self._boards[message["board"]], message["pid"]
                enforcer = Enforcer(
                    app.store,
                    app.settings,
                    board,
                    single=not (app.options.threads or app.options.async_concurrency),
                    request=lambda request, why: self._send(op=request, pid=pid, why=why),
                )
                app.children[board.number] = WatchedChild(board, pid, Watch(app.store, board), enforcer)
            case "died":
                self._settling.add(task := self._spawn(self._settle(message)))
                task.add_done_callback(self._settling.discard)
            case "stop":
                self._stopping = True
            case other:
                logger.error("the supervisor sent an unknown message: %r", other)

    def _send(self, **message: Any) -> None:
        assert self._writer is not None
        self._writer.write(json.dumps(message).encode() + b"\n")

    def _kill(self, board: Board, why: str) -> None:
        for app in self._apps:
            if (child := app.children.get(board.number)) is not None:  # else it ended while the store was asked
                self._send(op="kill", pid=child.pid, why=why)

    async def _settle(self, message: dict[str, Any]) -> None:
        app, board = self._apps[message["app"]], self._boards[message["board"]]
        app.children.pop(board.number, None)
        ended = EndedChild(app, board, message["pid"], message["how"], charged=message["charged"])
        backoff = Backoff(0.1, 1.0)
        while not await self._attempt(ended.settle()):  # noqa: ASYNC110 - each turn is a try
            await asyncio.sleep(backoff.next_s())
        self._send(op="free", board=board.number)

    # -- boards and roles ----------------------------------------------------------------------------

    async def _look(self) -> None:
        while True:
            self._alive[0] = time.monotonic_ns()
            for app in self._apps:
                for child in app.children.values():
                    for work in child.look(stopping=self._stopping):
                        self._spawn(self._attempt(work))
            await asyncio.sleep(TICK_S)

    async def _run_role(self, role: Role) -> None:
        backoff = Backoff(0.2, 1.0)
        while True:
            wait_s: float | None = None

            async def run() -> None:
                nonlocal wait_s
                wait_s = await role.run_once()

            if await self._attempt(run(), uses_store=role.uses_store):
                backoff.reset()
            else:
                wait_s = backoff.next_s()  # soon: leases run out meanwhile
            await role.sleep(wait_s)

    async def _listen(self, app: ServedApp) -> None:
        """Pass control messages to the roles that they wake."""
        roles = [role for role in self._roles if role.app is app and role.wake_on]
        backoff = Backoff(0.2, 2.0)
        while True:
            try:
                async for tag, text in app.store.listen():
                    backoff.reset()
                    word = text.partition(" ")[0]
                    for role in roles:
                        if not tag:  # subscribed: messages may have been lost before
                            role.missed()
                        elif role.wake_on == word and (role.tag == tag or not role.per_shard):
                            role.heard(tag, text)
            except (StoreError, OSError) as error:
                self._away(error)
            await asyncio.sleep(backoff.next_s())

    async def _attempt(self, work: Awaitable[Any], *, uses_store: bool = True) -> bool:
        """Await work; return whether it succeeded. Log once when the store goes away, and once when it is back."""
        try:
            await work
        except (StoreError, OSError) as error:
            self._away(error)
            return False
        except Exception:
            logger.exception("a background role failed; it is tried again")
            return False
        if uses_store and self._away_since:
            logger.info("the keeper reaches the store again after %.1f s", time.monotonic() - self._away_since)
            self._away_since = 0.0
        return True

    def _away(self, error: Exception) -> None:
        if not self._away_since:
            self._away_since = time.monotonic()
            logger.warning("the keeper does not reach the store: %s", error)

    def _spawn(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


def run_keeper(
    apps: Sequence[tuple[Application, WorkerOptions]],
    boards: Sequence[Board],
    worker: str,
    line: socket.socket,
    shared: memoryview,
    schedules: Sequence[Sequence[Definition]],
    parent_pid: int,
) -> int:
    """Live as the keeper; return the exit status. Called right after the fork.

    Args:
        apps: what the worker serves, with the options for each.
        boards: all boards of the worker, by their numbers.
        worker: its name.
        line: the connection to the supervisor.
        shared: words that the supervisor and all its keepers share: the last sign of life (monotonic ns), then one
            for each shard of each app, see `Scheduler`.
        schedules: what each app's code declares.
        parent_pid: the supervisor's.
    """
    die_with_parent(parent_pid)
    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)  # the supervisor ends it by a message
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)
    signal.set_wakeup_fd(-1)
    asyncio.run(Keeper(apps, boards, worker, line, shared, schedules).run())
    return 0
