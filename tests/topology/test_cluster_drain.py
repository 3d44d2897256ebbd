"""How fast a Cluster of three masters is drained, next to a single server in the same run."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from streamtasks import StreamTasks
from tests.support.servers import server_kinds, start_server
from tests.support.waiting import DEADLINE_S, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = [pytest.mark.topology, pytest.mark.timing]

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
TASKS = 20_000


def drain(url: str) -> float:
    """Return how many tasks a second two children finish, from the first to the last tenth."""
    environment = os.environ | {"PYTHONPATH": str(BENCHMARKS), "STREAMTASKS_BENCHMARK_URL": url}
    app = StreamTasks(url, timeout_s=DEADLINE_S, enqueue_timeout_s=DEADLINE_S)
    noop = app.task(name="bench_tasks.noop")(lambda: None)
    for _ in range(TASKS // 1000):
        noop.enqueue_many([()] * 1000)
    command = [sys.executable, "-m", "streamtasks_workers", "--app", "bench_tasks:app", "--concurrency", "2"]
    worker = subprocess.Popen([*command, "--log-level", "WARNING"], env=environment)
    try:

        def left() -> int:
            return app.store.statistics().unfinished

        wait_until(lambda: left() < TASKS * 0.9, "the first tenth is done")
        first, begun = left(), time.perf_counter()
        wait_until(lambda: left() < TASKS * 0.1, "only a tenth is left")
        return (first - left()) / (time.perf_counter() - begun)
    finally:
        worker.terminate()
        worker.wait(DEADLINE_S)


def test_three_masters_are_drained_nearly_as_fast_as_one_server(
    cluster_url: str, figure: Callable[[str], None]
) -> None:
    spread_url = cluster_url.replace("redis://", "redis+cluster://").removesuffix("/0")
    single = start_server(server_kinds()[0])
    try:
        alone, spread = [], []
        for _ in range(2):
            alone.append(drain(single.url))
            spread.append(drain(spread_url))
    finally:
        single.stop()
    figure(f"two children: {max(alone):,.0f} tasks/s from one server, {max(spread):,.0f} from three masters")
    assert max(spread) >= 0.6 * max(alone)
