"""streamtasks as the backend of Django's tasks."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, cast

from compare import peer

os.environ["DJANGO_SETTINGS_MODULE"] = "compare.peers.django_app.settings"


class System(peer.Peer):
    """As it comes."""

    has_many = True

    def __init__(self) -> None:
        import django

        django.setup()
        from django.tasks import default_task_backend

        from compare.peers.django_app.tasks import TASKS

        self.tasks: Any = TASKS
        self.backend = cast("Any", default_task_backend)
        settings = self.backend.store_settings
        self.counter = peer.Counter(("HGET", f"{settings.key_prefix}{{{settings.tags[0]}}}:totals", "SUCCESS"))

    async def enqueue(self, task: str, *args: Any) -> Any:
        return self.tasks[task].enqueue(*args)

    async def enqueue_many(self, task: str, calls: Sequence[tuple[Any, ...]]) -> Sequence[Any]:
        results: Sequence[Any] = self.backend.enqueue_many([(self.tasks[task], args, {}) for args in calls])
        return results

    async def result(self, handle: Any, timeout_s: float) -> Any:
        return handle.get(timeout=timeout_s)

    def worker(self, processes: int) -> list[list[str]]:
        settings = os.environ["DJANGO_SETTINGS_MODULE"]
        return [["-m", "streamtasks_workers", "--settings", settings, "--concurrency", str(processes)]]
