"""Measure a store with a worker on this machine, under a prefix of its own that is removed afterwards."""

from __future__ import annotations

import pickle
import statistics
import subprocess
import sys
import time
import uuid
from dataclasses import replace
from typing import Any, Final, NamedTuple

from streamtasks.exceptions import ConfigurationError, StreamTasksError
from streamtasks.settings import StoreSettings
from streamtasks.stores.factory import open_store, remove

from .drain import drain_time
from .tasks import measured_app

__all__ = ["Figures", "measure"]

LOT: Final = 1000
SINGLE: Final = 200
"""Calls that are enqueued one by one."""

PATIENCE_S: Final = 120.0


class Figures(NamedTuple):
    """What was measured.

    Attributes:
        prefix: under which.
        children: of the worker.
        enqueued_per_s: calls of `enqueue_many` a second, of one process.
        enqueue_ms: median of one `enqueue`, ms.
        drained_per_s: tasks a second, with stored results.
        start_p50_ms: from the acceptance of a call to its start in an idle worker, median, ms by the server's clock.
        start_p99_ms: the same, of 99 in 100 at most.
        left: why what was written could not be removed; empty: it was.
    """

    prefix: str
    children: int
    enqueued_per_s: float
    enqueue_ms: float
    drained_per_s: float
    start_p50_ms: float
    start_p99_ms: float
    left: str


def measure(settings: StoreSettings, tasks: int, children: int) -> Figures:
    """Measure a store.

    Args:
        settings: of the store; only its key_prefix is replaced.
        tasks: to drain.
        children: of the worker that drains them.

    Raises:
        ConfigurationError: the store is in memory or in a database.
        StoreError: it cannot be reached.
        TimeoutError: the worker does not live, or the tasks are too many for 2 minutes.
    """
    if settings.is_memory or settings.is_sql:
        raise ConfigurationError("bench measures a Redis or Valkey server; this store is in memory or in a database.")
    began_s, prefix = time.time(), f"bench-{uuid.uuid4().hex[:12]}:"
    settings = replace(settings, key_prefix=prefix)
    open_store(settings).check()
    app, noop = measured_app(settings)
    store, ids, consumers = app.store, list[str](), set[str]()
    worker: subprocess.Popen[bytes] | None = None
    try:
        began = time.perf_counter()
        for start in range(0, tasks, LOT):
            ids += [one.id for one in noop.enqueue_many([()] * min(LOT, tasks - start))]
        enqueued_s = time.perf_counter() - began
        worker = _start(settings, children)
        timed, seconds = drain_time(lambda: _ended(store), tasks, most_s=PATIENCE_S)
        singles, took = list[str](), list[float]()
        for _ in range(SINGLE):
            began = time.perf_counter()
            singles.append(noop.enqueue().id)
            took.append(time.perf_counter() - began)
            time.sleep(0.005)
        ids += singles
        _wait(lambda: _ended(store) >= tasks + SINGLE)
        found = [one for start in range(0, SINGLE, 100) for one in store.read(singles[start : start + 100])]
        waits = sorted(one.started_ms - one.enqueued_ms for one in found if one is not None)
        consumers = {f"{one.name}-{number}" for one in store.workers() for number in range(1, children + 20)}
    finally:
        if worker is not None:
            worker.terminate()
            worker.wait(30)
        left = _remove(settings, ids, sorted(consumers), began_s)
    return Figures(
        prefix,
        children,
        tasks / enqueued_s,
        statistics.median(took) * 1000,
        timed / seconds if seconds else 0.0,
        statistics.median(waits),
        waits[int(len(waits) * 0.99) - 1],
        left,
    )


def _start(settings: StoreSettings, children: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "streamtasks_workers.benchmark.worker"]
    worker = subprocess.Popen(command, stdin=subprocess.PIPE)
    assert worker.stdin is not None
    worker.stdin.write(pickle.dumps((settings, children)))
    worker.stdin.close()
    return worker


def _ended(store: Any) -> int:
    return sum(store.statistics().outcomes.values())


def _wait(condition: Any) -> None:
    until = time.monotonic() + PATIENCE_S
    while not condition():
        if time.monotonic() > until:
            raise TimeoutError
        time.sleep(0.01)


def _remove(settings: StoreSettings, ids: list[str], consumers: list[str], began_s: float) -> str:
    try:
        return remove(settings, ("default",), ids, consumers, began_s)
    except StreamTasksError as error:
        return str(error)
