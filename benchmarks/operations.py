"""Measure how long `status`, `queues`, pages of `tasks`, a filter, `explain` and a scrape take, with many tasks.

    uv run python benchmarks/operations.py [--tasks 1000000] [--queues 50] [--server redis-server]

A million queued and a million finished take some minutes to make, and about 2 GB.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from streamtasks import StreamTasks
from streamtasks.operations import inspect
from streamtasks.operations.explain import explain_task
from streamtasks.operations.failures import recent_failures
from streamtasks.operations.filter_text import parse_filter
from streamtasks.operations.search import find_tasks
from streamtasks.operations.store_metrics import StoreCollector, exposition
from streamtasks.stores.types import Claimed, ClaimRequest, Filter, Outcome

AT_ONCE = 1000
KEEP_MS = 3_600_000


def enqueue(app: StreamTasks, count: int, queues: int, names: Sequence[str] = ("shop.pack",)) -> None:
    """Enqueue so many tasks, spread over the queues and these names."""
    for start in range(0, count, AT_ONCE):
        task = app.tasks[names[start // AT_ONCE % len(names)]]
        queue = f"queue{start // AT_ONCE % queues}"
        task.using(queue=queue).enqueue_many((number,) for number in range(start, min(start + AT_ONCE, count)))


def finish(app: StreamTasks) -> int:
    """Settle all that waits, a hundredth as failures; return how many."""
    channel = app.store.channel(app.settings.tags[0], "benchmark", Filter())
    finished = sequence = 0
    outcomes: list[Outcome] = []
    while True:
        sequence += 1
        channel.send(outcomes, ClaimRequest(sequence, 100, alone=not outcomes))
        exchange = channel.receive()
        outcomes = []
        for place, claimed in enumerate(exchange.claimed):
            state = "SUCCESS" if place else "FAILURE"
            result = b'{"r":null}' if place else b'{"e":{"type":"E","message":"m","traceback":""}}'
            outcomes.append(Outcome.of(claimed, state, exchange.now_ms, result, keep_ms=KEEP_MS))
        finished += len(outcomes)
        if not outcomes and not exchange.again:
            channel.close()
            return finished


def hold(app: StreamTasks) -> Claimed:
    """Let 200 children hold a task each, as those of many workers do; return what the last one holds."""
    for number in range(200):
        channel = app.store.channel(app.settings.tags[0], f"child{number}", Filter("only", ("queue0",)))
        channel.send([], ClaimRequest(1, 1, alone=True))
        [claimed] = channel.receive().claimed
        channel.close()
    return claimed


def explained(app: StreamTasks) -> dict[str, str]:
    """Return tasks by why they wait; most have as much before them as is ever counted. And one that ended."""
    task, slow = app.tasks["shop.pack"], app.tasks["shop.slow"]
    queued = inspect.tasks(app.store, app.settings.wire, "queued", limit=1).tasks
    finished = inspect.tasks(app.store, app.settings.wire, "failed", limit=1).tasks
    slow.enqueue_many((number,) for number in range(2000))
    return {
        "the first": queued[0].id,
        "the last": task.using(queue="queue0").enqueue(0).id,
        "the worst priority": task.using(queue="queue0", priority=-100).enqueue(0).id,
        "delayed": task.apply_async((0,), countdown=3600).id,
        "limited": slow.enqueue(0).id,
        "held": hold(app).id,
        "finished": finished[0].id,
    }


def took_ms(call: Callable[[], Any]) -> list[float]:
    """Return how long calls take, ms, in order."""
    found = []
    for _ in range(30):
        since = time.perf_counter()
        call()
        found.append((time.perf_counter() - since) * 1000)
    return sorted(found)


def main() -> None:
    """Fill a server, and print a line for each question."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", type=int, default=1_000_000, help="queued, and as many finished")
    parser.add_argument("--queues", type=int, default=50)
    parser.add_argument("--server", help="a redis-server or valkey-server binary; default: the embedded one")
    given = parser.parse_args()
    from streamtasks_workers.testing.embedded import EmbeddedServer

    with EmbeddedServer(binary=given.server) as server:
        app = StreamTasks(server.url)
        app.task(name="shop.pack")(lambda number: number)
        app.task(name="shop.slow", rate_limit="1/h")(lambda number: number)
        enqueue(app, given.tasks, given.queues)
        finished = finish(app)
        enqueue(app, given.tasks, given.queues)
        store, wire = app.store, app.settings.wire
        print(f"{given.tasks} queued, {finished} finished, {given.queues} queues")
        questions: dict[str, Callable[[], Any]] = {
            "status": lambda: inspect.status(store),
            "queues": lambda: inspect.queues(store),
            "workers": lambda: inspect.workers(store),
            "scrape": lambda: exposition(StoreCollector([store]), ""),
            **{f"tasks {state}": partial(inspect.tasks, store, wire, state) for state in inspect.STATES},
            "filter, 1,000 looked at": lambda: find_tasks(store, wire, parse_filter("arg.0=-1")),
            "failures, 1 h": lambda: recent_failures(store, wire, time.time_ns() // 1_000_000 - 3_600_000),
            **{f"explain {what}": partial(explain_task, store, task_id) for what, task_id in explained(app).items()},
        }
        for name, question in questions.items():
            times = took_ms(question)
            print(f"{name:24} median {statistics.median(times):7.1f} ms, longest {times[-1]:7.1f} ms")


if __name__ == "__main__":
    main()
