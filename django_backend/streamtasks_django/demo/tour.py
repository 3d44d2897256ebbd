"""``streamtasks demo --once``: every kind of task once, each outcome checked, times shown."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from textwrap import indent
from typing import TYPE_CHECKING, Any, Final

from django.utils import timezone
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from streamtasks import StreamTasksError

from ..framework import TaskResultStatus
from . import tasks
from .rows import progress_of

if TYPE_CHECKING:
    from ..framework import TaskResult
    from .stage import Stage

__all__ = ["Tour"]

QUICK_TASKS: Final = 200
DELAY_S: Final = 1.0
LATE_LIMIT_S: Final = 1.0
RECOVERY_LIMIT_S: Final = 1.0
LIMIT_S: Final = 25.0
"""For the whole tour."""


@dataclass(slots=True)
class Outcome:
    """The outcome of one step.

    Attributes:
        step: its name.
        shown: a short description.
        took_s: from the enqueueing to the end, seconds.
        wrong: the difference from the expected outcome; empty: none.
    """

    step: str
    shown: str = ""
    took_s: float = 0.0
    wrong: list[str] = field(default_factory=list)

    def expect(self, right: object, otherwise: str) -> None:
        """Record an error unless the condition holds."""
        if not right:
            self.wrong.append(otherwise)


class Tour:
    """Run the steps one after the other on a stage."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._console = Console()
        self._ends = time.monotonic() + LIMIT_S

    def run(self) -> int:
        """Run every step and print its outcome; return the exit status: 0 if every outcome is right, else 1."""
        self._console.print("An embedded server, a worker with two children, and ordinary Django tasks.\n")
        began = time.monotonic()
        outcomes = [
            self._do(step, name)
            for name, step in (
                ("quick tasks", self._quick),
                ("a delayed task", self._delayed),
                ("a failing task", self._failing),
                ("a coroutine task", self._coroutine),
                ("a task with progress", self._progress),
                ("a killed child", self._killed),
            )
        ]
        self._console.print()
        self._console.print(_table(outcomes))
        wrong = [f"{outcome.step}: {words}" for outcome in outcomes for words in outcome.wrong]
        for words in wrong:
            self._console.print(Text(f"WRONG  {words}", style="bold red"))
        if wrong:
            self._console.print(Text(f"\nThe worker's last words:\n{self._stage.last_words()}"))
            return 1
        self._console.print(f"\nEvery outcome is right. The tour took {time.monotonic() - began:.1f} s.")
        return 0

    def _do(self, step: Callable[[Outcome], None], name: str) -> Outcome:
        outcome = Outcome(name)
        began = time.monotonic()
        try:
            step(outcome)
        except TimeoutError as error:
            outcome.wrong.append(str(error))
        except StreamTasksError as error:
            outcome.wrong.append(f"{type(error).__name__}: {error}")
        outcome.took_s = time.monotonic() - began
        return outcome

    # -- the steps -----------------------------------------------------------------------------------

    def _quick(self, outcome: Outcome) -> None:
        with self._bar("quick tasks", QUICK_TASKS) as bar:
            began = time.monotonic()
            results = [tasks.square.enqueue(n) for n in range(QUICK_TASKS)]
            enqueued_s = time.monotonic() - began
            self._await(results, lambda done: bar.update(bar.task_ids[0], completed=done))
        right = sum(_value(result) == n * n for n, result in enumerate(results))
        outcome.shown = f"{right} of {QUICK_TASKS} right; all enqueued after {_ms(enqueued_s)}"
        outcome.expect(right == QUICK_TASKS, f"only {right} of {QUICK_TASKS} results are right")
        outcome.expect(all(result.attempts == 1 for result in results), "a task was run more than once")

    def _delayed(self, outcome: Outcome) -> None:
        due = timezone.now() + timedelta(seconds=DELAY_S)
        result = tasks.remind.using(run_after=due).enqueue("It is time.")
        with self._console.status("waiting for the delayed task"):
            self._await([result])
        late_s = (_started(result) - due).total_seconds()
        self._console.print(f"a delayed task  due in {DELAY_S:g} s, started {_ms(late_s)} after that")
        outcome.shown = f"due in {DELAY_S:g} s, started {_ms(late_s)} late"
        outcome.expect(_value(result) == "It is time.", _strange(result))
        outcome.expect(late_s >= 0, f"started {_ms(-late_s)} before it was due")
        outcome.expect(late_s <= LATE_LIMIT_S, f"started {_ms(late_s)} late")

    def _failing(self, outcome: Outcome) -> None:
        result = tasks.divide.enqueue(1, 0)
        self._await([result])
        traceback = result.errors[-1].traceback if result.errors else "(none)"
        self._console.print("a failing task  recorded this traceback:")
        self._console.print(Text(indent(traceback.rstrip(), "    "), style="dim"), soft_wrap=True)
        path = result.errors[-1].exception_class_path if result.errors else "nothing"
        outcome.shown = f"FAILED with {path}"
        outcome.expect(result.status == TaskResultStatus.FAILED, f"it is {result.status}, not FAILED")
        outcome.expect(path == "builtins.ZeroDivisionError", f"the recorded error is {path}")
        outcome.expect("return a / b" in traceback, "the traceback does not show the line that failed")

    def _coroutine(self, outcome: Outcome) -> None:
        result = tasks.fetch_all.enqueue(10, seconds=0.3)
        self._await([result])
        value = _value(result)
        ran_s = (_finished(result) - _started(result)).total_seconds()
        self._console.print(f"a coroutine task  waited for ten answers of 300 ms at once: {_ms(ran_s)}")
        outcome.shown = f"ten waits of 300 ms took {_ms(ran_s)}"
        outcome.expect(value == [f"answer {n}" for n in range(1, 11)], _strange(result))
        outcome.expect(ran_s < 3.0, "its waits were not at once")

    def _progress(self, outcome: Outcome) -> None:
        pages, seen = 20, set()
        result = tasks.report.enqueue(pages, seconds=1.0)
        with self._bar("a task with progress", pages) as bar:
            while not result.is_finished:
                seen.add(progress_of(result.id).get("done"))
                bar.update(bar.task_ids[0], completed=max((done for done in seen if done is not None), default=0))
                self._pause(result)
            bar.update(bar.task_ids[0], completed=pages)
        seen -= {None, 0, pages}
        outcome.shown = f"seen at {len(seen)} places between start and end"
        outcome.expect(result.status == TaskResultStatus.SUCCESSFUL, _strange(result))
        outcome.expect(len(seen) >= 3, "its progress was not visible while it ran")

    def _killed(self, outcome: Outcome) -> None:
        result = tasks.report.enqueue(10, seconds=0.6)
        pid = 0
        while not pid or progress_of(result.id).get("done", 0) < 3:  # it is running and has reported its process
            self._pause(result)
            pid = progress_of(result.id).get("pid", 0)
            if result.is_finished:
                raise TimeoutError("the task had finished before its child could be killed")
        killed_at = timezone.now()
        os.kill(pid, signal.SIGKILL)
        self._await([result])
        recovery_s = (_attempted(result) - killed_at).total_seconds()
        self._console.print(f"a killed child  process {pid}; its task ran again {_ms(recovery_s)} later, elsewhere")
        outcome.shown = f"SIGKILL in mid-task, running again after {_ms(recovery_s)}"
        value = _value(result)
        outcome.expect(isinstance(value, dict) and value["pid"] != pid, _strange(result))
        outcome.expect(result.attempts == 2, f"there were {result.attempts} attempts, not 2")
        outcome.expect(len(set(result.worker_ids)) == 2, "both attempts ran in the same child")
        outcome.expect(0 <= recovery_s < RECOVERY_LIMIT_S, f"its second attempt began {_ms(recovery_s)} after the kill")

    # -- waiting -------------------------------------------------------------------------------------

    def _await(self, results: Sequence[TaskResult[..., Any]], show: Callable[[int], None] | None = None) -> None:
        """Wait until all tasks are finished, and print the number of finished ones."""
        for done, result in enumerate(results):
            if show is not None:
                show(done)
            while not result.is_finished:
                self._pause(result)
        if show is not None:
            show(len(results))

    def _pause(self, result: TaskResult[..., Any]) -> None:
        """Read the present state; wait for a moment if it is not final.

        Raises:
            TimeoutError: the tour takes too long.
            Interrupted: a signal has come.
        """
        self._stage.check()
        result.refresh()
        if time.monotonic() > self._ends:
            raise TimeoutError(f"it is {result.status} and the tour's {LIMIT_S:g} s are over")
        if not result.is_finished:
            self._stage.interrupts.pause(0.01)

    def _bar(self, words: str, total: int) -> Progress:
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        bar = Progress(*columns, console=self._console)
        bar.add_task(words, total=total)
        return bar


