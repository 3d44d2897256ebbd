"""An idle worker costs next to nothing, and is quick when something comes."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.support.bounds import Bound
from tests.support.fleet import Fleet
from tests.support.measurements import MS, idle_commands, new_stream_delays, percentile, start_delays, use_many_streams

pytestmark = pytest.mark.timing

CHILDREN = 8


def test_idle_children_cost_next_to_nothing(fleet: Fleet, figure: Callable[[str], None], bound: Bound) -> None:
    fleet.start("--concurrency", str(CHILDREN))
    use_many_streams(fleet)
    fleet.wait_idle(CHILDREN)
    commands = idle_commands(fleet, 5.0)  # longer than a wait for a ring lasts
    figure(
        f"{commands.sent / CHILDREN:.2f} commands/s per child ({commands.sent:.1f}/s in all, "
        f"{commands.inside:.1f}/s more inside scripts)"
    )
    assert commands.sent / CHILDREN <= 2.0

    delays = new_stream_delays(fleet, 20, CHILDREN)
    figure(f"brand-new queue or priority started p50 {percentile(delays, 0.5):.1f} ms, max {max(delays):.1f} ms")
    assert percentile(delays, 0.5) <= bound.typical(0.010) * MS  # twice what was asked
    assert max(delays) <= bound(0.3) * MS


def test_a_message_starts_soon_on_an_idle_worker(fleet: Fleet, figure: Callable[[str], None], bound: Bound) -> None:
    fleet.start("--concurrency", "2")
    delays = start_delays(fleet, 100)
    figure(f"p50 {percentile(delays, 0.5):.2f} ms, p99 {percentile(delays, 0.99):.2f} ms")
    assert percentile(delays, 0.5) <= bound.typical(0.004) * MS  # twice what was asked
    assert max(delays) <= bound(0.5) * MS
