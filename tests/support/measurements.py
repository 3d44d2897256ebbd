"""Measure the promised times: for the process tests, in few rounds, and for ``benchmarks/figures.py``.

Each takes a fleet whose worker runs already; all times are ms.
"""

from __future__ import annotations

import math
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from streamtasks import State, wait_for
from streamtasks.protocol.shards import occurrence_id
from streamtasks.schedules import every
from tests.support.fleet import Fleet
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = [
    "MS",
    "Commands",
    "Visibility",
    "calls_of",
    "idle_commands",
    "lateness",
    "new_stream_delays",
    "occurrence_lateness",
    "percentile",
    "start_delays",
    "use_many_streams",
    "visibility",
]

MS = 1000.0

_SENT_BY_CLIENTS = ("evalsha", "eval", "blpop", "script|load", "ssubscribe", "subscribe", "ping", "hello", "auth")
"""What workers send. Scripts use none of these, and workers nothing else, so commandstats, which counts the
commands inside scripts too, tells the two apart."""


def _delay(fleet: Fleet, children: int, **options: Any) -> float:
    fleet.wait_idle(children)
    called = time.monotonic()
    result = fleet.enqueue("add", 1, 1, **options)
    return MS * (fleet.record.wait_started(result).started - called)


def start_delays(fleet: Fleet, count: int, children: int = 2) -> list[float]:
    """Measure from the call of ``enqueue()`` to the start, on idle children."""
    return [_delay(fleet, children) for _ in range(count)]


def new_stream_delays(fleet: Fleet, count: int, children: int) -> list[float]:
    """Measure the same for queues and priorities that were never used before."""

    def places() -> Iterator[dict[str, Any]]:
        for number in range(count):
            yield {"queue": f"new{number}"} if number % 2 else {"queue": "q7", "priority": 10 + number}

    return [_delay(fleet, children, **where) for where in places()]


def lateness(fleet: Fleet, count: int, gap_s: float = 0.25) -> list[float]:
    """Measure how late delayed tasks start, one every ``gap_s`` seconds."""
    began = datetime.now(UTC)
    due: dict[Any, int] = {}
    for number in range(count):
        at = began + timedelta(seconds=2.0 + count / 200 + number * gap_s, microseconds=1370 * number)
        due[fleet.enqueue("add", number, 1, run_after=at)] = round(at.timestamp() * 1000)
    assert {result.state for result in due} <= {State.DELAYED}
    # Nothing looks at the server meanwhile: on two cores that alone would make tasks late.
    time.sleep(max(due.values()) / 1000 - time.time())
    assert wait_for(due, timeout=60)
    started = {execution.id: execution.started_wall for execution in fleet.record.executions()}
    return [MS * started[result.id] - due_ms for result, due_ms in due.items()]


def occurrence_lateness(fleet: Fleet, count: int, period_s: float = 0.25) -> list[float]:
    """Measure how late occurrences of a schedule start."""
    create, name = fleet.app.schedules.create, "measured"
    shown = create(name, "add", every(period_s), (1, 1))
    time.sleep((count + 2) * period_s)  # as above
    fleet.app.schedules.pause(name)
    fleet.wait_drained()
    started = {execution.id: execution.started_wall for execution in fleet.record.executions()}
    assert shown.next_run is not None
    first_ms = round(shown.next_run.timestamp() * 1000)  # or the second one
    times = (first_ms + place * round(period_s * 1000) for place in range(count))
    return [MS * started[occurrence_id(name, at_ms, fleet.keys.tag)] - at_ms for at_ms in times]


def percentile(values: Iterable[float], share: float) -> float:
    """Return a percentile by the nearest rank."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * share) - 1)]


class Visibility(NamedTuple):
    """Of one long task in the middle of 60 short ones: until it is shown, and until the last of the others started."""

    shown: float
    others: float


def visibility(fleet: Fleet, name: str, seconds: float) -> Visibility:
    """Enqueue a long task among short ones when batches are large; both times count from its start."""
    add = fleet.app.tasks["add"]
    assert wait_for(fleet.many("add", [(n, 1) for n in range(300)]), timeout=60)  # batches grow
    quick = [add.message((n, 1), {}) for n in range(60)]
    results = fleet.app.enqueue([*quick[:20], fleet.app.tasks[name].message((seconds,), {}), *quick[20:]])
    long = results.pop(20)
    wait_until(lambda: long.state != State.QUEUED, "the long task is shown as running")
    seen = time.monotonic()
    assert long.state == State.STARTED
    assert wait_for(results, timeout=60)
    executions = fleet.record.executions()
    [started] = [e.started for e in executions if e.id == long.id]
    ids = {result.id for result in results}
    last = max(e.started for e in executions if e.id in ids)
    long.get(timeout=60)
    assert len(fleet.record.of(long)) == 1
    return Visibility(MS * (seen - started), MS * max(0.0, last - started))


def use_many_streams(fleet: Fleet) -> None:
    """Use 200 queues with three priorities each."""
    add = fleet.app.tasks["add"]
    calls = [
        fleet.app.message("add", (queue, 1), {}, add.using(queue=f"q{queue}", priority=priority).options)
        for queue in range(200)
        for priority in (-5, 0, 5)
    ]
    assert wait_for(fleet.app.enqueue(calls), timeout=60)
    streams: Any = fleet.client.zcard(fleet.keys.streams)
    assert streams == 600


class Commands(NamedTuple):
    """Commands a second: sent by clients, and run inside scripts."""

    sent: float
    inside: float


def idle_commands(fleet: Fleet, seconds: float = 10.0) -> Commands:
    """Count the commands that an idle worker sends, and those inside its scripts."""
    before, began = calls_of(fleet.client), time.monotonic()
    time.sleep(seconds)  # nothing is awaited: this is the time over which idleness is measured
    after, spent = calls_of(fleet.client), time.monotonic() - began
    return Commands(*((now - then) / spent for then, now in zip(before, after, strict=True)))


def calls_of(client: Any) -> Commands:
    """Return how many commands a server has counted."""
    stats: Any = client.info("commandstats")
    calls = {name.removeprefix("cmdstat_"): numbers["calls"] for name, numbers in stats.items()}
    sent = sum(count for name, count in calls.items() if name in _SENT_BY_CLIENTS or name.startswith("client|"))
    return Commands(sent, sum(calls.values()) - sent - calls.get("info", 0))
