"""A pool of threads that are all started before the first task runs."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Final

__all__ = ["started_pool"]

START_S: Final = 60.0
"""Threads that do not start within this time, seconds, end the child with BrokenBarrierError."""


def started_pool(threads: int) -> ThreadPoolExecutor:
    """Return a pool whose threads run already; each takes about 0.1 ms to start, and 17 KiB.

    A pool grows when work comes. Beside a task that has used up the memory of its process, the new thread then cannot
    start, or `Thread.start` waits for ever for one that died at once: the event loop would stand still.

    Raises:
        RuntimeError: the system allows no more threads.
    """
    pool = ThreadPoolExecutor(threads, "streamtasks")
    all_run = Barrier(threads + 1, timeout=START_S)
    for _ in range(threads):
        pool.submit(all_run.wait)
    all_run.wait()
    return pool
