"""take.lua: no more starts than a rate allows, and no fewer than it allows to whoever asks in time."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streamtasks.stores.tokens import TokenGrant, TokenRequest
from streamtasks.stores.types import Limit
from tests.support.waiting import DEADLINE_S

if TYPE_CHECKING:
    from tests.support.script_lab import ScriptLab

HOURLY = Limit("mail", 3_600_000_000)
SLACK_US = 20_000


def us(lab: ScriptLab) -> int:
    seconds, micros = lab.client.time()
    return int(seconds) * 1_000_000 + int(micros)


def full_at(lab: ScriptLab, name: str = "mail") -> int:
    return int(lab.client.get(lab.keys.limiter(name)))


def test_the_first_one_is_granted_and_the_next_has_to_wait(lab: ScriptLab) -> None:
    before = us(lab)
    assert lab.take(TokenRequest(HOURLY, 5, 1)) == [TokenGrant("mail", 1, 1, 0)]
    assert before - SLACK_US + HOURLY.interval_us <= full_at(lab) <= us(lab) - SLACK_US + HOURLY.interval_us
    [denied] = lab.take(TokenRequest(HOURLY, 1, 2))
    assert denied.tokens == 0
    assert denied.wait_us == pytest.approx(HOURLY.interval_us - SLACK_US, abs=2_000_000)
    assert lab.dump().keys() == {"limiter:mail (expires)"}
    assert lab.client.pttl(lab.keys.limiter("mail")) == pytest.approx(3_600_000, abs=2_000)


def test_a_denial_changes_nothing(lab: ScriptLab) -> None:
    lab.take(TokenRequest(HOURLY, 1, 1))
    before = lab.dump()
    lab.take(TokenRequest(HOURLY, 1, 2))
    assert lab.dump() == before


def test_a_burst_at_once_and_no_more(lab: ScriptLab) -> None:
    limit = Limit("mail", 3_600_000_000, 5)
    assert [lab.take(TokenRequest(limit, 2, n))[0].tokens for n in range(4)] == [2, 2, 1, 0]


def test_each_limiter_counts_by_itself(lab: ScriptLab) -> None:
    other = HOURLY._replace(name="mail:7")
    assert [
        g.tokens for g in lab.take(TokenRequest(HOURLY, 1, 1), TokenRequest(other, 1, 1), TokenRequest(HOURLY, 1, 2))
    ] == [1, 1, 0]


def test_fast_limits_are_counted_in_grains_of_20_ms(lab: ScriptLab) -> None:
    assert lab.take(TokenRequest(Limit("mail", 1000), 100, 1))[0].tokens == 20
    assert lab.take(TokenRequest(Limit("other", 10_000), 100, 1))[0].tokens == 2


def test_a_new_rate_takes_effect_at_once(lab: ScriptLab) -> None:
    lab.take(TokenRequest(HOURLY, 1, 1))
    faster = HOURLY._replace(interval_us=100_000)
    [denied] = lab.take(TokenRequest(faster, 1, 2))
    assert (denied.tokens, denied.wait_us) == (0, 100_000)
    slower = HOURLY._replace(interval_us=7_200_000_000)
    assert lab.take(TokenRequest(slower, 1, 3))[0].tokens == 0


def test_a_clock_that_was_set_back_and_damage_do_not_block_for_long(lab: ScriptLab) -> None:
    lab.client.set(lab.keys.limiter("mail"), us(lab) + 10**15)
    assert lab.take(TokenRequest(Limit("mail", 50_000), 1, 1))[0].wait_us == 50_000
    lab.client.set(lab.keys.limiter("mail"), "damaged")
    assert lab.take(TokenRequest(Limit("mail", 50_000), 1, 1))[0].tokens == 1


def test_what_is_full_again_leaves_nothing_behind(lab: ScriptLab) -> None:
    lab.take(TokenRequest(Limit("mail", 1000), 20, 1))
    deadline = time.monotonic() + DEADLINE_S
    while lab.dump():
        assert time.monotonic() < deadline


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    interval_us=st.sampled_from([500, 3000, 12_000, 40_000]),
    burst=st.integers(1, 4),
    pauses=st.lists(st.tuples(st.integers(0, 30_000), st.integers(1, 8)), min_size=5, max_size=25),
)
def test_in_no_window_are_more_starts_than_the_rate_allows(
    lab: ScriptLab, interval_us: int, burst: int, pauses: list[tuple[int, int]]
) -> None:
    """Whenever it is asked, and for however many: all grants between two moments fit into the time between."""
    lab.client.flushall()
    limit = Limit("mail", interval_us, burst)
    most = max(burst, min(100, 20_000 // interval_us), 1)
    slack = min(interval_us // 5, 20_000)
    grants: list[tuple[int, int, int]] = []  # asked not before, answered not after, tokens
    for pause_us, tokens in pauses:
        until = time.perf_counter_ns() + pause_us * 1000
        while time.perf_counter_ns() < until:
            pass
        before = us(lab)
        [grant] = lab.take(TokenRequest(limit, tokens, 1))
        grants.append((before, us(lab), grant.tokens))
    for first in range(len(grants)):
        started = 0
        for _, answered, tokens in grants[first:]:
            started += tokens
            assert started <= most + (answered - grants[first][0] + slack) / interval_us
    # And none is denied that the rate allows: a bucket that is refilled all the time, and never overflows.
    level, last = float(most), grants[0][1]
    for (before, answered, granted), (_, wanted) in zip(grants, pauses, strict=True):
        level = min(float(most), level + max(0, before - last) / interval_us)
        assert granted >= min(wanted, int(level))
        level -= granted
        last = answered
