"""How the times that are promised are measured: by the process tests, in few rounds, and by ``benchmarks/figures.py``.

Each takes a field whose worker runs already; all times are ms.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from streamtasks import State, wait_for
from streamtasks.protocol.shards import occurrence_id
from streamtasks.schedules import every
from tests.support.workers import Field, wait_for_value

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "MS",
    "Commands",
    "Visibility",
    "idle_commands",
    "lateness",
    "new_stream_delays",
    "occurrence_lateness",
    "start_delays",
    "use_many_streams",
    "visibility",
]

MS = 1000.0

_SENT_BY_CLIENTS = ("evalsha", "eval", "blpop", "script|load", "ssubscribe", "subscribe", "ping", "hello", "auth")
"""What workers send. Scripts use none of these, and workers nothing else, so commandstats, which counts the
commands inside scripts too, tells the two apart."""


def _delay(field: Field, children: int, **options: Any) -> float:
    field.wait_idle(children)
    called = time.monotonic()
    result = field.enqueue("add", 1, 1, **options)
    return MS * (field.record.wait_started(result).started - called)


def start_delays(field: Field, count: int, children: int = 2) -> list[float]:
    """From the call of ``enqueue()`` to the start, on children that all wait for work."""
    return [_delay(field, children) for _ in range(count)]


def new_stream_delays(field: Field, count: int, children: int) -> list[float]:
    """The same, each time for a queue or a priority that was never used before."""

    def places() -> Iterator[dict[str, Any]]:
        for number in range(count):
            yield {"queue": f"new{number}"} if number % 2 else {"queue": "q7", "priority": 10 + number}

    return [_delay(field, children, **where) for where in places()]


def lateness(field: Field, count: int, gap_s: float = 0.25) -> list[float]:
    """How late delayed tasks start, one every ``gap_s``."""
    began = datetime.now(UTC)
    due: dict[Any, int] = {}
    for number in range(count):
        at = began + timedelta(seconds=0.5 + number * gap_s, microseconds=1370 * number)
        due[field.enqueue("add", number, 1, run_after=at)] = round(at.timestamp() * 1000)
    assert {result.state for result in due} <= {State.DELAYED}
    # Nothing looks at the server meanwhile: on two cores that alone would make tasks late.
    time.sleep(max(due.values()) / 1000 - time.time())
    assert wait_for(due, timeout=10)
    started = {execution.id: execution.started_wall for execution in field.record.executions()}
    return [MS * started[result.id] - due_ms for result, due_ms in due.items()]


def occurrence_lateness(field: Field, count: int, period_s: float = 0.25) -> list[float]:
    """How late occurrences of a schedule start."""
    create, name = field.app.schedules.create, "measured"
    shown = create(name, "add", every(period_s), (1, 1))
    time.sleep((count + 2) * period_s)  # as above
    field.app.schedules.pause(name)
    field.wait_drained(10)
    started = {execution.id: execution.started_wall for execution in field.record.executions()}
    assert shown.next_run is not None
    first_ms = round(shown.next_run.timestamp() * 1000)  # or the second one
    times = (first_ms + place * round(period_s * 1000) for place in range(count))
    return [MS * started[occurrence_id(name, at_ms, field.keys.tag)] - at_ms for at_ms in times]


class Visibility(NamedTuple):
    """Of one long task in the middle of 60 short ones: until it is shown, and until the last of the others started."""

    shown: float
    others: float


def visibility(field: Field, name: str, seconds: float) -> Visibility:
    """Enqueue a long task among short ones when batches are large; both times count from its start."""
    add = field.app.tasks["add"]
    assert wait_for(field.many("add", [(n, 1) for n in range(300)]), timeout=10)  # batches grow
    quick = [add.message((n, 1), {}) for n in range(60)]
    results = field.app.enqueue([*quick[:20], field.app.tasks[name].message((seconds,), {}), *quick[20:]])
    long = results.pop(20)
    wait_for_value(lambda: long.state != State.QUEUED, 5, "the long task is shown as running")
    seen = time.monotonic()
    assert long.state == State.STARTED
    assert wait_for(results, timeout=5)
    executions = field.record.executions()
    [started] = [e.started for e in executions if e.id == long.id]
    ids = {result.id for result in results}
    last = max(e.started for e in executions if e.id in ids)
    long.get(timeout=5)
    assert len(field.record.of(long)) == 1
    return Visibility(MS * (seen - started), MS * max(0.0, last - started))


def use_many_streams(field: Field) -> None:
    """Use 200 queues with three priorities each."""
    add = field.app.tasks["add"]
    calls = [
        field.app.message("add", (queue, 1), {}, add.using(queue=f"q{queue}", priority=priority).options)
        for queue in range(200)
        for priority in (-5, 0, 5)
    ]
    assert wait_for(field.app.enqueue(calls), timeout=30)
    streams: Any = field.client.zcard(field.keys.streams)
    assert streams == 600


class Commands(NamedTuple):
    """Commands a second: sent by clients, and run inside scripts."""

    sent: float
    inside: float


def idle_commands(field: Field, seconds: float = 10.0) -> Commands:
    """Count what an idle worker has the server do."""
    before, began = _calls(field), time.monotonic()
    time.sleep(seconds)  # nothing is awaited: this is the time over which idleness is measured
    after, spent = _calls(field), time.monotonic() - began
    return Commands(*((now - then) / spent for then, now in zip(before, after, strict=True)))


def _calls(field: Field) -> Commands:
    stats: Any = field.client.info("commandstats")
    calls = {name.removeprefix("cmdstat_"): numbers["calls"] for name, numbers in stats.items()}
    sent = sum(count for name, count in calls.items() if name in _SENT_BY_CLIENTS or name.startswith("client|"))
    return Commands(sent, sum(calls.values()) - sent - calls.get("info", 0))
