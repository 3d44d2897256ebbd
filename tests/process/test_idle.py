"""An idle worker costs next to nothing, and is quick when something comes."""

from __future__ import annotations

from collections.abc import Callable

from streamtasks import wait_for
from tests.support.measures import idle_commands, new_stream_delays, start_delays, use_many_streams
from tests.support.workers import Field, percentile, wait_for_value

CHILDREN = 8


def test_idle_children_cost_next_to_nothing(field: Field, figure: Callable[[str], None]) -> None:
    field.start("--concurrency", str(CHILDREN))
    use_many_streams(field)
    field.wait_idle(CHILDREN)
    commands = idle_commands(field, 5.0)  # longer than a wait for a ring lasts
    figure(
        f"{commands.sent / CHILDREN:.2f} commands/s per child ({commands.sent:.1f}/s in all, "
        f"{commands.inside:.1f}/s more inside scripts)"
    )
    assert commands.sent / CHILDREN <= 2.0

    delays = new_stream_delays(field, 20, CHILDREN)
    figure(f"brand-new queue or priority started p50 {percentile(delays, 0.5):.1f} ms, max {max(delays):.1f} ms")
    assert percentile(delays, 0.5) <= 10  # twice what was asked
    assert max(delays) <= 300


def test_a_message_starts_soon_on_an_idle_worker(field: Field, figure: Callable[[str], None]) -> None:
    field.start("--concurrency", "2")
    delays = start_delays(field, 100)
    figure(f"p50 {percentile(delays, 0.5):.2f} ms, p99 {percentile(delays, 0.99):.2f} ms")
    assert percentile(delays, 0.5) <= 4  # twice what was asked
    assert max(delays) <= 500


def test_a_burst_wakes_all_children(field: Field) -> None:
    worker = field.start("--concurrency", "4")
    field.wait_idle(4)
    results = field.many("nap", [(0.3,)] * 4)
    assert wait_for(results, timeout=5)
    executions = field.record.executions()
    assert {e.pid for e in executions} == set(worker.pids().children)
    wait_for_value(lambda: not field.client.zcard(field.keys.ready), 2, "nothing is ready any more")
