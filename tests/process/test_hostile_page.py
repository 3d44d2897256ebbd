"""The page about hostile tasks is true: some of its cells are run again, here as by ``benchmarks/hostile.py``."""

from __future__ import annotations

import pytest

from tests.process.test_executors import each_executor
from tests.support.hostile import (
    BODIES,
    EXECUTORS,
    HostileWorker,
    documented_rows,
    is_as_documented,
    run_body,
    run_together,
)
from tests.support.waiting import DEADLINE_S

SOME = ["read_address_one", "raise_what_cannot_be_touched", "cancel_everything", "use_a_pool", "close_everything"]


def test_the_page_names_every_body_and_executor() -> None:
    documented = documented_rows()
    assert list(documented) == list(BODIES)
    assert {len(cells) for cells in documented.values()} == {len(EXECUTORS) + 1}


@pytest.mark.slow
@each_executor
@pytest.mark.parametrize("name", SOME)
def test_a_hostile_task_ends_as_the_page_says(embedded_url: str, executor: str, name: str) -> None:
    body = BODIES[name]
    cell = run_body(embedded_url, executor, body, stop_s=DEADLINE_S)
    assert cell.innocents.are_allowed(body.harms(executor)), cell
    assert is_as_documented(cell, documented_rows()[name][list(EXECUTORS).index(executor)], body), cell


TOGETHER = ["fork_and_run_on", "exit_the_interpreter", "recurse_for_ever", "stop_the_loop", "arm_a_timer"]


@pytest.mark.slow
@each_executor
def test_hostile_tasks_one_after_the_other_harm_nobody(embedded_url: str, executor: str) -> None:
    bodies = [BODIES[name] for name in TOGETHER]
    innocents, left = run_together(embedded_url, executor, bodies, innocents=100, stop_s=DEADLINE_S)
    assert (innocents.right, left) == (100, []), innocents


def test_an_innocent_with_another_outcome_is_seen(embedded_url: str) -> None:
    with HostileWorker(embedded_url, "inline") as worker:
        failed = worker.fleet.enqueue("fail", "no")
        other = worker.fleet.enqueue("nap", 0.0)
        right = worker.innocents(1)
        worker.wait([failed, other, *right])
        found = worker.judge([failed, other, *right])
    assert (found.right, found.wrong) == (1, ["FAILURE ValueError", "another result"])
    assert not found.are_allowed({"again", "charged"})
