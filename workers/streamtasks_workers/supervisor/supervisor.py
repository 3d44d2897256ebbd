"""The supervisor process: loads the apps once, forks keeper and children, reaps them and relays signals.

It runs no user code after loading, starts no thread and opens no connection, so forking stays safe for as
long as it lives.
"""

from __future__ import annotations

import gc
import logging
import os
import socket
import time
from contextlib import suppress
from typing import Final

from streamtasks.application import Application
from streamtasks.stores.backoff import Backoff

from ..process.board import Board
from ..process.last_error import LastError
from ..process.options import WorkerOptions
from ..process.ready import ready
from ..process.systemd import SystemdNotifier
from ..process.title import set_title
from .forks import fork
from .keeper import run_keeper
from .keeper_link import LEAVE_S, SILENCE_S, KeeperLink
from .process_table import NEVER, Place, ProcessTable
from .signals import Phase, StopSignals
from .worker_plan import WorkerPlan

__all__ = ["Supervisor"]

logger = logging.getLogger("streamtasks.worker")

SETTLE_S: Final = 5.0
"""Seconds that the keeper has at the end to settle what the last children left, before it leaves: its store may be
away."""

NOTHING_LIVES_S: Final = 10.0
NOTHING_LIVES_TIMES: Final = 5
"""A worker whose keeper failed so often within so long, seconds, ends if no process of it has ever lived."""