def _table(outcomes: Sequence[Outcome]) -> Table:
    table = Table()
    table.add_column("step", no_wrap=True)
    table.add_column("what happened")
    table.add_column("took", justify="right", no_wrap=True)
    table.add_column("outcome", no_wrap=True)
    for outcome in outcomes:
        mark = Text("WRONG", style="bold red") if outcome.wrong else Text("right", style="green")
        table.add_row(outcome.step, outcome.shown, _ms(outcome.took_s), mark)
    return table


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.2f} s"


def _value(result: TaskResult[..., Any]) -> Any:
    """Return the task's return value; None if it failed."""
    return result.return_value if result.status == TaskResultStatus.SUCCESSFUL else None


def _strange(result: TaskResult[..., Any]) -> str:
    """Describe an unexpected outcome."""
    if result.errors:
        return f"it is {result.status}: {result.errors[-1].traceback}"
    return f"it is {result.status} and returned {_value(result)!r}"


def _known(when: datetime | None, what: str) -> datetime:
    if when is None:
        raise StreamTasksError(f"the server does not know {what}")
    return when


def _started(result: TaskResult[..., Any]) -> datetime:
    return _known(result.started_at, "when the task started")


def _attempted(result: TaskResult[..., Any]) -> datetime:
    return _known(result.last_attempted_at, "when the last attempt started")


def _finished(result: TaskResult[..., Any]) -> datetime:
    return _known(result.finished_at, "when the task finished")
