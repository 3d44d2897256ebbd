"""RQ."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from redis import Redis
from rq import Queue

from compare import peer

TASKS = {"noop": peer.noop, "take": peer.take, "now": peer.now}


class System(peer.Peer):
    """A pool of workers that do not fork."""

    counter = peer.Counter(("ZCARD", "rq:finished:default"))
    has_many = True

    def __init__(self) -> None:
        self.queue = Queue(connection=Redis.from_url(peer.URL))

    async def enqueue(self, task: str, *args: Any) -> Any:
        return self.queue.enqueue(TASKS[task], *args, result_ttl=peer.KEEP_S)

    async def enqueue_many(self, task: str, calls: Sequence[tuple[Any, ...]]) -> Sequence[Any]:
        prepare = Queue.prepare_data
        jobs: Sequence[Any] = self.queue.enqueue_many(
            [prepare(TASKS[task], args, result_ttl=peer.KEEP_S) for args in calls]
        )
        return jobs

    async def result(self, handle: Any, timeout_s: float) -> Any:
        found = handle.latest_result(timeout=int(timeout_s))
        if found is None:
            raise TimeoutError(f"no result within {timeout_s} s")
        return found.return_value

    def worker(self, processes: int) -> list[list[str]]:
        command = ["-m", "rq.cli", "worker-pool", "--num-workers", str(processes), "--url", peer.URL]
        return [[*command, "--worker-class", "rq.SimpleWorker", "--logging-level", "WARNING", "default"]]
