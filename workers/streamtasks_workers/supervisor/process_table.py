"""The processes of a worker: their places, the children with their boards, when they are replaced and how they end."""

from __future__ import annotations

import logging
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from streamtasks.stores.backoff import Backoff

from ..executor.guards import INTERRUPT
from ..process.board import Board
from ..process.groups import end_group
from ..process.last_error import LastError
from .forks import QUICK_S, could_start, exit_text, send_signal

__all__ = ["NEVER", "Child", "Place", "ProcessTable"]

logger = logging.getLogger("streamtasks.worker")

NEVER: Final = float("inf")


class Place:
    """Where the keeper lives, or one child.

    Args:
        what: lives there, for the log.
        backoff: pauses after processes that could not start: they must not keep a core busy with forking.
        last_error: of processes of this kind.

    Attributes:
        start_at: when the next process is due, monotonic seconds; `NEVER`: there is one.
    """

    def __init__(self, what: str, backoff: Backoff, last_error: LastError) -> None:
        self.start_at = 0.0
        self._what = what
        self._backoff = backoff
        self._no_room = Backoff(0.2, 5.0)
        self._last_error = last_error
        self._born = NEVER
        self._has_lived = False

    def fill(self, fork: Callable[[], int]) -> int:
        """Fork the process that is due; return its pid, 0 if the system has no room for it now."""
        now = time.monotonic()
        try:
            pid = fork()
        except OSError as error:
            self.start_at = now + self._no_room.next_s()
            if self._last_error.is_new(error):
                logger.error("cannot fork %s: %s; trying again until it works", self._what, error)  # noqa: TRY400
            return 0
        if self._no_room.tries:
            self._no_room.reset()
            self._last_error.forget()
        self._born, self.start_at = now, NEVER
        return pid

    def ended(self, code: int, *, has_worked: bool = False) -> float:
        """Note that the process has ended, or retires; return the pause before the next one, seconds."""
        now, pause_s = time.monotonic(), 0.0
        if has_worked or could_start(now - self._born, code):
            self._has_lived = True
            self._backoff.reset()
        else:
            pause_s = self._backoff.next_s()
        self._born, self.start_at = NEVER, now + pause_s
        return pause_s

    @property
    def has_lived(self) -> bool:
        """Whether a process lives here, or has lived, for longer than one that cannot start."""
        return self._has_lived or time.monotonic() - self._born > QUICK_S

    @property
    def failures(self) -> int:
        """How many processes in a row could not be forked, or could not start."""
        return self._backoff.tries + self._no_room.tries


@dataclass(slots=True, eq=False)
class Child:
    """A child, until the keeper has settled what it held."""

    place: Place | None  # None: it is retired, claims no more, and another child fills its place
    board: Board
    pid: int
    message: dict[str, Any]  # what a keeper has to know of it
    killed_because: str = ""
    end_at: float = NEVER  # it is killed then, monotonic seconds
    outdated: bool = False  # one that knows more is to take its place

    def stop(self, end_at: float) -> None:
        """Let it claim no more, and end when it has finished what it runs, at the latest at ``end_at``."""
        self.end_at = min(self.end_at, end_at)
        self.board.request_stop()
        send_signal(self.pid, signal.SIGTERM)

    def kill(self, why: str) -> None:
        """End it at once; what it runs is not charged."""
        self.end_at = NEVER
        if not self.killed_because:
            self.killed_because = why
            send_signal(self.pid, signal.SIGKILL)


