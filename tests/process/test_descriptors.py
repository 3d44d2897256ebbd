"""A task leaks file descriptors: its child says so and is replaced; numbers beyond 1023 are fine."""

from __future__ import annotations

import time
from collections.abc import Callable

import psutil
import pytest

from tests.process.test_executors import EXECUTORS
from tests.support.fleet import Fleet
from tests.support.waiting import wait_until

each_executor = pytest.mark.parametrize("executor", ["inline", "threads", "async"])


@each_executor
def test_descriptors_beyond_1023(fleet: Fleet, executor: str) -> None:
    worker = fleet.start("--concurrency", "1", *EXECUTORS[executor])
    children = worker.pids().children
    assert fleet.enqueue("keep_files_open", 1_100).get(timeout=60) == 1_100
    fleet.client.client_kill_filter(_type="normal", skipme=True)
    assert fleet.enqueue("aadd" if executor == "async" else "add", 1, 2).get(timeout=60) == 3
    assert worker.pids().children == children


@pytest.mark.slow
@pytest.mark.outage
@each_executor
def test_a_child_without_descriptors_says_so_and_is_replaced(
    fleet: Fleet, executor: str, figure: Callable[[str], None], bound: Callable[[float], float]
) -> None:
    worker = fleet.start("--concurrency", "1", "--grace", "5", *EXECUTORS[executor])
    children = worker.pids().children
    fleet.enqueue("use_up_descriptors").get(timeout=60)
    wait_until(lambda: psutil.Process(children[0]).rlimit(psutil.RLIMIT_NOFILE)[0] == 8, "no descriptor is left")
    fleet.client.client_kill_filter(_type="normal", skipme=True)
    lost = time.monotonic()
    result = fleet.enqueue("add", 1, 2)
    worker.wait_log("does not reach the store, which the keeper reaches")
    warned_s = time.monotonic() - lost
    assert result.get(timeout=120) == 3
    ran_s = time.monotonic() - lost
    figure(f"{executor}: warned after {warned_s:.1f} s, the next task ran after {ran_s:.1f} s")
    assert "Too many open files" in worker.log
    assert "is replaced, it does not reach the store" in worker.log
    assert warned_s <= bound(8.0)
    assert ran_s <= bound(20.0)
    wait_until(lambda: not set(worker.pids().children) & set(children), "the old child has ended")
