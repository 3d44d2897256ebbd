"""Celery with its Redis transport."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from celery import Celery, group

from compare import peer

app = Celery("compare", broker=peer.URL, backend=peer.RESULTS_URL)
app.conf.update(
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    worker_prefetch_multiplier=64,
    result_expires=peer.KEEP_S,
)
TASKS = {work.__name__: app.task(work, name=work.__name__) for work in (peer.noop, peer.take, peer.now)}


class System(peer.Peer):
    """Prefork, a child for each process."""

    counter = peer.Counter(("DBSIZE",), database=1)
    has_many = True

    async def enqueue(self, task: str, *args: Any) -> Any:
        return TASKS[task].delay(*args)

    async def enqueue_many(self, task: str, calls: Sequence[tuple[Any, ...]]) -> Sequence[Any]:
        results: Sequence[Any] = group(TASKS[task].s(*args) for args in calls).apply_async().results
        return results

    async def result(self, handle: Any, timeout_s: float) -> Any:
        return handle.get(timeout=timeout_s)

    def worker(self, processes: int) -> list[list[str]]:
        command = ["-m", "celery", "-A", __name__, "worker", "--pool", "prefork", "--concurrency", str(processes)]
        return [[*command, "--without-gossip", "--without-mingle", "--loglevel", "WARNING"]]