class ProcessTable:
    """All children.

    Args:
        places: where children live, with the app of each.
        boards: one for each place, and some for children that are retired and finish their work.
        fork: forks a child for an app with a board; returns its pid.
        tell_keeper: sends the keeper a message.
        grace_s: how long a retired child, or one of a worker that stops, may go on, seconds.
    """

    def __init__(
        self,
        places: Sequence[tuple[int, Place]],
        boards: Sequence[Board],
        fork: Callable[[int, Board], int],
        tell_keeper: Callable[[dict[str, Any]], None],
        grace_s: float,
    ) -> None:
        self.children: dict[int, Child] = {}  # by pid
        self.unsettled: dict[int, Child] = {}  # those that have ended, by board
        self._places = places
        self._free_boards = list(boards)
        self._fork = fork
        self._tell_keeper = tell_keeper
        self.grace_s = grace_s

    def fill_places(self) -> float:
        """Start a child wherever one is due; return when the next one is, monotonic seconds.

        If no board is left, the retired child that has been given the least time ends for it.
        """
        for app, place in self._places:
            if place.start_at > time.monotonic():
                continue
            if not self._free_boards:
                if retired := [child for child in self.children.values() if child.end_at < NEVER]:
                    min(retired, key=lambda child: child.end_at).kill("retired, and its board is needed")
                return NEVER  # a message of the keeper frees it
            board = self._free_boards[0]
            if pid := place.fill(lambda: self._fork(app, board)):  # noqa: B023 - called at once
                del self._free_boards[0]
                born = {"op": "born", "app": app, "board": board.number, "pid": pid}
                self.children[pid] = Child(place, board, pid, born)
                self._tell_keeper(born)
        return min((place.start_at for _, place in self._places), default=NEVER)

    def outdate(self, app: int) -> None:
        """Let others take the places of all children of an app, see `replace_outdated`."""
        for child in self.children.values():
            child.outdated |= child.message["app"] == app

    def replace_outdated(self) -> None:
        """Replace as many outdated children as there are boards for; they may finish what they run."""
        room = len(self._free_boards) - sum(place.start_at < NEVER for _, place in self._places)
        outdated = [child for child in self.children.values() if child.outdated and child.place is not None]
        for child in outdated[: max(0, room)]:
            self._retire(child, "it does not know all shards", NEVER, logging.INFO)

    @property
    def has_lived(self) -> bool:
        """Whether any child lives, or has lived, for longer than one that cannot start."""
        return any(place.has_lived for _, place in self._places)

    def ended(self, pid: int, code: int) -> None:
        """Note the end of a child: its place is filled again, its board is settled by the keeper."""
        child = self.children.pop(pid, None)
        if child is None:
            return  # not ours: the first process of a container gets the orphans of others
        if end_group(pid):
            logger.info("processes that tasks in child %d had started have ended with it", pid)
        how = exit_text(code)
        if child.killed_because:
            how = f"{how} ({child.killed_because})"
        elif code:
            logger.error("child %d ended with %s", pid, how)
        child.message |= {"op": "died", "how": how, "charged": not child.killed_because}
        self.unsettled[child.board.number] = child
        self._tell_keeper(child.message)
        if child.place is not None:
            # One that has claimed could start, too: the crashes of its tasks are counted.
            _, received, _, _ = child.board.sequences()
            child.place.ended(code, has_worked=not code or received > 0)

    def obey(self, request: dict[str, Any]) -> None:
        """Do what the keeper asks for; nothing if the child has ended meanwhile.

        ``"free"`` lets the board of an ended child be used again: all that it held is settled. ``"kill"`` ends a child
        at once, ``"retire"`` replaces it and gives it the grace period for its other attempts, ``"replace"`` replaces
        one that has reached its age and lets it finish, ``"interrupt"`` makes it look at its board.
        """
        if request["op"] == "free":
            if settled := self.unsettled.pop(request["board"], None):
                self._free_boards.append(settled.board)
            return
        child = self.children.get(request["pid"])
        if child is None or child.killed_because:
            return
        match request["op"]:
            case "kill":
                logger.error("ending child %d, %s", child.pid, request["why"])
                child.kill(request["why"])
            case "retire":
                self._retire(child, request["why"], time.monotonic() + self.grace_s, logging.WARNING)
            case "replace":
                self._retire(child, request["why"], NEVER, logging.INFO)
            case _:  # "interrupt"
                send_signal(child.pid, INTERRUPT)

    def _retire(self, child: Child, why: str, end_at: float, level: int) -> None:
        """Let a child claim no more and finish what it runs; another one takes its place at once."""
        if child.place is not None:
            child.place.ended(0, has_worked=True)
            child.place = None
        elif child.end_at <= end_at:
            return
        logger.log(level, "child %d is replaced, %s", child.pid, why)
        child.stop(end_at)

    def stop(self, grace_s: float) -> None:
        """Let all children claim no more, and end within ``grace_s`` seconds."""
        for child in self.children.values():
            child.stop(time.monotonic() + grace_s)

    def kill(self, why: str) -> None:
        """End all children at once."""
        for child in self.children.values():
            child.kill(why)

    def kill_late(self) -> float:
        """Kill children whose grace period is over; return when the next one's is, monotonic seconds."""
        for child in self.children.values():
            if child.end_at <= time.monotonic():
                child.kill("the grace period is over")
        return min((child.end_at for child in self.children.values()), default=NEVER)
