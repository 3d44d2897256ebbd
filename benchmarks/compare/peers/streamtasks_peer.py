"""streamtasks without Django."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from compare import peer
from streamtasks import StreamTasks

app = StreamTasks(peer.URL)
TASKS = {work.__name__: app.task(work) for work in (peer.noop, peer.take, peer.now)}


class System(peer.Peer):
    """As it comes."""

    has_many = True

    def __init__(self) -> None:
        self.counter = peer.Counter(("HGET", f"{app.settings.key_prefix}{{{app.settings.tags[0]}}}:totals", "SUCCESS"))

    async def enqueue(self, task: str, *args: Any) -> Any:
        return TASKS[task].enqueue(*args)

    async def enqueue_many(self, task: str, calls: Sequence[tuple[Any, ...]]) -> Sequence[Any]:
        return TASKS[task].enqueue_many(calls)

    async def result(self, handle: Any, timeout_s: float) -> Any:
        return handle.get(timeout=timeout_s)

    def worker(self, processes: int) -> list[list[str]]:
        command = ["-m", "streamtasks_workers", "--app", f"{__name__}:app", "--concurrency", str(processes)]
        return [[*command, "--log-level", "WARNING"]]
