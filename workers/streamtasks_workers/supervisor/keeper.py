"""The keeper: the supervisor's first fork, in which all its roles run on one event loop.

It runs no user code, so it can renew leases and watch boards whatever a task does. If it dies, the supervisor
starts another, which reads everything it needs from the boards.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import random
import signal
import socket
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from streamtasks.application import Application
from streamtasks.exceptions import StoreError
from streamtasks.schedules.definition import Definition
from streamtasks.stores.base import SupervisorStore
from streamtasks.stores.factory import open_supervisor_store

from ..process.board import Board
from ..process.lifeline import STOP_SIGNALS, die_with_parent
from ..process.options import WorkerOptions
from ..roles.aftermath import Aftermath
from ..roles.base import RoleOnTime
from ..roles.enforcer import Enforcer
from ..roles.janitor import Janitor
from ..roles.leases import Leases
from ..roles.limiter import Limiter
from ..roles.promoter import Promoter
from ..roles.reclaimer import Reclaimer
from ..roles.registry import Registry
from ..roles.revocations import Revocations
from ..roles.scheduler import Declared, Scheduler
from ..roles.unfolder import Unfolder
from ..roles.watch import Watch

__all__ = ["run_keeper"]

logger = logging.getLogger("streamtasks.worker")

TICK_S = 0.01
"""How often boards are looked at, seconds (design: 10 ms)."""

JANITOR_S = 600.0


class _Charge(NamedTuple):
    """One living child."""

    board: Board
    pid: int
    watch: Watch
    enforcer: Enforcer


class _Ward:
    """One app's part of the keeper: its store, its children, its roles.

    ``ask`` sends the supervisor a request about a process: what, its pid, and why. ``schedules``: what its code
    declares;
    ``loaded``: memory that outlives the keeper, for when that code was loaded by the clock of each shard, ms.
    """

    def __init__(
        self,
        app: Application,
        options: WorkerOptions,
        worker: str,
        ask: Callable[[str, int, str], None],
        schedules: Sequence[Definition],
        loaded: memoryview,
    ) -> None:
        lease_s = app.settings.lease_s
        # A role may not be stuck on one call for long: leases must be looked after meanwhile.
        self.settings = replace(app.settings, timeout_s=min(app.settings.timeout_s, max(1.0, lease_s / 4)))
        self._ask = ask
        self._single = not (options.threads or options.async_concurrency)
        self.store: SupervisorStore = open_supervisor_store(self.settings)
        self.children: dict[int, _Charge] = {}  # by the board's number
        self.leases = Leases(
            self.store,
            lambda: [(child.board, child.watch) for child in self.children.values()],
            self._end,
            options.fence_after_s or lease_s,
        )
        self.on_time: dict[str, dict[str, RoleOnTime]] = {}  # by shard, and by what is said when there is work
        for tag in app.settings.tags:
            declared = Declared.on_shard(tag, app.settings.tags, app.label, schedules, loaded)
            self.on_time[tag] = {
                "due": Promoter(self.store, tag),
                "limit": Limiter(self.store, tag),
                "unfold": Unfolder(self.store, tag),
                "schedule": Scheduler(self.store, tag, self.settings, declared),
            }
        self.revocations = Revocations(self.store, lambda: [child.board for child in self.children.values()])
        self.janitors = [Janitor(self.store, tag) for tag in app.settings.tags]
        self.reclaimers = [Reclaimer(self.store, self.settings, tag) for tag in app.settings.tags]
        started = time.time()
        about = {
            "app": app.label,
            "host": socket.gethostname(),
            "pid": os.getppid(),
            "queues": list(options.filter.queues),
            "queue_mode": options.filter.mode,
            "started": round(started * 1000),
        }
        self.registries = [Registry(self.store, tag, worker, lambda: self._about(about)) for tag in app.settings.tags]

    def born(self, board: Board, pid: int) -> None:
        """Look after a child from now on."""
        enforcer = Enforcer(
            self.store,
            self.settings,
            board,
            single=self._single,
            interrupt=lambda: self._ask("interrupt", pid, ""),
            retire=lambda why: self._ask("retire", pid, why),
            kill=lambda why: self._ask("kill", pid, why),
        )
        self.children[board.number] = _Charge(board, pid, Watch(self.store, board), enforcer)

    def _end(self, board: Board, why: str) -> None:
        if (child := self.children.get(board.number)) is not None:  # else it ended while we asked the store
            self._ask("kill", child.pid, why)

    def _about(self, fixed: dict[str, Any]) -> dict[str, Any]:
        done = [child.board.counts() for child in self.children.values()]
        return fixed | {
            "children": len(self.children),
            "finished": sum(attempts for attempts, _ in done),
            "busy_ms": sum(spent for _, spent in done) // 1_000_000,
        }


class Keeper:
    """All roles of one worker."""

    def __init__(
        self,
        apps: list[tuple[Application, WorkerOptions]],
        boards: list[Board],
        worker: str,
        control: socket.socket,
        shared: memoryview,
        schedules: list[Sequence[Definition]],
    ) -> None:
        self._boards = boards
        self._control = control
        self._alive, loaded = shared[:1], shared[1:]
        self._wards = []
        for (app, options), declared in zip(apps, schedules, strict=True):
            self._wards.append(_Ward(app, options, worker, self._ask, declared, loaded))
            loaded = loaded[len(app.settings.tags) :]
        self._stopping = False
        self._ended = asyncio.Event()
        self._away_since = 0.0
        self._tasks: set[asyncio.Task[None]] = set()
        self._looking: set[int] = set()
        self._enforcing: set[int] = set()
        self._clearing: set[int] = set()
        self._writer: asyncio.StreamWriter | None = None

    async def main(self) -> None:
        """Work until the supervisor says that all children are gone, or closes the line."""
        reader, self._writer = await asyncio.open_connection(sock=self._control)
        for ward in self._wards:
            lease_s = ward.settings.lease_s
            self._spawn(self._every(ward.leases.run_once, lease_s / 3))
            self._spawn(self._fence(ward.leases, min(1.0, lease_s / 10)))
            for registry in ward.registries:
                self._spawn(self._every(registry.run_once, min(5.0, lease_s / 6)))
            for reclaimer in ward.reclaimers:
                self._spawn(self._every(reclaimer.run_once, min(2.0, lease_s / 4)))
            for janitor in ward.janitors:
                self._spawn(self._every(janitor.run_once, JANITOR_S))
            for role in (role for roles in ward.on_time.values() for role in roles.values()):
                self._spawn(self._on_time(role))
            self._spawn(self._revoke(ward.revocations))
            self._spawn(self._every(ward.revocations.look, lease_s / 3))
            self._spawn(self._listen(ward))
        self._spawn(self._look())
        async for line in reader:
            self._told(json.loads(line))
            if self._ended.is_set():
                break
        while self._clearing:  # noqa: ASYNC110 - at most some ticks, once, at the end
            await asyncio.sleep(TICK_S)
        for ward in self._wards:
            for registry in ward.registries:
                await self._tried(registry.leave())

    # -- the supervisor ------------------------------------------------------------------------------------

    def _told(self, message: dict[str, Any]) -> None:
        match message["op"]:
            case "born":
                self._wards[message["app"]].born(self._boards[message["board"]], message["pid"])
            case "died":
                self._spawn(self._clear_up(message))
            case "stop":
                self._stopping = True
            case "end":
                self._ended.set()
            case other:
                logger.error("the supervisor sent an unknown message: %r", other)

    def _say(self, **message: Any) -> None:
        assert self._writer is not None
        self._writer.write(json.dumps(message).encode() + b"\n")

    def _ask(self, what: str, pid: int, why: str) -> None:
        self._say(op=what, pid=pid, why=why)

    async def _clear_up(self, message: dict[str, Any]) -> None:
        ward, board = self._wards[message["app"]], self._boards[message["board"]]
        ward.children.pop(board.number, None)
        self._clearing.add(board.number)
        aftermath = Aftermath(
            ward.store, ward.settings, board, message["pid"], message["how"], charged=message["charged"]
        )
        try:
            while not await self._tried(aftermath.run_once()):
                if self._ended.is_set():
                    break  # the leases will run out by themselves
                await asyncio.sleep(0.2)
        finally:
            self._clearing.discard(board.number)
        self._say(op="free", board=board.number)

    # -- roles ---------------------------------------------------------------------------------------

    async def _look(self) -> None:
        """Look at all boards, every tick; a slow store delays only the board it was asked for."""
        while True:
            self._alive[0] = time.monotonic_ns()
            for ward in self._wards:
                for child in ward.children.values():
                    self._look_at(child)
            await asyncio.sleep(TICK_S)

    def _look_at(self, child: _Charge) -> None:
        number = child.board.number
        wanted = number not in self._looking and child.watch.wants_look(stopping=self._stopping)
        if wanted:
            self._alone(self._looking, number, child.watch.run_once(stopping=self._stopping))
        slots = child.enforcer.look()
        if slots and number not in self._enforcing:
            self._alone(self._enforcing, number, child.enforcer.run_once(slots))

    def _alone(self, busy: set[int], number: int, work: Coroutine[Any, Any, Any]) -> None:
        """Do this for a board beside all else, while ``busy`` says that it is being done."""

        async def do() -> None:
            try:
                await self._tried(work)
            finally:
                busy.discard(number)

        busy.add(number)
        self._spawn(do())

    async def _on_time(self, role: RoleOnTime) -> None:
        while True:
            if not await self._tried(role.run_once()):
                role.next_s = 0.5
            await role.sleep()

    async def _revoke(self, revocations: Revocations) -> None:
        while True:
            await self._tried(revocations.run_once())
            await revocations.sleep()

    async def _listen(self, ward: _Ward) -> None:
        while True:
            try:
                async for tag, text in ward.store.listen():
                    if text.startswith("revoke "):
                        ward.revocations.heard(tag, text)
                        continue
                    if not tag:
                        self._spawn(self._tried(ward.revocations.look()))  # news may have been missed
                        for roles in ward.on_time.values():
                            for role in roles.values():
                                role.wake()
                    elif (role_told := ward.on_time[tag].get(text.partition(" ")[0])) is not None:
                        role_told.wake()
            except (StoreError, OSError) as error:
                self._away(error)
            await asyncio.sleep(0.2 + random.random())  # noqa: S311 - jitter

    async def _fence(self, leases: Leases, interval_s: float) -> None:
        """Needs no store, and tells nothing of whether it can be reached."""
        while True:
            leases.check_fence()
            await asyncio.sleep(interval_s)

    async def _every(self, run_once: Callable[[], Awaitable[Any]], interval_s: float) -> None:
        while True:
            if not await self._tried(run_once()):
                await asyncio.sleep(min(interval_s, 1.0))  # soon again: leases run out meanwhile
                continue
            await asyncio.sleep(interval_s * (0.8 + 0.4 * random.random()))  # noqa: S311 - jitter

    async def _tried(self, work: Awaitable[Any]) -> bool:
        """Await a role's work; log once when the store goes away, once when it is back."""
        try:
            await work
        except (StoreError, OSError) as error:
            self._away(error)
            return False
        except Exception:
            logger.exception("a background role failed; it is tried again")
            return False
        if self._away_since:
            logger.info("the keeper reaches the store again after %.1f s", time.monotonic() - self._away_since)
            self._away_since = 0.0
        return True

    def _away(self, error: Exception) -> None:
        if not self._away_since:
            self._away_since = time.monotonic()
            logger.warning("the keeper does not reach the store: %s", error)

    def _spawn(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def run_keeper(
    apps: list[tuple[Application, WorkerOptions]],
    boards: list[Board],
    worker: str,
    control: socket.socket,
    shared: memoryview,
    schedules: list[Sequence[Definition]],
    parent_pid: int,
) -> int:
    """Live as the keeper; return the exit status. Called right after the fork.

    ``shared`` is memory of the supervisor and all its keepers: where to give signs of life, then a place for each shard
    of each app, see `Declared`. ``schedules``: what each app's code declares.
    """
    die_with_parent(parent_pid)
    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)  # the supervisor says when to end
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)
    signal.set_wakeup_fd(-1)
    asyncio.run(Keeper(apps, boards, worker, control, shared, schedules).main())
    return 0
