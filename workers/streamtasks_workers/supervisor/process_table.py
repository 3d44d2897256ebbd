"""The children of a worker: their places and boards, when they are replaced, and how they end."""

from __future__ import annotations

import logging
import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from streamtasks.stores.backoff import Backoff

from ..executor.guards import INTERRUPT
from ..process.board import Board
from ..process.groups import end_group
from .forks import QUICK_S, could_start, send_signal, status_text

__all__ = ["Child", "Place", "ProcessTable"]

logger = logging.getLogger("streamtasks.worker")


@dataclass(slots=True, eq=False)
class Place:
    """Where one child lives: a child that ends is replaced by another one there."""

    app: int
    fill_at: float | None = 0.0  # monotonic seconds; None: a child is there
    backoff: Backoff = field(default_factory=lambda: Backoff(0.4, 5.0, at_once=2))


@dataclass(slots=True, eq=False)
class Child:
    place: Place
    board: Board
    pid: int
    born: float
    killed_because: str = ""
    is_retired: bool = False  # it claims no more, and another child fills its place
    end_at: float = float("inf")  # it is killed then, monotonic seconds

    def stop(self) -> None:
        """Let it claim no more, and end when it has finished what it runs."""
        self.board.request_stop()
        send_signal(self.pid, signal.SIGTERM)

    def kill(self, why: str) -> None:
        """End it at once; what it runs is not charged."""
        if not self.killed_because:
            self.killed_because = why
            send_signal(self.pid, signal.SIGKILL)