class Supervisor:
    """One worker.

    Args:
        apps: what it serves, with the options for each.
        grace_s: how long running tasks may take after the first SIGTERM, seconds.
        listener: where metrics and health are served; None: they are not.
    """

    def __init__(
        self, apps: list[tuple[Application, WorkerOptions]], grace_s: float, listener: socket.socket | None = None
    ) -> None:
        self.plan = WorkerPlan.of(apps, listener)
        self._births = 0
        self._life_r, self._life_w = os.pipe()
        self._signals = StopSignals()
        self._keeper_error, self._child_error = LastError(), LastError()
        self._keeper = KeeperLink(self._fork_keeper, self.plan.shared[:1], self._keeper_error)
        places = [
            (number, Place("a child", Backoff(0.4, 5.0, at_once=2), self._child_error))
            for number, (_, options) in enumerate(apps)
            for _ in range(options.children)
        ]
        self._table = ProcessTable(places, self.plan.boards, self._fork_child, self._keeper.line.send, grace_s)
        self._fence_s = min((o.fence_after_s or a.settings.lease_s for a, o in apps), default=30.0)
        self._began = self._looked_at = time.monotonic()
        self._settle_until = NEVER
        self._exit_code = 0
        self._systemd = SystemdNotifier()

    def run(self) -> int:
        """Work until a stop signal; return the exit status: 0 after a graceful stop, else 1.

        What fails is tried again for ever, unless no process of this worker has ever lived: then it ends.
        """
        self._signals.install()
        gc.collect()
        gc.freeze()  # what is loaded stays shared with the children
        set_title("supervisor")
        self._looked_at = time.monotonic()
        due_at = self._run_once()
        labels = ", ".join(app.label for app, _ in self.plan.apps)
        logger.info("worker %s: %d children for %s", self.plan.name, len(self._table.children), labels)
        while not self._has_ended():
            ready([self._signals.fd, *self._keeper.line.fds], due_at - time.monotonic())
            due_at = self._run_once()
        if held := len(self._table.unsettled):
            logger.error("the store did not answer; what %d children held is free when its lease ends", held)
            self._exit_code = 1
        self._signals.ignore()
        logger.info("worker %s has stopped", self.plan.name)
        return self._exit_code

    def _run_once(self) -> float:
        """Do all that is to be done now; return when to do so again, monotonic seconds, if nothing arrives before."""
        self._fence_after_standstill()
        for phase in self._signals.arrived():
            self._begin(phase)
        self._reap()
        if self._keeper.check():
            for child in (*self._table.children.values(), *self._table.unsettled.values()):
                self._keeper.line.send(child.message)
        for request in self._keeper.line.receive():
            if request["op"] == "grow":
                self._grow(request["app"], tuple(request["tags"]))
            else:
                self._table.obey(request)
        due_at = min(self._table.kill_late(), self._keeper.place.start_at)
        if self._signals.phase == Phase.WORKING:
            self._table.replace_outdated()
            due_at = min(due_at, self._table.fill_places())
        has_started = self._keeper.place.has_lived and self._table.has_lived
        self._systemd.tell(ready=has_started, alive=self._keeper.silent_s <= SILENCE_S)
        return min(due_at, self._looked_at + (0.1 if self._settle_until < NEVER else min(1.0, self._fence_s / 4)))

    def _fence_after_standstill(self) -> None:
        """Kill all children if this very process stood still for longer than the leases live."""
        now = time.monotonic()
        still_s, self._looked_at = now - self._looked_at, now
        if still_s > SILENCE_S:
            self._keeper.count_silence_from_now()  # it stood still as well
        if still_s > self._fence_s:
            logger.error("the worker stood still for %.1f s; its leases may have passed to others", still_s)
            self._table.kill(f"fenced: the worker stood still for {still_s:.1f} s")

    def _begin(self, phase: Phase) -> None:
        """Begin a phase, then log it: a line never comes before what it says."""
        self._systemd.stopping()
        self.plan.shared[1] = phase
        if phase == Phase.AT_ONCE:
            self._exit_code = 1
            self._table.kill("stopped at once")
            logger.warning("stopping now; running tasks are handed back")
            return
        self._table.stop(self._table.grace_s if phase == Phase.STOPPING else NEVER)
        os.write(self._life_w, b"!")  # for children that do not hear signals; after this, none is started
        if phase == Phase.STOPPING:
            logger.info("stopping: running tasks may take another %g s", self._table.grace_s)
        else:
            logger.info("quiet: no more tasks are claimed; SIGTERM stops the worker")

    def _grow(self, number: int, tags: tuple[str, ...]) -> None:
        """Serve more shards of an app from now on: by another keeper, and by children that take over one by one."""
        if self._signals.phase == Phase.WORKING and self.plan.grow(number, tags):
            label = self.plan.apps[number][0].label
            logger.info("the shards of %s are %d now: keeper and children are replaced", label, len(tags))
            self._keeper.replace()
            self._table.outdate(number)

    def _reap(self) -> None:
        with suppress(ChildProcessError):
            while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                pid, code = ended[0], os.waitstatus_to_exitcode(ended[1])
                if pid != self._keeper.pid:
                    self._table.ended(pid, code)
                    continue
                self._keeper.ended(code)
                for child in self._table.children.values():
                    child.board.free_lock()

    def _has_ended(self) -> bool:
        """Whether all has been done: at the end the keeper settles what the last children left, and leaves."""
        if self._table.children or self._signals.phase < Phase.STOPPING:
            return self._nothing_lives()
        self._settle_until = min(self._settle_until, time.monotonic() + SETTLE_S)
        if self._table.unsettled and time.monotonic() < self._settle_until:
            return False
        self._keeper.end(kill_at=self._settle_until + LEAVE_S)
        return not self._keeper.pid

    def _nothing_lives(self) -> bool:
        if (
            self._keeper.place.failures < NOTHING_LIVES_TIMES
            or time.monotonic() - self._began < NOTHING_LIVES_S
            or self._keeper.place.has_lived
            or self._table.has_lived
        ):
            return False
        logger.error("no process of this worker can live; see the errors above. It ends")
        self._exit_code = 1
        return True

    # -- forks ---------------------------------------------------------------------------------------

    def _fork_child(self, app: int, board: Board) -> int:
        settings = self.plan.apps[app][0].settings
        self._births += 1
        tag = settings.tags[self._births % len(settings.tags)]
        board.reset(f"{self.plan.name}-{self._births}", tag, round(settings.lease_s * 1e9))
        return fork(lambda: self.plan.run_child(app, board, self._life_r), self._close_our_ends, self._child_error)

    def _fork_keeper(self, line: socket.socket) -> int:
        return fork(lambda: run_keeper(self.plan, line), self._close_our_ends, self._keeper_error)

    def _close_our_ends(self) -> None:
        os.close(self._life_w)
        self._keeper.line.close()
