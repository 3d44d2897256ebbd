"""A shard as a simulation of claims needs it: what is ready on it, and what was."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import deque
from itertools import pairwise

NEVER = -1000
"""Below any priority: nothing is ready."""


class ModelledShard:
    """What is ready on one shard, and its best priority at any time."""

    def __init__(self) -> None:
        self._queues: dict[int, deque[int]] = {}  # priority -> when its messages came, ns
        self._times, self._bests = [0], [NEVER]
        self.marks = 0  # length of the wake list: see wake.lua

    @property
    def best(self) -> int:
        """The best priority that is ready now."""
        return self._bests[-1]

    def add(self, now_ns: int, priority: int) -> bool:
        """Enqueue; return whether the stream was empty."""
        queue = self._queues.setdefault(priority, deque())
        queue.append(now_ns)
        self._note(now_ns)
        return len(queue) == 1

    def take(self, now_ns: int, most: int, least: int) -> tuple[list[int], list[int]]:
        """Claim; return the priorities of the messages, and how long they have waited."""
        priorities: list[int] = []
        waited: list[int] = []
        for priority in sorted(self._queues, reverse=True):
            queue = self._queues[priority]
            if priority < least:
                break
            while queue and len(priorities) < most:
                priorities.append(priority)
                waited.append(now_ns - queue.popleft())
            if not queue:
                del self._queues[priority]
        self._note(now_ns)
        return priorities, waited

    def _note(self, now_ns: int) -> None:
        best = max(self._queues, default=NEVER)
        if best != self._bests[-1]:
            self._times.append(now_ns)
            self._bests.append(best)

    def bests(self, since_ns: int, until_ns: int) -> list[int]:
        """Return each best priority that it had in a time."""
        first = bisect_right(self._times, since_ns) - 1
        return self._bests[max(0, first) : max(1, bisect_right(self._times, until_ns))]

    def longest_wait_ns(self, claims: list[int], end_ns: int, of: int) -> int:
        """Return the longest time without a claim while ``of`` was its best priority all along, ns."""
        longest = 0
        for place, since_ns in enumerate(self._times):
            until_ns = self._times[place + 1] if place + 1 < len(self._times) else end_ns
            if self._bests[place] != of:
                continue
            inside = claims[bisect_left(claims, since_ns) : bisect_right(claims, until_ns)]
            points = [since_ns, *inside, until_ns]
            longest = max(longest, *(after - before for before, after in pairwise(points)))
        return longest