class ProcessTable:
    """All children.

    Args:
        places: where children live.
        boards: one for each place, and some for children that are retired and finish their work.
        start: forks a child for a place with a board; returns its pid.
        tell_keeper: sends the keeper a message.
        grace_s: how long a retired child may go on, seconds.
    """

    def __init__(
        self,
        places: Sequence[Place],
        boards: Sequence[Board],
        start: Callable[[Place, Board], int],
        tell_keeper: Callable[[dict[str, Any]], None],
        grace_s: float,
    ) -> None:
        self.children: dict[int, Child] = {}  # by pid
        self.unsettled: dict[int, dict[str, Any]] = {}  # board number -> the message of its child's end
        self._places = places
        self._boards = boards
        self._free_boards = list(boards)
        self._start = start
        self._tell_keeper = tell_keeper
        self._grace_s = grace_s
        self._has_lived = False
        self._fork_backoff = Backoff(0.2, 5.0)

    def fill_places(self) -> None:
        """Start a child wherever one is due; after a failed fork, wait with growing pauses."""
        now = time.monotonic()
        for place in self._places:
            if place.fill_at is None or place.fill_at > now or not self._free_boards:
                continue
            board = self._free_boards[0]
            try:
                pid = self._start(place, board)
            except OSError as error:
                place.fill_at = now + self._fork_backoff.next_s()
                if self._fork_backoff.tries == 1:
                    logger.error("cannot fork a child: %s; trying again until it works", error)  # noqa: TRY400
                continue
            self._fork_backoff.reset()
            del self._free_boards[0]
            place.fill_at = None
            child = self.children[pid] = Child(place, board, pid, now)
            self._tell_keeper(_born(child))

    @property
    def has_lived(self) -> bool:
        """Whether a child lives, or any has lived, for longer than one that cannot start."""
        now = time.monotonic()
        return self._has_lived or any(now - child.born > QUICK_S for child in self.children.values())

    def messages(self) -> Iterator[dict[str, Any]]:
        """Yield all that a new keeper has to know."""
        yield from map(_born, self.children.values())
        yield from self.unsettled.values()

    def ended(self, pid: int, status: int) -> None:
        """Note the end of a child: its place is filled again, its board is settled by the keeper."""
        child = self.children.pop(pid, None)
        if child is None:
            return
        if end_group(pid):
            logger.info("processes that tasks in child %d had started have ended with it", pid)
        text = status_text(status)
        clean = os.WIFEXITED(status) and os.WEXITSTATUS(status) == 0
        if child.killed_because:
            text = f"{text} ({child.killed_because})"
        elif not clean:
            logger.error("child %d ended with %s", pid, text)
        number = child.board.number
        charged = not child.killed_because
        self.unsettled[number] = {
            "op": "died",
            "app": child.place.app,
            "board": number,
            "pid": pid,
            "how": text,
            "charged": charged,
        }
        self._tell_keeper(self.unsettled[number])
        if child.is_retired:
            return  # another one has its place already
        now = time.monotonic()
        # A child that cannot even start must not keep a core busy with forking. One that has claimed could start: the
        # crashes of its tasks are counted.
        _, received, _, _ = child.board.sequences()
        has_started = clean or received or could_start(now - child.born, status)
        if has_started:
            self._has_lived = True
            child.place.backoff.reset()
        child.place.fill_at = now + (0.0 if has_started else child.place.backoff.next_s())

    def obey(self, request: dict[str, Any]) -> None:
        """Do what the keeper asks for; nothing if the child has ended meanwhile.

        ``"free"`` lets the board of an ended child be used again: all that it held is settled. ``"kill"`` ends a child
        at once, ``"retire"`` replaces it and gives it the grace period for its other attempts, ``"replace"`` replaces
        one that has reached its age and lets it finish, ``"interrupt"`` makes it look at its board.
        """
        if request["op"] == "free":
            if self.unsettled.pop(request["board"], None) is not None:
                self._free_boards.append(self._boards[request["board"]])
            return
        child = self.children.get(request["pid"])
        if child is None or child.killed_because:
            return
        match request["op"]:
            case "kill":
                logger.error("ending child %d, %s", child.pid, request["why"])
                child.kill(request["why"])
            case "retire":
                self.retire(child, request["why"], self._grace_s)
            case "replace":
                self.retire(child, request["why"], float("inf"))
            case "interrupt":
                send_signal(child.pid, INTERRUPT)
            case other:
                logger.error("the keeper sent an unknown request: %r", other)

    def retire(self, child: Child, why: str, grace_s: float) -> None:
        """Let a child claim no more and finish what it runs; another one takes its place at once."""
        if not child.is_retired:
            child.place.fill_at = time.monotonic()
        elif child.end_at <= time.monotonic() + grace_s:
            return
        logger.log(
            logging.INFO if grace_s == float("inf") else logging.WARNING, "child %d is replaced, %s", child.pid, why
        )
        child.end_at = min(child.end_at, time.monotonic() + grace_s)
        child.is_retired = True
        child.stop()

    def end_retired(self) -> None:
        """Kill retired children whose grace is over, and the oldest one if its board is needed."""
        now = time.monotonic()
        retired = [c for c in self.children.values() if c.end_at < float("inf") and not c.killed_because]
        for child in retired:
            if child.end_at <= now:
                child.kill("retired, and its grace period is over")
        if retired and not self._free_boards and any(p.fill_at is not None and p.fill_at <= now for p in self._places):
            min(retired, key=lambda child: child.end_at).kill("retired, and its board is needed")

    def terminate(self) -> None:
        """Let all children stop."""
        for child in self.children.values():
            child.stop()

    def kill(self, why: str) -> None:
        """End all children at once."""
        for child in self.children.values():
            child.kill(why)

    def next_event_s(self, *, filling: bool) -> float:
        """Return when `end_retired`, or if ``filling`` `fill_places`, has something to do next, seconds from now."""
        times = [p.fill_at for p in self._places if filling and p.fill_at is not None and self._free_boards]
        times += [child.end_at for child in self.children.values() if not child.killed_because]
        return max(0.0, min(times, default=float("inf")) - time.monotonic())


def _born(child: Child) -> dict[str, Any]:
    return {"op": "born", "app": child.place.app, "board": child.board.number, "pid": child.pid}
