"""taskiq with the stream broker of taskiq-redis."""

from __future__ import annotations

from typing import Any

from taskiq_redis import RedisAsyncResultBackend, RedisStreamBroker

from compare import peer

broker = RedisStreamBroker(peer.URL, consumer_id="0").with_result_backend(
    RedisAsyncResultBackend(redis_url=peer.RESULTS_URL, result_ex_time=peer.KEEP_S)
)


@broker.task(task_name="noop")
async def noop() -> int:
    return peer.noop()


@broker.task(task_name="take")
async def take(text: str) -> int:
    return peer.take(text)


@broker.task(task_name="now")
async def now() -> float:
    return peer.now()


TASKS: dict[str, Any] = {"noop": noop, "take": take, "now": now}


class System(peer.AsyncPeer):
    """Coroutine tasks in processes of one event loop each."""

    counter = peer.Counter(("DBSIZE",), database=1)

    async def start(self) -> None:
        await broker.startup()

    async def enqueue(self, task: str, *args: Any) -> Any:
        return await TASKS[task].kiq(*args)

    async def result(self, handle: Any, timeout_s: float) -> Any:
        return (await handle.wait_result(check_interval=0.0005, timeout=timeout_s)).return_value

    def worker(self, processes: int) -> list[list[str]]:
        command = ["-m", "taskiq", "worker", f"{__name__}:broker", "--workers", str(processes)]
        return [[*command, "--ack-type", "when_saved", "--max-prefetch", "100", "--log-level", "WARNING"]]
