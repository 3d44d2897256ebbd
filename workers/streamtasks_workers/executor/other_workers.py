"""Which other workers know a task that this one does not."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from typing import Final

from streamtasks.exceptions import StoreError
from streamtasks.protocol.task_digests import digest
from streamtasks.stores.inspection_types import WorkerInfo

__all__ = ["OtherWorkers"]

logger = logging.getLogger("streamtasks.worker")

KNOWN_S: Final = 2.0
"""The store is asked again after so long, seconds."""


class OtherWorkers:
    """The workers that live, as the store knows them.

    Args:
        read: returns the registered workers; see `Store.workers`.
    """

    def __init__(self, read: Callable[[], Sequence[WorkerInfo]]) -> None:
        self._read = read
        self._known: Sequence[WorkerInfo] = ()
        self._read_at = -KNOWN_S

    def know(self, task: str, queue: str) -> bool:
        """Whether one that serves this queue knows a task. A store that cannot be reached: no."""
        if time.monotonic() - self._read_at >= KNOWN_S:
            try:
                self._known = self._read()
            except StoreError as error:
                logger.debug("the workers that know %s cannot be asked for: %s", task, error)
                return False
            self._read_at = time.monotonic()
        wanted = digest(task)
        return any(
            wanted in worker.about.get("tasks", "").split()
            for worker in self._known
            if worker.is_live and worker.serves(queue)
        )
