"""The root process: loads the apps once, forks keeper and children, reaps them and relays signals.

It runs no user code after loading, starts no thread and opens no connection, so forking stays safe for as
long as it lives.
"""

from __future__ import annotations

import gc
import json
import logging
import mmap
import os
import re
import secrets
import select
import signal
import socket
import sys
import time
from collections.abc import Callable
from types import FrameType
from typing import Any

from streamtasks.application import Application
from streamtasks.exceptions import ConfigurationError

from ..executor.child import run_child
from ..executor.guards import INTERRUPT
from ..process.board import Board
from ..process.lifeline import STOP_SIGNALS
from ..process.options import WorkerOptions
from .keeper import run_keeper
from .process_table import Child, drain, end, how_it_ended, send_signal

__all__ = ["Root"]

logger = logging.getLogger("streamtasks.worker")

BASE_SLOTS = 224
"""Two batches of 100 and some room."""

KEEPER_SILENCE_S = 5.0


class Root:
    """One worker.

    Args:
        apps: what it serves, with the options for each.
        grace_s: how long running tasks may take after the first SIGTERM, seconds.
    """

    def __init__(self, apps: list[tuple[Application, WorkerOptions]], grace_s: float) -> None:
        self._apps = apps
        self._grace_s = grace_s
        host = re.sub(r"[^A-Za-z0-9_.-]", "-", socket.gethostname())[:60] or "host"
        self.worker = f"{host}-{os.getpid()}-{secrets.token_hex(4)}"
        self._places: list[tuple[int, str]] = []  # (app number, tag) of each child
        for number, (app, options) in enumerate(apps):
            tags = app.settings.tags
            if options.children < len(tags):
                raise ConfigurationError(
                    f"{app.label} has {len(tags)} shards and needs a concurrency of at least that, "
                    f"not {options.children}."
                )
            self._places += [(number, tags[i % len(tags)]) for i in range(options.children)]
        most_at_once = max((max(o.threads, o.async_concurrency) for _, o in apps), default=0)
        slots = BASE_SLOTS + most_at_once
        spare = max(2, len(self._places) // 2)
        self._boards = [Board(number, slots) for number in range(len(self._places) + spare)]
        self._free_boards = list(self._boards)
        self._children: dict[int, Child] = {}  # by pid
        self._unburied: dict[int, dict[str, Any]] = {}  # board number -> what the keeper was told of its end
        self._births = 0
        self._keeper_pid = 0
        self._keeper_born = 0.0
        self._control: socket.socket | None = None
        self._heard = b""
        self._schedules = [app.declared_schedules() for app, _ in apps]
        # Shared with the keepers: the last sign of life of the present one, monotonic ns; then see `run_keeper`.
        self._alive = memoryview(mmap.mmap(-1, 8 + 8 * sum(len(app.settings.tags) for app, _ in apps))).cast("Q")
        self._life_r, self._life_w = os.pipe()
        self._signals: list[int] = []
        self._stopping_since = 0.0
        self._exit_code = 0
        self._looked_at = time.monotonic()
        self._fence_s = min((o.fence_after_s or a.settings.lease_s for a, o in apps), default=30.0)
        self._restart_at: dict[int, float] = {}  # place -> when it may be filled again
        self._quick_deaths: dict[int, int] = {}

    def run(self) -> int:
        """Work until told to stop; return the exit status: 0 after a graceful stop, else 1."""
        wake_r, wake_w = os.pipe()
        os.set_blocking(wake_w, False)
        os.set_blocking(wake_r, False)
        for number in STOP_SIGNALS:
            signal.signal(number, self._on_signal)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(wake_w, warn_on_full_buffer=False)
        gc.collect()
        self._looked_at = time.monotonic()
        gc.freeze()  # what is loaded stays shared with the children
        self._start_keeper()
        for place in range(len(self._places)):
            self._restart_at[place] = 0.0
        logger.info(
            "worker %s: %d children for %s", self.worker, len(self._places), ", ".join(a.label for a, _ in self._apps)
        )
        while True:
            self._notice_standstill()
            self._handle_signals()
            self._reap()
            self._end_retired()
            if self._stopping_since:
                if not self._children:
                    break
                self._enforce_grace()
            else:
                self._fill_places()
            self._check_keeper()
            waiting = [wake_r]
            if self._control is not None:
                waiting.append(self._control.fileno())
            readable, _, _ = select.select(waiting, [], [], self._timeout_s())
            if wake_r in readable:
                drain(wake_r)
            if self._control is not None and self._control.fileno() in readable:
                self._hear()
        self._end_keeper()
        logger.info("worker %s has stopped", self.worker)
        return self._exit_code

    def _notice_standstill(self) -> None:
        """Fence the children off if this very process stood still for longer than the leases live."""
        now = time.monotonic()
        still_s, self._looked_at = now - self._looked_at, now
        if still_s > KEEPER_SILENCE_S:
            self._alive[0] = time.monotonic_ns()  # the keeper stood still as well: hear it first
        if still_s > self._fence_s:
            logger.error("the worker stood still for %.1f s; its leases may have passed to others", still_s)
            self._kill_children(f"fenced: the worker stood still for {still_s:.1f} s")

    # -- signals -------------------------------------------------------------------------------------

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        self._signals.append(number)

    def _handle_signals(self) -> None:
        while self._signals:
            number = self._signals.pop(0)
            if number == signal.SIGQUIT or self._stopping_since:
                logger.warning("stopping now; running tasks are handed back")
                self._exit_code = 1
                self._stopping_since = self._stopping_since or time.monotonic()
                self._tell(op="stop")
                self._kill_children("stopped at once")
            else:
                logger.info("stopping: running tasks may take another %g s", self._grace_s)
                self._stopping_since = time.monotonic()
                self._tell(op="stop")
                for child in self._children.values():
                    send_signal(child.pid, signal.SIGTERM)

    def _enforce_grace(self) -> None:
        if time.monotonic() - self._stopping_since >= self._grace_s:
            self._kill_children("the grace period is over")

    def _kill_children(self, why: str) -> None:
        for child in self._children.values():
            end(child, why)

    def _end_retired(self) -> None:
        """End retired children whose grace is over, and the oldest if its board is needed."""
        retired = [c for c in self._children.values() if c.retired_at and not c.ended_by_us]
        now = time.monotonic()
        for child in retired:
            if now - child.retired_at >= self._grace_s:
                end(child, "retired, and its grace period is over")
        if retired and not self._free_boards and any(at <= now for at in self._restart_at.values()):
            end(min(retired, key=lambda child: child.retired_at), "retired, and its board is needed")

    def _retire(self, child: Child, why: str) -> None:
        """Let a child claim no more and finish what runs in it; another one takes its place at once."""
        if child.retired_at or child.ended_by_us:
            return
        logger.warning("child %d is replaced, %s", child.pid, why)
        child.retired_at = time.monotonic()
        self._restart_at[child.place] = child.retired_at
        send_signal(child.pid, signal.SIGTERM)

    def _timeout_s(self) -> float:
        now = time.monotonic()
        timeout = min(1.0, self._fence_s / 4)
        if self._stopping_since:
            timeout = min(timeout, max(0.0, self._stopping_since + self._grace_s - now))
        elif self._free_boards:
            for at in self._restart_at.values():
                timeout = min(timeout, max(0.0, at - now))
        for child in self._children.values():
            if child.retired_at and not child.ended_by_us:
                timeout = min(timeout, max(0.0, child.retired_at + self._grace_s - now))
        return timeout if self._keeper_pid else min(timeout, 0.05)

    # -- children ------------------------------------------------------------------------------------

    def _fill_places(self) -> None:
        now = time.monotonic()
        for place, at in list(self._restart_at.items()):
            if at <= now and self._free_boards:
                del self._restart_at[place]
                self._start_child(place)

    def _start_child(self, place: int) -> None:
        app_number, tag = self._places[place]
        app, options = self._apps[app_number]
        board = self._free_boards.pop(0)
        self._births += 1
        board.reset(f"{self.worker}-{self._births}", tag, round(app.settings.lease_s * 1e9))
        root = os.getpid()
        pid = self._fork(lambda: run_child(app, options, board, self._life_r, root))
        self._children[pid] = Child(place, app_number, board, pid, time.monotonic())
        self._tell(op="born", app=app_number, board=board.number, pid=pid)

    def _fork(self, live: Callable[[], int]) -> int:
        """Fork a process that does ``live`` and ends; it inherits none of the root's ends of pipes."""
        sys.stdout.flush()
        sys.stderr.flush()
        # A signal that arrives before the new process has its own handlers waits until it unblocks them.
        signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
        pid = os.fork()
        if pid:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)
            return pid
        code = 70
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            os.close(self._life_w)
            if self._control is not None:
                self._control.close()
            code = live()
        except BaseException:
            logger.exception("process %d ends by an error of its own", os.getpid())
        finally:
            logging.shutdown()
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if pid == self._keeper_pid:
                self._keeper_died(status)
            elif pid in self._children:
                self._child_died(self._children.pop(pid), status)

    def _child_died(self, child: Child, status: int) -> None:
        how = how_it_ended(status)
        clean = os.WIFEXITED(status) and os.WEXITSTATUS(status) == 0
        if child.ended_by_us:
            how = f"{how} ({child.ended_by_us})"
        elif not clean:
            logger.error("child %d ended with %s", child.pid, how)
        notice = {
            "op": "died",
            "app": child.app,
            "board": child.board.number,
            "pid": child.pid,
            "how": how,
            "charged": not child.ended_by_us,
        }
        self._unburied[child.board.number] = notice
        self._tell(**notice)
        if child.retired_at:
            return  # another one has its place already
        # A child that cannot even start must not keep a core busy with forking.
        lived = time.monotonic() - child.born
        _, received, _, _ = child.board.sequences()  # one that has claimed could start: its tasks' crashes are counted
        quick = self._quick_deaths.get(child.place, 0) + 1 if lived < 0.5 and not clean and not received else 0
        self._quick_deaths[child.place] = quick
        self._restart_at[child.place] = time.monotonic() + (min(5.0, 0.1 * 2**quick) if quick > 2 else 0.0)

    # -- keeper --------------------------------------------------------------------------------------

    def _start_keeper(self) -> None:
        ours, theirs = socket.socketpair()
        self._alive[0] = time.monotonic_ns()
        root = os.getpid()
        self._control, previous = None, self._control
        if previous is not None:
            previous.close()

        def live() -> int:
            ours.close()
            return run_keeper(self._apps, self._boards, self.worker, theirs, self._alive, self._schedules, root)

        self._keeper_pid = self._fork(live)
        self._keeper_born = time.monotonic()
        theirs.close()
        self._control, self._heard = ours, b""
        for child in self._children.values():
            self._tell(op="born", app=child.app, board=child.board.number, pid=child.pid)
        for notice in self._unburied.values():
            self._tell(**notice)
        if self._stopping_since:
            self._tell(op="stop")

    def _keeper_died(self, status: int) -> None:
        self._keeper_pid = 0
        logger.error("the keeper ended with %s; starting another", how_it_ended(status))
        for child in self._children.values():
            child.board.free_lock()

    def _check_keeper(self) -> None:
        if not self._keeper_pid:
            if time.monotonic() - self._keeper_born < 0.5:
                time.sleep(0.05)  # it died at once: do not fork in a tight loop
            self._start_keeper()
            return
        silent_s = (time.monotonic_ns() - self._alive[0]) / 1e9
        if silent_s > KEEPER_SILENCE_S:
            logger.error("the keeper has been silent for %.1f s; replacing it", silent_s)
            self._alive[0] = time.monotonic_ns()
            send_signal(self._keeper_pid, signal.SIGKILL)

    def _tell(self, **message: Any) -> None:
        if self._control is None:
            return  # the next keeper is told everything anyway
        try:
            self._control.sendall(json.dumps(message).encode() + b"\n")
        except OSError:
            logger.debug("the keeper is gone; the next one is told")

    def _hear(self) -> None:
        assert self._control is not None
        try:
            data = self._control.recv(65536)
        except OSError:
            data = b""
        if not data:
            self._control.close()
            self._control = None
            return
        *lines, self._heard = (self._heard + data).split(b"\n")
        for line in lines:
            self._told(json.loads(line))

    def _told(self, message: dict[str, Any]) -> None:
        """Do what the keeper asks for; about a child that has ended meanwhile there is nothing to do."""
        if message["op"] == "free":
            if self._unburied.pop(message["board"], None) is not None:
                self._free_boards.append(self._boards[message["board"]])
            return
        child = self._children.get(message["pid"])
        if child is None or child.ended_by_us:
            return
        match message["op"]:
            case "kill":
                logger.error("ending child %d, %s", child.pid, message["why"])
                end(child, message["why"])
            case "retire":
                self._retire(child, message["why"])
            case "interrupt":
                send_signal(child.pid, INTERRUPT)
            case other:
                logger.error("the keeper says something unknown: %r", other)

    def _end_keeper(self) -> None:
        """Let the keeper clear up after the last children, for a few seconds at most."""
        deadline = time.monotonic() + 5.0
        while self._unburied and time.monotonic() < deadline:
            self._reap()
            self._check_keeper()
            if self._control is None:
                self._start_keeper()
            elif select.select([self._control.fileno()], [], [], 0.1)[0]:
                self._hear()
        if self._unburied:
            logger.error(
                "the store did not answer; what %d children held is free when its lease ends", len(self._unburied)
            )
            self._exit_code = 1
        self._tell(op="end")
        while self._keeper_pid and time.monotonic() < deadline + 2.0:
            if self._control is not None and select.select([self._control.fileno()], [], [], 0.05)[0]:
                self._hear()
            pid, _ = os.waitpid(self._keeper_pid, os.WNOHANG)
            if pid:
                self._keeper_pid = 0
        if self._keeper_pid:
            send_signal(self._keeper_pid, signal.SIGKILL)
            os.waitpid(self._keeper_pid, 0)
