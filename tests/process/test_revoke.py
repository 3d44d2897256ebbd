"""Revoking what waits, what is held and what runs, on real workers."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from streamtasks import State, wait_for
from streamtasks.exceptions import TaskRevoked
from streamtasks.stores.types import Revocation
from tests.process.test_executors import EXECUTORS, each_executor
from tests.support.fleet import Fleet
from tests.support.waiting import wait_until

ENDED = {
    ("inline", "nap"): True,
    ("inline", "anap"): True,
    ("inline", "stubborn"): False,
    ("threads", "burn"): False,
    ("threads", "nap"): False,
    ("async", "anap"): True,
    ("async", "astubborn"): False,
}
"""Whether an exception alone ends it, or only that its time is up."""


@pytest.mark.parametrize(("executor", "name"), ENDED)
def test_a_running_task_is_interrupted_then_ended(
    fleet: Fleet, executor: str, name: str, figure: Callable[[str], None], bound: Callable[[float], float]
) -> None:
    worker = fleet.start("--concurrency", "1", "--grace", "3", *EXECUTORS[executor])
    result = fleet.enqueue(name, 120)
    fleet.record.wait_started(result)
    fleet.app.store.revoke(result.id, terminate=True)
    revoked = time.monotonic()
    assert wait_for([result], timeout=60)
    took = time.monotonic() - revoked
    figure(f"ended after {took * 1e3:.0f} ms")
    assert took < bound(0.5 if ENDED[executor, name] else 1.6)
    assert result.state == State.REVOKED
    with pytest.raises(TaskRevoked):
        result.get(0)
    assert fleet.enqueue("add", 1, 2).get(timeout=60) == 3
    wait_until(lambda: len(worker.pids().children) == 1, "one child is left")
    assert fleet.totals() == {"SUCCESS": 1, "REVOKED": 1}


@each_executor
def test_without_terminate_the_body_runs_on_and_its_result_does_not_count(fleet: Fleet, executor: str) -> None:
    fleet.start("--concurrency", "1", *EXECUTORS[executor])
    gate = fleet.gate()
    result = fleet.enqueue("nap_until", gate.path, 0.2)
    fleet.record.wait_started(result)
    wait_until(lambda: result.state == State.STARTED, "its start is known")
    assert fleet.app.store.revoke(result.id) is Revocation.MARKED
    gate.open()
    assert wait_for([result], timeout=60)
    [execution] = fleet.record.of(result)
    assert execution.ended, "it came to its end"
    assert result.state == State.REVOKED


def test_what_a_child_holds_and_has_not_started_is_handed_back_and_ends(fleet: Fleet) -> None:
    worker = fleet.start("--concurrency", "1", "--threads", "2")
    fleet.wait_idle(1)
    gate = fleet.gate()
    long = fleet.many("nap_until", [(gate.path,)] * 2)
    for result in long:
        fleet.record.wait_started(result)
    waiting = fleet.many("add", [(n, 1) for n in range(20)])
    for result in waiting:
        assert fleet.app.store.revoke(result.id) in (Revocation.GONE, Revocation.MARKED)
    assert wait_for(waiting, timeout=60), worker.log
    gate.open()
    assert wait_for(long, timeout=60), worker.log
    assert {result.state for result in waiting} == {State.REVOKED}
    assert {result.state for result in long} == {State.SUCCESS}
    assert all(not fleet.record.of(result) for result in waiting)


def test_a_revocation_whose_news_was_lost_is_found(fleet: Fleet) -> None:
    fleet.configure(lease_s=1.5)
    worker = fleet.start("--concurrency", "1")
    result = fleet.enqueue("nap", 30)
    fleet.record.wait_started(result)
    keeper = worker.pids().keeper
    assert keeper is not None
    fleet.client.client_kill_filter(_type="pubsub")
    fleet.app.store.revoke(result.id, terminate=True)
    assert wait_for([result], timeout=60)
    assert result.state == State.REVOKED


def test_a_finished_task_is_not_touched(fleet: Fleet) -> None:
    fleet.start("--concurrency", "1")
    result = fleet.enqueue("add", 1, 2)
    assert result.get(timeout=60) == 3
    assert fleet.app.store.revoke(result.id, terminate=True) is Revocation.FINISHED
    assert result.get(0) == 3


def test_random_revocations_while_tasks_run_leave_every_one_finished_once(fleet: Fleet) -> None:
    fleet.start("--concurrency", "2")
    results = fleet.many("nap", [(0.005,) for _ in range(400)])
    answers = [fleet.app.store.revoke(result.id, terminate=place % 3 > 0) for place, result in enumerate(results[::2])]
    assert wait_for(results, timeout=60)
    for result, answer in zip(results[::2], answers, strict=True):
        assert result.state == (State.SUCCESS if answer is Revocation.FINISHED else State.REVOKED)
    assert {result.state for result in results[1::2]} == {State.SUCCESS}
    assert max(len(fleet.record.of(result)) for result in results[1::2]) == 1
    assert "CRASH" not in fleet.totals()
