"""Delayed messages, in the order in which they are due."""

from __future__ import annotations

import heapq
from typing import Final

__all__ = ["Delayed"]

_MANY: Final = 1000


class Delayed:
    """When messages are due, ms since the epoch, by their ids; each change takes O(log n).

    The heap may hold times that do not count any more. They go when they come first, or when they are the most.
    """

    def __init__(self) -> None:
        self._due_ms: dict[str, int] = {}
        self._heap: list[tuple[int, str]] = []

    def __len__(self) -> int:
        return len(self._due_ms)

    def put(self, task_id: str, due_ms: int) -> None:
        """Keep a message until it is due."""
        self._due_ms[task_id] = due_ms
        heapq.heappush(self._heap, (due_ms, task_id))
        if len(self._heap) > _MANY + 2 * len(self._due_ms):
            self._heap = [(at_ms, one) for one, at_ms in self._due_ms.items()]
            heapq.heapify(self._heap)

    def discard(self, task_id: str) -> None:
        """Forget a message, if it is there."""
        self._due_ms.pop(task_id, None)

    def due_ms(self, task_id: str) -> int:
        """Return when a message is due; 0: it is not delayed."""
        return self._due_ms.get(task_id, 0)

    def first(self) -> tuple[int, str] | None:
        """Return time and id of the message that is due next."""
        while self._heap and self._due_ms.get(self._heap[0][1]) != self._heap[0][0]:
            heapq.heappop(self._heap)
        return self._heap[0] if self._heap else None

    def take_due(self, now_ms: int) -> list[str]:
        """Remove and return all that are due, the earliest first."""
        taken = []
        while (first := self.first()) is not None and first[0] <= now_ms:
            heapq.heappop(self._heap)
            del self._due_ms[first[1]]
            taken.append(first[1])
        return taken
