"""kill -9 of every kind of process, and what it costs."""

from __future__ import annotations

import itertools
import signal
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from streamtasks import State, wait_for
from streamtasks.exceptions import WorkerCrashed
from tests.process.test_executors import EXECUTORS
from tests.support.fleet import Fleet
from tests.support.waiting import wait_until
from tests.support.worker_process import is_alive, kill


@pytest.mark.parametrize("executor", EXECUTORS)
def test_what_a_killed_child_ran_runs_again_within_a_second(
    fleet: Fleet, executor: str, figure: Callable[[str], None], bound: Callable[[float], float]
) -> None:
    worker = fleet.start("--concurrency", "2", *EXECUTORS[executor])
    names = ["anap"] * 4 if executor == "async" else ["nap"] * 4
    results = [fleet.enqueue(name, 0.4) for name in names]
    victim = fleet.record.wait_started(results[0]).pid
    kill(victim, signal.SIGSTOP)  # so that nothing ends or begins between this look and the kill
    running = {e.id for e in fleet.record.executions() if e.pid == victim and not e.ended}
    killed = time.monotonic()
    kill(victim)
    again = [fleet.record.wait_started(task_id, times=2) for task_id in running]
    assert wait_for(results, timeout=60)
    recovery = max(e.started for e in again) - killed
    figure(f"{len(running)} running again {recovery * 1e3:.0f} ms after the kill")
    assert recovery < bound(1.0)
    for result in results:
        # A start counts even if the child was stopped before the task's first line.
        times, attempts = len(fleet.record.of(result)), result.attempts
        assert times <= attempts <= 2
        assert result.id not in running or times == 2
        assert [report["kind"] for report in result.snapshot().reports] == ["CRASH"] * (attempts - 1)
    wait_until(lambda: len(worker.pids().children) == 2, "the child is replaced")
    assert fleet.totals()["SUCCESS"] == 4


@pytest.mark.parametrize("name", ["die_by_signal", "die_by_exit"])
def test_crashes_are_counted_and_delayed_and_end_in_a_dead_letter(
    fleet: Fleet, name: str, figure: Callable[[str], None], bound: Callable[[float], float]
) -> None:
    fleet.configure(crash_delay_s=1.0)
    fleet.start("--concurrency", "1")
    poison = fleet.enqueue(name, *([0] if name == "die_by_exit" else []))
    neighbours = [fleet.enqueue("add", n, 1) for n in range(20)]
    assert wait_for([poison, *neighbours], timeout=60)
    starts = [e.started for e in fleet.record.of(poison)]
    first, second = (after - before for before, after in itertools.pairwise(starts))
    figure(f"run again after {first * 1e3:.0f} ms and, with a delay of 1 s, after {second * 1e3:.0f} ms")
    assert len(starts) == 3
    assert first < bound(1.0)
    assert 1.0 <= second < bound(2.5)
    assert (poison.state, poison.attempts) == (State.DEAD, 3)
    with pytest.raises(WorkerCrashed, match=r"signal 9|exit status 0"):
        poison.get(0)
    assert [report["kind"] for report in poison.snapshot().reports] == ["CRASH", "CRASH"]
    letters: Any = fleet.client.xrange(fleet.keys.dead)
    [(_, letter)] = letters
    assert (letter["reason"], letter["id"]) == ("crashed", poison.id)
    for result in neighbours:
        assert (result.state, result.attempts, len(fleet.record.of(result))) == (State.SUCCESS, 1, 1)


def test_poison_harms_nobody_else(fleet: Fleet, figure: Callable[[str], None]) -> None:
    fleet.configure(crash_delay_s=0.3)
    fleet.start("--concurrency", "2")
    messages = [fleet.app.tasks["nap"].message((0.001,), {}) for _ in range(295)]
    for place in (30, 90, 150, 210, 270):
        messages.insert(place, fleet.app.tasks["die_by_signal"].message((), {}))
    began = time.monotonic()
    results = fleet.app.enqueue(messages)
    assert wait_for(results, timeout=60), f"{fleet.unfinished()} are not finished"
    figure(f"5 poisons among 300 tasks, 15 crashes: all settled in {time.monotonic() - began:.1f} s")
    times = Counter(e.id for e in fleet.record.executions())
    for message, result in zip(messages, results, strict=True):
        if message.task == "die_by_signal":
            assert (result.state, result.attempts, times[result.id]) == (State.DEAD, 3, 3)
        else:
            assert (result.state, result.attempts, times[result.id]) == (State.SUCCESS, 1, 1)
    assert fleet.totals() == {"SUCCESS": 295, "DEAD": 5, "CRASH": 10}
    # A claim of a dead child that is left keeps the other suspects waiting until its lease ends.
    wait_until(lambda: not fleet.client.zcard(fleet.keys.leases), "no claim is left of the children that died")
    [suspect] = fleet.client.keys(fleet.keys.suspect("*"))
    consumer, _, sequence = str(fleet.client.get(suspect)).partition("#")
    assert fleet.client.get(fleet.keys.claim(consumer)) == f"{sequence} void", "nothing was claimed ahead of a suspect"


