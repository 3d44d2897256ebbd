"""One reply in thirty is lost after the server has done its work: nothing happens twice, is lost, or is stuck."""

from __future__ import annotations

import asyncio
import random
import threading
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
import redis

from streamtasks import StreamTasks, chord
from streamtasks_workers.testing.embedded import EmbeddedServer
from tests.process.test_executors import EXECUTORS
from tests.support.fleet import Fleet
from tests.support.lossy_proxy import LossyProxy
from tests.support.proxy import Link

pytestmark = pytest.mark.slow

SHARE = 0.03
CALLS = 500
"""Of each producer, one by one."""


class RandomProxy(LossyProxy):
    """Loses a share of all replies, whatever they answer."""

    def __init__(self, port: int, seed: int) -> None:
        super().__init__(port)
        self._random = random.Random(seed)
        self.requests = 0

    def is_lost(self, link: Link, request: bytes) -> bool:
        with self._lock:
            self.requests += 1
            is_lost = self._random.random() < SHARE
            self.lost += is_lost
            return is_lost


def call_often(app: StreamTasks, ids: list[str]) -> None:
    for task_id in ids:
        app.tasks["nap"].apply_async((0.002,), task_id=task_id)


async def acall_often(app: StreamTasks, ids: list[str]) -> None:
    for task_id in ids:
        await app.tasks["anap"].aapply_async((0.002,), task_id=task_id)


@pytest.mark.parametrize("executor", ["inline", "async"])
def test_one_reply_in_thirty_is_lost(
    own_server: Callable[..., EmbeddedServer],
    open_fleet: Callable[[str], Fleet],
    executor: str,
    seed: int,
    figure: Callable[[str], None],
) -> None:
    server = own_server()
    with RandomProxy(server.port, seed) as proxy:
        fleet = open_fleet(proxy.url)
        fleet.configure(timeout_s=60.0, enqueue_timeout_s=60.0)
        fleet.client.close()
        fleet.client = redis.Redis.from_url(server.url, decode_responses=True)
        fleet.start("--concurrency", "2", *EXECUTORS[executor])
        named = [[f"{kind}{n:04}" for n in range(CALLS)] for kind in ("a", "b", "c", "d")]
        threads = [
            *(threading.Thread(target=call_often, args=(fleet.app, ids)) for ids in named[:2]),
            *(threading.Thread(target=lambda ids=ids: asyncio.run(acall_often(fleet.app, ids))) for ids in named[2:]),
        ]
        for thread in threads:
            thread.start()
        many = fleet.many("nap", [(0.001,)] * 500)
        tasks = fleet.app.tasks
        wholes = [
            chord([tasks["give_back"].s(n) for n in range(20)], tasks["give_back"].s()).apply_async() for _ in range(10)
        ]
        for thread in threads:
            thread.join()
        assert all(whole.get(timeout=120) == list(range(20)) for whole in wholes)
        fleet.wait_drained()
        expected = 4 * CALLS + len(many) + 10 * 21
        executions = Counter(one.id for one in fleet.record.executions())
        figure(
            f"{executor}: {proxy.lost} of {proxy.requests} replies lost, {len(executions)} tasks, "
            f"{sum(executions.values()) - len(executions)} further executions"
        )
        assert proxy.lost >= 20
        assert fleet.totals() == {"SUCCESS": expected}
        assert len(executions) == expected, "a message was enqueued twice, or lost"
        assert set(executions.values()) == {1}
        groups: Any = fleet.client.xinfo_groups(fleet.keys.stream("0:default"))
        assert all(group["pending"] == 0 for group in groups)
        fleet.close()
