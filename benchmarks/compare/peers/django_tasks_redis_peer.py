"""django-tasks-redis, a backend of Django's tasks."""

from __future__ import annotations

import os
from typing import Any

from compare import peer

os.environ["DJANGO_SETTINGS_MODULE"] = "compare.peers.django_app.settings"
os.environ["COMPARE_DJANGO"] = "django-tasks-redis"


class System(peer.Peer):
    """A worker for each process."""

    def __init__(self) -> None:
        import django

        django.setup()
        from django_tasks_redis.utils import get_status_index_key

        from compare.peers.django_app.tasks import TASKS

        self.tasks: Any = TASKS
        self.counter = peer.Counter(("ZCARD", get_status_index_key("django_tasks", "default", "SUCCESSFUL")))

    async def enqueue(self, task: str, *args: Any) -> Any:
        return self.tasks[task].enqueue(*args)

    async def result(self, handle: Any, timeout_s: float) -> Any:
        def read() -> Any:
            handle.refresh()
            return handle.return_value if handle.is_finished else None

        return await self.poll(read, timeout_s, 0.001)

    def worker(self, processes: int) -> list[list[str]]:
        return [["-m", "django", "run_redis_tasks", "--continuous", "--verbosity", "0"]] * processes
