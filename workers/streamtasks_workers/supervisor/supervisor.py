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
from typing import Any

from streamtasks.application import Application

from ..executor.child import run_child
from ..process.board import Board
from ..process.last_error import LastError
from ..process.options import WorkerOptions
from ..process.ready import ready
from ..process.systemd import SystemdNotifier
from ..process.title import set_title
from .forks import fork
from .keeper import run_keeper
from .keeper_link import SILENCE_S, KeeperLink
from .process_table import Place, ProcessTable
from .signals import StopSignals
from .worker_plan import WorkerPlan

__all__ = ["Supervisor"]

logger = logging.getLogger("streamtasks.worker")

SETTLE_S = 5.0
LEAVE_S = 2.0
"""Seconds that the keeper has at the end to settle what the last children left, and then to leave: its store may be
away."""

NOTHING_LIVES_S = 10.0
NOTHING_LIVES_TIMES = 5
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
        self._signals = StopSignals(grace_s)
        self._keeper_error, self._child_error = LastError(), LastError()
        self._keeper = KeeperLink(self._fork_keeper, self._known, self.plan.shared[:1], self._keeper_error)
        places = [Place(number) for number, (_, options) in enumerate(apps) for _ in range(options.children)]
        self._table = ProcessTable(places, self.plan.boards, self._fork_child, self._keeper.send, grace_s)
        self._fence_s = min((o.fence_after_s or a.settings.lease_s for a, o in apps), default=30.0)
        self._began = self._looked_at = time.monotonic()
        self._settle_until = float("inf")
        self._exit_code = 0
        self._systemd = SystemdNotifier()

    def run(self) -> int:
        """Work until a stop signal; return the exit status: 0 after a graceful stop, else 1.

        What fails is tried again for ever, unless no process of this worker has ever lived: then it ends.
        """
        wake_fd = self._signals.install()
        gc.collect()
        gc.freeze()  # what is loaded stays shared with the children
        labels = ", ".join(app.label for app, _ in self.plan.apps)
        set_title("supervisor")
        self._looked_at = time.monotonic()
        self._keeper.check()
        self._table.fill_places()
        logger.info("worker %s: %d children for %s", self.plan.name, len(self._table.children), labels)
        while self._has_work():
            self._wait(wake_fd)
            self._fence_after_standstill()
            if self._signals.changed():
                self._stop()
            self._reap()
            self._table.end_retired()
            if self._signals.grace_left_s <= 0:
                self._table.kill("the grace period is over")
            if self._signals.claims:
                self._table.fill_places()
            self._keeper.check()
            for request in self._keeper.receive():
                self._table.obey(request)
            self._tell_systemd()
            if self._nothing_lives():
                logger.error("no process of this worker can live; see the errors above. It ends")
                return 1
        if self._table.unsettled:
            logger.error(
                "the store did not answer; what %d children held is free when its lease ends",
                len(self._table.unsettled),
            )
            self._exit_code = 1
        self._keeper.end(max(0.0, self._settle_until + LEAVE_S - time.monotonic()))
        self._signals.ignore()
        logger.info("worker %s has stopped", self.plan.name)
        return self._exit_code

    def _has_work(self) -> bool:
        """Whether the worker goes on: at its end the keeper settles what the last children left, if that is quick."""
        if self._table.children or not self._signals.stopping_since:
            return True
        self._settle_until = min(self._settle_until, time.monotonic() + SETTLE_S)
        return bool(self._table.unsettled) and time.monotonic() < self._settle_until

    def _wait(self, wake_fd: int) -> None:
        """Wait for a signal, a message of the keeper, or the next time at which there is something to do."""
        timeout_s = min(
            1.0,
            self._fence_s / 4,
            max(0.02, self._signals.grace_left_s),
            self._keeper.next_event_s(),
            self._table.next_event_s(filling=self._signals.claims),
        )
        fds = [fd for fd in (wake_fd, self._keeper.fileno()) if fd is not None]
        ready(fds, timeout_s)

    def _nothing_lives(self) -> bool:
        return (
            self._keeper.failures >= NOTHING_LIVES_TIMES
            and time.monotonic() - self._began > NOTHING_LIVES_S
            and not (self._keeper.has_lived or self._table.has_lived)
        )

    def _fence_after_standstill(self) -> None:
        """Kill all children if this very process stood still for longer than the leases live."""
        now = time.monotonic()
        still_s, self._looked_at = now - self._looked_at, now
        if still_s > SILENCE_S:
            self._keeper.count_silence_from_now()  # it stood still as well
        if still_s > self._fence_s:
            logger.error("the worker stood still for %.1f s; its leases may have passed to others", still_s)
            self._table.kill(f"fenced: the worker stood still for {still_s:.1f} s")

    def _tell_systemd(self) -> None:
        """Tell that the worker is ready once its processes live, and then that they live on."""
        if self._keeper.has_lived and self._table.has_lived:
            self._systemd.ready()
        if not self._keeper.is_silent:
            self._systemd.alive()

    def _stop(self) -> None:
        self._systemd.stopping()
        self._keeper.send({"op": "stop"})
        if self._signals.at_once:
            self._exit_code = 1
            self._table.kill("stopped at once")
        else:
            self._table.terminate()
            os.write(self._life_w, b"!")  # for those that do not hear signals; after this, none is started
        self._signals.log()

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if pid == self._keeper.pid:
                self._keeper.ended(status)
                for child in self._table.children.values():
                    child.board.free_lock()
            else:
                self._table.ended(pid, status)

    def _known(self) -> list[dict[str, Any]]:
        """Return all that a new keeper has to know."""
        return [*self._table.messages(), *([] if self._signals.claims else [{"op": "stop"}])]

    # -- forks ---------------------------------------------------------------------------------------

    def _fork_child(self, place: Place, board: Board) -> int:
        app, options = self.plan.apps[place.app]
        self._births += 1
        tags = app.settings.tags
        tag = tags[self._births % len(tags)]
        board.reset(f"{self.plan.name}-{self._births}", tag, round(app.settings.lease_s * 1e9))
        parent, table, permit = self.plan.pid, self.plan.tables[place.app], self.plan.permit
        counters = self.plan.counters.boards[board.number] if self.plan.counters else None
        return fork(
            lambda: run_child(app, options, board, self._life_r, parent, table, permit, counters),
            self._close_childs_ends,
            self._child_error,
        )

    def _fork_keeper(self, line: socket.socket) -> int:
        return fork(lambda: run_keeper(self.plan, line), self._close_our_ends, self._keeper_error)

    def _close_childs_ends(self) -> None:
        self._close_our_ends()
        if self.plan.listener is not None:
            self.plan.listener.close()

    def _close_our_ends(self) -> None:
        os.close(self._life_w)
        self._keeper.close()
