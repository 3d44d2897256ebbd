"""Random kill -9 under load: everything is finished, recorded once, and little runs twice."""

from __future__ import annotations

import random
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from typing import Any

import pytest

from streamtasks import Result
from tests.process.test_executors import EXECUTORS
from tests.support.execution_record import Execution
from tests.support.fleet import Fleet
from tests.support.waiting import wait_until
from tests.support.worker_process import Pids, Worker, kill

SAFE_S = 0.020
"""A finished outcome is recorded, or safe with the supervisor, within this time (design rule I5)."""
SLACK_S = 0.030
"""Between the kill as the test sees it and the last line a process wrote; machines are noisy."""


class Killer:
    """Kills processes of several workers, and knows what each kill may cost."""

    def __init__(self, fleet: Fleet, seed: int, workers: list[Worker], start: Callable[[], Worker]) -> None:
        self._field = fleet
        self._random = random.Random(seed)
        self._workers = workers
        self._start = start
        self.killed_children: dict[int, tuple[float, str]] = {}  # pid -> when, and what was killed
        self.kinds: Counter[str] = Counter()
        self._turns = ["child"] * 5 + ["root"] * 3 + ["keeper"] * 2
        self._random.shuffle(self._turns)

    def strike(self) -> None:
        """Kill one process."""
        kind = self._turns[sum(self.kinds.values()) % len(self._turns)]
        worker = self._random.choice(self._workers)
        pids = wait_until(lambda: _whole(worker), "the worker is whole")[0]
        self.kinds[kind] += 1
        if kind == "keeper":
            assert pids.keeper is not None
            kill(pids.keeper)
        elif kind == "child":
            victim = self._random.choice(pids.children)
            self.killed_children[victim] = (time.monotonic(), kind)
            kill(victim)
        else:
            now = time.monotonic()
            kill(worker.process.pid)
            # A child forked since the look dies with its root too.
            self.killed_children |= dict.fromkeys({*pids.children, *worker.pids().children}, (now, kind))
            worker.process.wait()
            self._workers.remove(worker)
            self._workers.append(self._start())

    def allows(self, execution: Execution) -> str:
        """Return why this execution may have been in vain; "" if nothing excuses it."""
        killed, kind = self.killed_children.get(execution.pid, (0.0, ""))
        if not kind:
            return ""
        if not execution.ended:
            return "running"
        since_s = killed - execution.ended
        if kind == "root" and since_s <= SAFE_S + SLACK_S:
            return "just ended"
        # The task's own note of its end comes a moment before its outcome is on the board.
        return "running" if since_s <= SLACK_S else ""


def _whole(worker: Worker) -> list[Pids]:
    pids = worker.pids()
    return [pids] if pids.keeper and len(pids.children) == 2 else []


def _chaos(fleet: Fleet, options: tuple[str, ...], seed: int, tasks: int, kills: int) -> str:
    fleet.configure(lease_s=2.0, crash_limit=50, lost_limit=50, crash_delay_s=0.2)

    def start() -> Worker:
        return fleet.start("--concurrency", "2", *options)

    workers = [start(), start(), start()]
    killer = Killer(fleet, seed, workers, start)
    began = time.monotonic()
    results: list[Result[Any]] = []
    name = "anap" if "--async-concurrency" in options else "nap"
    portion = tasks // (kills + 1)
    for number in range(kills + 1):
        # A portion at a time, so that each kill finds work under way however long a new root takes to start.
        done = len(results) - fleet.unfinished()
        results += fleet.many(name, [(0.005,)] * (portion if number < kills else tasks - kills * portion))
        wait_until(
            lambda: len(results) - fleet.unfinished() >= done + portion // 10,  # noqa: B023
            "work goes on",
        )
        if number < kills:
            killer.strike()
    fleet.wait_drained()
    spent = time.monotonic() - began

    executions = fleet.record.executions()
    by_id: dict[str, list[Execution]] = defaultdict(list)
    for execution in executions:
        by_id[execution.id].append(execution)
    assert set(by_id) == {result.id for result in results}
    assert fleet.totals()["SUCCESS"] == tasks, fleet.totals()
    assert "DEAD" not in fleet.totals()
    recorded_ids: Any = fleet.client.exists(*(fleet.keys.record(result.id) for result in results))
    assert recorded_ids == tasks
    reasons: Counter[str] = Counter()
    unexcused = []
    for runs in by_id.values():
        # All but one of them were in vain; that one is the last that came to its end.
        recorded = max((run for run in runs if run.ended), key=lambda run: run.started)
        for run in runs:
            if run is not recorded:
                reason = killer.allows(run)
                reasons[reason or "no excuse"] += 1
                if not reason:
                    unexcused.append(run)
    extra = len(executions) - tasks
    text = (
        f"seed {seed}: {tasks} tasks, kills {dict(killer.kinds)} in {spent:.1f} s; "
        f"{extra} extra executions: {dict(reasons)}"
    )
    print(text)
    assert not unexcused, f"{text}; {unexcused[:5]}"
    slots = 8 if options else 1
    died_alone = killer.kinds["child"] * slots
    died_with_root = killer.kinds["root"] * 2 * slots
    assert reasons["running"] <= died_alone + died_with_root, text
    return text


def test_kills_of_anything_lose_nothing_and_repeat_little(
    fleet: Fleet, seed: int, figure: Callable[[str], None]
) -> None:
    figure(_chaos(fleet, (), seed, tasks=2000, kills=10))


@pytest.mark.chaos
@pytest.mark.parametrize("turn", range(5))
@pytest.mark.parametrize("executor", EXECUTORS)
def test_many_kills_of_anything_lose_nothing_and_repeat_little(
    fleet: Fleet, executor: str, turn: int, seed: int, figure: Callable[[str], None]
) -> None:
    figure(_chaos(fleet, EXECUTORS[executor], seed + turn, tasks=6000, kills=20))


@pytest.mark.chaos
def test_every_killed_child_is_recovered_within_a_second(fleet: Fleet, figure: Callable[[str], None]) -> None:
    fleet.configure(crash_limit=1000, crash_delay_s=0.0)
    fleet.start("--concurrency", "2")
    fleet.start("--concurrency", "2")
    delays = []
    for _ in range(100):
        result = fleet.enqueue("nap", 0.1)
        first = fleet.record.wait_started(result)
        killed = time.monotonic()
        kill(first.pid)
        delays.append(fleet.record.wait_started(result, times=2).started - killed)
        result.get(timeout=60)
    figure(f"100 kills: running again after p50 {sorted(delays)[50] * 1e3:.0f} ms, max {max(delays) * 1e3:.0f} ms")
    assert max(delays) < 1.0
