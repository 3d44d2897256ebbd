"""streaQ."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from streaq import Worker

from compare import peer

worker: Any = Worker(redis_url=peer.URL.removesuffix("/0"), concurrency=64)


@worker.task(ttl=peer.KEEP_S)
async def noop() -> int:
    return peer.noop()


@worker.task(ttl=peer.KEEP_S)
async def take(text: str) -> int:
    return peer.take(text)


@worker.task(ttl=peer.KEEP_S)
async def now() -> float:
    return peer.now()


TASKS: dict[str, Any] = {"noop": noop, "take": take, "now": now}


class System(peer.AsyncPeer):
    """Coroutine tasks in processes of one event loop each."""

    counter = peer.Counter(("ZCARD", "streaq:default:index:results"))
    has_many = True

    async def start(self) -> None:
        if not hasattr(self, "open"):
            self.open = await worker.__aenter__()

    async def enqueue(self, task: str, *args: Any) -> Any:
        return await TASKS[task].enqueue(*args)

    async def enqueue_many(self, task: str, calls: Sequence[tuple[Any, ...]]) -> Sequence[Any]:
        tasks = [TASKS[task].enqueue(*args) for args in calls]
        for start in range(0, len(tasks), 1000):
            await worker.enqueue_many(tasks[start : start + 1000])
        return tasks

    async def result(self, handle: Any, timeout_s: float) -> Any:
        return (await handle.result(timeout=int(timeout_s))).result

    def worker(self, processes: int) -> list[list[str]]:
        return [["-m", "streaq", "run", f"{__name__}:worker", "--workers", str(processes)]]
