"""Four producers of short tasks and a worker with four children, while something happens to their server."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Final, NamedTuple

from streamtasks import State
from streamtasks.exceptions import NotDurable
from tests.support.fleet import Fleet
from tests.support.producers import Acknowledged, Producers
from tests.support.waiting import DEADLINE_S, wait_until
from tests.support.worker_process import Pids

__all__ = ["Load", "LoadFigures"]

CHILDREN: Final = 4

LEASE_S: Final = 6.0
"""What a child had claimed by a call that was lost runs after so long."""


class LoadFigures(NamedTuple):
    """What a load went through. ``pause_s``: the longest of a producer, seconds; ``executions``: of all tasks."""

    acknowledged: int
    lost: list[Acknowledged]
    not_durable: int
    pause_s: float
    executions: int

    def __str__(self) -> str:
        return (
            f"{len(self.lost)} of {self.acknowledged:,} lost, pause {self.pause_s:.2f} s, "
            f"{self.not_durable} not durable, {self.executions:,} executions"
        )


class Load:
    """Four producers of short tasks, and a worker with four children; a context manager."""

    def __init__(self, fleet: Fleet, level: str) -> None:
        fleet.configure(timeout_s=60.0, enqueue_timeout_s=60.0, durability=level, durability_timeout_s=3.0)
        fleet.configure(lease_s=LEASE_S)
        self._fleet = fleet
        self._worker = fleet.start("--concurrency", str(CHILDREN))
        self._processes = self._whole()
        self._producers = [Producers(fleet.app, "nap", (0.002,), pause_s=0.0) for _ in range(2)]
        self._stack = ExitStack()

    def __enter__(self) -> Load:
        for each in self._producers:
            self._stack.enter_context(each)
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def acknowledged(self) -> list[Acknowledged]:
        return [one for each in self._producers for one in each.all]

    def wait_for(self, count: int) -> None:
        """Wait until so many are acknowledged in all."""
        wait_until(lambda: len(self.acknowledged) >= count, f"{count} acknowledged", 3 * DEADLINE_S)

    def end(self) -> LoadFigures:
        """Stop producing and wait until everything has its outcome."""
        self._stack.close()
        everything = self.acknowledged
        states: dict[str, State | None] = {one.id: State.QUEUED for one in everything}

        def all_ended() -> bool:
            ids = [task_id for task_id, state in states.items() if state not in {None, State.SUCCESS}]
            for task_id, one in zip(ids, self._fleet.app.store.read(ids), strict=True):
                states[task_id] = None if one is None else one.state
            return all(state in {None, State.SUCCESS} for state in states.values())

        wait_until(all_ended, "every task has ended", 2 * DEADLINE_S)
        assert self._whole() == self._processes, "something was restarted"
        errors = [error for each in self._producers for error in each.errors]
        assert all(isinstance(error, NotDurable) for error in errors), errors
        return LoadFigures(
            acknowledged=len(everything),
            lost=[one for one in everything if states[one.id] is None],
            not_durable=len(errors),
            pause_s=max(pause for each in self._producers for pause in each.longest_pauses_s),
            executions=len(self._fleet.record.executions()),
        )

    def _whole(self) -> Pids:
        def whole() -> Pids | None:
            found = self._worker.pids()
            return found if found.keeper and len(found.children) == CHILDREN else None

        found = wait_until(whole, "the worker is whole")
        assert found is not None
        return found
