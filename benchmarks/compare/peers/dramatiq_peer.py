"""Dramatiq with its Redis broker."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import dramatiq
from dramatiq.brokers.redis import RedisBroker
from dramatiq.results import Results
from dramatiq.results.backends import RedisBackend

from compare import peer

broker = RedisBroker(url=peer.URL)
# redis-py 8 would give up after 5 s, before the timeout of a blocking read of a result.
backend = RedisBackend(url=f"{peer.RESULTS_URL}?socket_timeout=60")
broker.add_middleware(Results(backend=backend, store_results=True, result_ttl=peer.KEEP_S * 1000))
dramatiq.set_broker(broker)
TASKS = {work.__name__: dramatiq.actor(work, actor_name=work.__name__) for work in (peer.noop, peer.take, peer.now)}


class System(peer.Peer):
    """Processes with 8 threads each."""

    counter = peer.Counter(("DBSIZE",), database=1)
    has_many = True

    async def enqueue(self, task: str, *args: Any) -> Any:
        return TASKS[task].send(*args)

    async def enqueue_many(self, task: str, calls: Sequence[tuple[Any, ...]]) -> Sequence[Any]:
        messages = [TASKS[task].message(*args) for args in calls]
        dramatiq.group(messages).run()
        return messages

    async def result(self, handle: Any, timeout_s: float) -> Any:
        return handle.get_result(block=True, timeout=int(timeout_s * 1000))

    def worker(self, processes: int) -> list[list[str]]:
        return [["-m", "dramatiq", __name__, "--processes", str(processes), "--threads", "8"]]
