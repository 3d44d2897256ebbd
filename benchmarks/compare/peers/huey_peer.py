"""Huey with results that expire."""

from __future__ import annotations

from typing import Any

from huey import RedisExpireHuey

from compare import peer

huey = RedisExpireHuey("compare", url=peer.URL, expire_time=peer.KEEP_S)
TASKS = {work.__name__: huey.task()(work) for work in (peer.noop, peer.take, peer.now)}


class System(peer.Peer):
    """A consumer for each process."""

    counter = peer.Counter(("DBSIZE",))

    async def enqueue(self, task: str, *args: Any) -> Any:
        return TASKS[task](*args)

    async def result(self, handle: Any, timeout_s: float) -> Any:
        return await self.poll(lambda: handle.get(preserve=True), timeout_s)

    def worker(self, processes: int) -> list[list[str]]:
        command = ["-m", "huey.bin.huey_consumer", f"{__name__}.huey", "--worker-type", "thread", "--workers", "4"]
        return [[*command, "--no-periodic", "--quiet"]] * processes