def test_poison_does_not_take_its_neighbours_in_the_same_child_with_it(fleet: Fleet) -> None:
    fleet.configure(crash_delay_s=0.2)
    fleet.start("--concurrency", "1", "--threads", "8")
    fleet.wait_idle(1)
    messages = [fleet.app.tasks["nap"].message((0.5,), {}) for _ in range(6)]
    messages.insert(3, fleet.app.tasks["die_by_signal"].message((), {}))
    results = fleet.app.enqueue(messages)
    poison = results.pop(3)
    assert wait_for([poison, *results], timeout=60)
    assert poison.state == State.DEAD
    assert Counter(result.state for result in results) == {State.SUCCESS: 6}


def test_a_killed_keeper_is_replaced_and_running_work_unharmed(fleet: Fleet, figure: Callable[[str], None]) -> None:
    fleet.configure(lease_s=4.0)
    worker = fleet.start("--concurrency", "2")
    gate = fleet.gate()
    results = [fleet.enqueue("nap_until", gate.path), fleet.enqueue("hold_gil_until", gate.path)]
    for result in results:
        fleet.record.wait_started(result)
    before = worker.pids()
    assert before.keeper is not None

    def soonest() -> float:
        leases: Any = fleet.client.zrange(fleet.keys.leases, 0, 0, withscores=True)
        return float(leases[0][1])

    begun = soonest()
    for _ in range(3):
        keeper = wait_until(lambda: worker.pids().keeper or 0, "there is a keeper")
        killed, expires = time.monotonic(), soonest()
        kill(keeper)
        wait_until(lambda: worker.pids().keeper not in (None, keeper), "the keeper is replaced")  # noqa: B023
        figure(f"another keeper after {(time.monotonic() - killed) * 1e3:.0f} ms")
        wait_until(lambda: soonest() > expires, "the new keeper renews the leases")  # noqa: B023
    wait_until(lambda: fleet.client.time()[0] * 1000 > begun, "they last longer than the lease of their claims")
    gate.open()
    late = fleet.enqueue("add", 1, 2)
    assert wait_for([*results, late], timeout=60)
    for result in results:
        assert (result.state, result.attempts, len(fleet.record.of(result))) == (State.SUCCESS, 1, 1)
    assert worker.pids().children == before.children


def test_a_child_that_dies_with_its_keeper_is_cleared_up_by_the_next_one(
    fleet: Fleet, bound: Callable[[float], float]
) -> None:
    worker = fleet.start("--concurrency", "1")
    gate = fleet.gate()
    result = fleet.enqueue("nap_until", gate.path)
    child = fleet.record.wait_started(result).pid
    keeper = worker.pids().keeper
    assert keeper is not None
    kill(keeper)
    kill(child)
    killed = time.monotonic()
    again = fleet.record.wait_started(result, times=2)
    assert again.started - killed < bound(1.5)
    gate.open()
    assert wait_for([result], timeout=60)
    assert (result.state, result.attempts) == (State.SUCCESS, 2)


def test_nothing_outlives_a_killed_root_and_another_worker_takes_over(
    fleet: Fleet, figure: Callable[[str], None], bound: Callable[[float], float]
) -> None:
    fleet.configure(lease_s=2.0)
    first = fleet.start("--concurrency", "2")
    gate = fleet.gate()
    results = [fleet.enqueue("nap_until", gate.path, 1.0) for _ in range(2)]
    starts = [fleet.record.wait_started(result) for result in results]
    # A suspect is alone in its child, also in one that runs many at once. It is not fenced: a busy machine may keep a
    # keeper from renewing for a lease.
    fleet.start("--concurrency", "1", "--threads", "8", "--fence-after", "60")
    everyone = first.all_pids()
    killed = time.monotonic()
    kill(first.process.pid)
    wait_until(lambda: not any(is_alive(pid) for pid in everyone), "no orphans")
    figure(f"no process left after {(time.monotonic() - killed) * 1e3:.0f} ms")
    gate.open()
    quick = [fleet.enqueue("nap", 0.02) for _ in range(30)]
    again = [fleet.record.wait_started(result, times=2) for result in results]
    recovery = max(e.started for e in again) - killed
    assert wait_for([*results, *quick], timeout=60)
    figure(f"tasks of the killed worker ran again after {recovery:.2f} s (lease 2 s; the two of them one by one)")
    assert recovery <= bound(2.0 + 5.0 + 1.0)
    executions = fleet.record.executions()
    for result, start in zip(results, starts, strict=True):
        runs = fleet.record.of(result)
        assert runs[0].pid == start.pid
        assert (len(runs), result.attempts, result.state) == (2, 2, State.SUCCESS)
        assert [report["kind"] for report in result.snapshot().reports] == ["LOST"]
        second = runs[1]
        beside = [
            e
            for e in executions
            if e.pid == second.pid and e.id != result.id and e.started < second.ended and e.ended > second.started
        ]
        assert not beside, "a suspect was not alone"


def test_a_child_ended_with_sigterm_by_somebody_else_is_replaced(fleet: Fleet) -> None:
    worker = fleet.start("--concurrency", "1")
    result = fleet.enqueue("nap", 0.5)
    child = fleet.record.wait_started(result).pid
    kill(child, signal.SIGTERM)
    assert wait_for([result], timeout=60)
    assert len(fleet.record.of(result)) == 1
    assert fleet.enqueue("add", 1, 2).get(timeout=60) == 3
    assert worker.pids().children != [child]
