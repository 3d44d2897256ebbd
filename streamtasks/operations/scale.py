"""How many workers a queue needs: what an autoscaler asks for."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final, NamedTuple

from ..protocol.keys import check_queue
from ..stores.base import Store
from ..stores.measure_types import QueueMeasure

__all__ = ["Scale", "desired_workers", "scale"]

SPAN_S: Final = 300.0
"""The rate is that of the last whole minutes, seconds."""


class Scale(NamedTuple):
    """What an autoscaler needs of a queue.

    Attributes:
        queue: its name.
        active: whether a worker has something to do there.
        desired: how many workers would empty it in time.
        backlog_s: how long what waits takes at the rate of the last minutes, s; None: nothing has finished in these.
        rate: tasks that finished a second.
        run_s: how long a task ran on average, s; 0: nothing has finished.
        ready: tasks that can be claimed.
        claimed: tasks that workers hold.
        oldest_age_s: for how long the oldest could be claimed, s.
        workers: live workers that serve it.
        slots: tasks that one of them runs at once.
        paused: whether nothing is claimed of it.
    """

    queue: str
    active: bool
    desired: int
    backlog_s: float | None
    rate: float
    run_s: float
    ready: int
    claimed: int
    oldest_age_s: float
    workers: int
    slots: int
    paused: bool


def scale(stores: Sequence[Store], queue: str, target_s: float = 60.0) -> Scale:
    """Return what an autoscaler needs of a queue, in constant time.

    Args:
        stores: where it is; of several its numbers are added up.
        queue: its name.
        target_s: how long what waits now may take to be finished, s.

    Raises:
        UnknownQueue: it cannot be a queue's name.
        StoreError: a store cannot be reached.
    """
    check_queue(queue)
    ready = claimed = oldest_ms = finished = run_ms = workers = slots = 0
    paused = True
    for store in stores:
        found = next((one for one in store.measures().queues if one.queue == queue), QueueMeasure(queue, 0, 0, 0))
        ready, claimed, oldest_ms = ready + found.ready, claimed + found.claimed, max(oldest_ms, found.oldest_ms)
        counts = store.queue_counts(queue, round(SPAN_S / 60))
        finished, run_ms = finished + counts[0], run_ms + counts[1]
        live = [one for one in store.workers() if one.is_live and one.serves(queue)]
        workers += len(live)
        slots = max([slots, *(int(one.about.get("slots") or one.about.get("children") or 1) for one in live)])
        paused = paused and any(one.holds(queue) for one in store.pauses())
    rate, run_s, slots = finished / SPAN_S, run_ms / finished / 1000 if finished else 0.0, max(1, slots)
    active = not paused and ready + claimed > 0
    desired = desired_workers(ready, rate, run_s, slots, target_s) if active else 0
    if active and not finished:
        desired = max(1, workers)  # nothing is known of how long a task takes
    backlog_s = 0.0 if not ready else ready / rate if rate else None
    return Scale(
        queue, active, desired, backlog_s, rate, run_s, ready, claimed, oldest_ms / 1000, workers, slots, paused
    )


def desired_workers(ready: int, rate: float, run_s: float, slots: int, target_s: float) -> int:
    """Return how many workers keep up with a rate and finish what waits in time; at least 1.

    Args:
        ready: how many wait.
        rate: tasks that come, and end, a second.
        run_s: how long one runs.
        slots: tasks that a worker runs at once.
        target_s: in which time those that wait shall be finished.
    """
    busy = rate * run_s + ready * run_s / max(target_s, 0.001)
    return max(1, math.ceil(busy / slots))
