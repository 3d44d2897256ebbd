"""The executions that the tasks of the process tests recorded, for all workers of a directory."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from streamtasks.results import Result
from tests.support.appended_file import whole_lines
from tests.support.waiting import wait_until


class Execution(NamedTuple):
    """One started execution; ``ended`` is 0 if it never came to its end. Times are monotonic seconds."""

    id: str
    attempt: int
    pid: int
    started: float
    ended: float
    started_wall: float


class Record:
    """The file in which the tasks of all workers record their executions."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.touch()

    def _lines(self, kinds: str) -> list[list[str]]:
        return [words for line in whole_lines(self.path) if (words := line.split())[0] in kinds]

    def executions(self) -> list[Execution]:
        """All executions, in the order of their starts."""
        started: dict[tuple[str, str, str], list[list[float]]] = {}
        order: list[tuple[tuple[str, str, str], list[float]]] = []
        for kind, task_id, attempt, pid, at, wall in (words[:6] for words in self._lines("SE")):
            key = (task_id, attempt, pid)
            if kind == "S":
                times = [int(at) / 1e9, 0.0, int(wall) / 1e9]
                started.setdefault(key, []).append(times)
                order.append((key, times))
            else:
                started[key][-1][1] = int(at) / 1e9
        return [Execution(k[0], int(k[1]), int(k[2]), *times) for k, times in order]

    def of(self, result: Result[Any] | str) -> list[Execution]:
        """The executions of one message."""
        task_id = result if isinstance(result, str) else result.id
        return [e for e in self.executions() if e.id == task_id]

    def steps(self, result: Result[Any]) -> list[float]:
        """The times of the steps of one message, monotonic seconds."""
        return [int(words[4]) / 1e9 for words in self._lines("P") if words[1] == result.id]

    def steps_by_pid(self, result: Result[Any]) -> list[tuple[int, float]]:
        """The process and the time of each step of one message."""
        return [(int(words[3]), int(words[4]) / 1e9) for words in self._lines("P") if words[1] == result.id]

    def told(self, kind: str) -> list[tuple[str, str]]:
        """The outcomes that middleware (``M``) or hooks (``H``) were called with: id and state."""
        return [(words[1], words[6]) for words in self._lines(kind)]

    def wait_started(self, result: Result[Any] | str, times: int = 1) -> Execution:
        """Wait until a message has started ``times`` times; return that execution."""
        return wait_until(lambda: self.of(result)[times - 1 : times], f"start {times} of task {result}")[0]
