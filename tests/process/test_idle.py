"""An idle worker costs next to nothing, and is quick when something comes."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import redis

from streamtasks import wait_for
from tests.support.workers import Field, percentile, wait_for_value

SENT_BY_CLIENTS = ("evalsha", "eval", "blpop", "script|load", "ssubscribe", "subscribe", "ping", "hello", "auth")
"""What workers send. Scripts use none of these, and workers nothing else, so commandstats, which counts the
commands inside scripts too, tells the two apart."""

CHILDREN = 8


def _calls(client: redis.Redis) -> tuple[int, int]:
    """Return how many commands clients have sent, and how many ran inside scripts."""
    stats: Any = client.info("commandstats")
    calls = {name.removeprefix("cmdstat_"): int(row["calls"]) for name, row in stats.items()}
    sent = sum(count for name, count in calls.items() if name in SENT_BY_CLIENTS or name.startswith("client|"))
    return sent, sum(calls.values()) - sent - calls.get("info", 0)


def test_idle_children_cost_next_to_nothing(field: Field, figure: Callable[[str], None]) -> None:
    field.start("--concurrency", str(CHILDREN))
    messages = [
        field.app.message("add", (queue, 1), {}, field.app.tasks["add"].using(queue=f"q{queue}", priority=p).options)
        for queue in range(200)
        for p in (-5, 0, 5)
    ]
    assert wait_for(field.app.enqueue(messages), timeout=30)
    streams: Any = field.client.zcard(field.keys.streams)
    assert streams == 600
    field.wait_idle(CHILDREN)
    began, (sent, inside) = time.monotonic(), _calls(field.client)
    seconds = 10.0
    # Nothing is awaited here: this is the time over which idleness is measured.
    time.sleep(seconds)
    sent_after, inside_after = _calls(field.client)
    spent = time.monotonic() - began
    per_child = (sent_after - sent) / spent / CHILDREN
    figure(
        f"{per_child:.2f} commands/s per child ({(sent_after - sent) / spent:.1f}/s in all, "
        f"{(inside_after - inside) / spent:.1f}/s more inside scripts)"
    )
    assert per_child <= 2.0

    delays = []
    for number in range(20):
        field.wait_idle(CHILDREN)
        options = {"queue": f"new{number}"} if number % 2 else {"queue": "q7", "priority": 10 + number}
        enqueued = time.monotonic()
        result = field.enqueue("add", number, 1, **options)
        delays.append(field.record.wait_started(result).started - enqueued)
    figure(
        f"brand-new queue or priority started p50 {percentile(delays, 0.5) * 1e3:.1f} ms, "
        f"max {max(delays) * 1e3:.1f} ms after enqueue() was called"
    )
    assert percentile(delays, 0.5) <= 0.02
    assert max(delays) <= 0.3


def test_a_message_starts_soon_on_an_idle_worker(field: Field, figure: Callable[[str], None]) -> None:
    field.start("--concurrency", "2")
    delays = []
    for number in range(100):
        field.wait_idle(2)
        enqueued = time.monotonic()
        result = field.enqueue("add", number, 1)
        delays.append(field.record.wait_started(result).started - enqueued)
    figure(f"p50 {percentile(delays, 0.5) * 1e3:.2f} ms, p99 {percentile(delays, 0.99) * 1e3:.2f} ms")
    assert percentile(delays, 0.5) <= 0.01
    assert max(delays) <= 0.5


def test_a_burst_wakes_all_children(field: Field) -> None:
    worker = field.start("--concurrency", "4")
    field.wait_idle(4)
    results = field.many("nap", [(0.3,)] * 4)
    assert wait_for(results, timeout=5)
    executions = field.record.executions()
    assert {e.pid for e in executions} == set(worker.pids().children)
    wait_for_value(lambda: not field.client.zcard(field.keys.ready), 2, "nothing is ready any more")
