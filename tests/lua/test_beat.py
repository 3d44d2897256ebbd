"""beat: a worker says that it lives; a silence of all of them holds reclaim back for a lease."""

from __future__ import annotations

import pytest

from streamtasks.stores.redis.operations.leases import beat_call
from streamtasks.stores.redis.operations.steering import request_worker_call
from tests.support.script_lab import LEASE_MS, ScriptLab


def test_a_first_beat_registers_the_worker(lab: ScriptLab) -> None:
    assert lab.beat("host:1", '{"pid":1}') == 0
    assert lab.dump() == {
        "workers": {"host:1": lab.now},
        "worker_info": {"host:1": '{"pid":1}'},
        "beat": f"{lab.now} 0",
    }


def test_a_later_beat_replaces_what_it_said(lab: ScriptLab) -> None:
    lab.beat("host:1", '{"pid":1}')
    lab.beat("host:2", "{}")
    earlier = lab.now
    assert lab.beat("host:1", '{"pid":7}') == 0
    assert lab.dump() == {
        "workers": {"host:1": lab.now, "host:2": earlier},
        "worker_info": {"host:1": '{"pid":7}', "host:2": "{}"},
        "beat": f"{lab.now} 0",
    }


def test_a_worker_that_leaves_is_struck_off(lab: ScriptLab) -> None:
    lab.beat("host:1")
    assert lab.beat("host:1", "") == 0
    assert lab.dump() == {"beat": f"{lab.now} 0"}


def test_workers_long_silent_are_struck_off(lab: ScriptLab) -> None:
    lab.beat("old")
    lab.beat("young")
    lab.client.zadd(lab.keys.workers, {"old": lab.server_ms() - 600_000, "young": lab.server_ms() - 500_000})
    lab.beat("host:1", prune_ms=600_000)
    left = lab.dump()
    assert set(left["workers"]) == set(left["worker_info"]) == {"young", "host:1"}


def test_a_silence_of_more_than_half_a_lease_holds_reclaim_back_for_one(lab: ScriptLab) -> None:
    lab.client.set(lab.keys.beat, f"{lab.server_ms() - LEASE_MS // 2 - 1} 0")
    assert lab.beat() == LEASE_MS
    until = lab.now + LEASE_MS
    assert lab.dump()["beat"] == f"{lab.now} {until}"
    assert lab.beat() == until - lab.now, "the end does not move"


def test_a_shorter_one_does_not(lab: ScriptLab) -> None:
    lab.client.set(lab.keys.beat, f"{lab.server_ms() - LEASE_MS // 2 + 3000} 0")
    assert lab.beat() == 0


@pytest.mark.parametrize("how", ["claimed", "renewed"])
def test_a_lease_that_began_lately_is_a_sign_of_life(lab: ScriptLab, how: str) -> None:
    """Where nothing is held, workers beat seldom."""
    lab.beat()
    lab.enqueue("a")
    lab.claim_one("w", 1)
    if how == "renewed":
        lab.expire_leases("w#1")
        lab.renew("w#1")
    lab.client.set(lab.keys.beat, f"{lab.server_ms() - 10 * LEASE_MS} 0")
    assert lab.beat() == 0


@pytest.mark.parametrize("left_ms", [LEASE_MS // 2 - 1000, -10 * LEASE_MS])
def test_one_that_began_before_the_silence_is_none(lab: ScriptLab, left_ms: int) -> None:
    lab.client.zadd(lab.keys.leases, {"w#1": lab.server_ms() + left_ms})
    lab.client.set(lab.keys.beat, f"{lab.server_ms() - LEASE_MS} 0")
    assert lab.beat() == LEASE_MS


def test_a_longer_lease_of_others_is_none(lab: ScriptLab) -> None:
    lab.client.zadd(lab.keys.leases, {"w#1": lab.server_ms() + 2 * LEASE_MS, "x#1": lab.server_ms()})
    lab.client.set(lab.keys.beat, f"{lab.server_ms() - LEASE_MS} 0")
    assert lab.beat() == LEASE_MS


def test_a_longer_hold_is_not_cut_short_by_a_worker_with_a_shorter_lease(lab: ScriptLab) -> None:
    now = lab.server_ms()
    lab.client.set(lab.keys.beat, f"{now - 40_000} {now + 60_000}")
    assert lab.beat(lease_ms=1000) == now + 60_000 - lab.now


def test_what_was_damaged_by_hand_is_written_anew(lab: ScriptLab) -> None:
    lab.client.set(lab.keys.beat, "what is this")
    assert lab.beat() == 0
    assert lab.dump()["beat"] == f"{lab.now} 0"


class TestTheClockWentBack:
    """An hour: what was stored by the later clock is not believed."""

    HOUR_MS = 3_600_000

    def set_back(self, lab: ScriptLab) -> None:
        """As if the clock had gone back by an hour after the last beat: all stored times lie an hour ahead."""
        beat, hold = map(int, lab.client.get(lab.keys.beat).split())
        lab.client.set(lab.keys.beat, f"{beat + self.HOUR_MS} {hold + self.HOUR_MS if hold else 0}")
        for key in (lab.keys.leases, lab.keys.workers, lab.keys.asking, lab.keys.unfolding):
            for member, at in lab.client.zrange(key, 0, -1, withscores=True):
                lab.client.zadd(key, {member: at + self.HOUR_MS})

    def test_what_a_vanished_worker_held_is_reclaimed_after_a_lease(self, lab: ScriptLab) -> None:
        lab.beat()
        lab.enqueue("a")
        lab.claim_one("gone", 1)
        self.set_back(lab)
        lab.beat()
        until = lab.client.zscore(lab.keys.leases, "gone#1")
        assert until is not None
        assert until <= lab.now + LEASE_MS, "no lease is longer than one from now on"
        lab.expire_leases("gone#1")
        assert lab.reclaim("0:default")[0] == 1

    def test_a_lease_that_is_not_too_long_stays(self, lab: ScriptLab) -> None:
        lab.beat()
        lab.enqueue("a")
        lab.claim_one("w", 1)
        self.set_back(lab)
        lab.renew("w#1", lease_ms=LEASE_MS // 2)
        until = lab.client.zscore(lab.keys.leases, "w#1")
        lab.beat()
        assert lab.client.zscore(lab.keys.leases, "w#1") == until

    def test_reclaim_is_held_back_for_a_lease_at_most(self, lab: ScriptLab) -> None:
        lab.client.set(lab.keys.beat, f"{lab.server_ms() - LEASE_MS} 0")
        assert lab.beat() == LEASE_MS
        self.set_back(lab)
        assert lab.beat() == LEASE_MS
        assert int(lab.dump()["beat"].split()[1]) == lab.now + LEASE_MS

    def test_limits_and_workflows_are_looked_at_as_soon_as_before(self, lab: ScriptLab) -> None:
        lab.beat("silent")
        at = lab.now
        lab.client.zadd(lab.keys.asking, {"soon": at, "later": at + 50_000})
        lab.client.zadd(lab.keys.unfolding, {"w1": at + 20_000})
        self.set_back(lab)
        lab.beat("w")
        passed = lab.now - at
        assert lab.client.zscore(lab.keys.workers, "silent") == lab.now, "no beat lies ahead"
        # The clock went back by an hour less the time that has passed since the last beat.
        assert lab.client.zscore(lab.keys.asking, "soon") == lab.now
        assert lab.client.zscore(lab.keys.asking, "later") == at + 50_000 + passed
        assert lab.client.zscore(lab.keys.unfolding, "w1") == at + 20_000 + passed

    def test_says_by_how_much_and_only_once(self, lab: ScriptLab) -> None:
        lab.beat()
        self.set_back(lab)
        call = beat_call(lab.keys, "w", "{}", LEASE_MS, 600_000)
        assert self.HOUR_MS - 60_000 < lab.run(call)[2] <= self.HOUR_MS
        assert lab.run(call)[2] == 0

    def test_a_bounded_number_in_one_call(self, lab: ScriptLab) -> None:
        lab.beat()
        lab.client.zadd(lab.keys.leases, {f"gone{number}#1": lab.now + LEASE_MS for number in range(1200)})
        self.set_back(lab)
        lab.beat()
        assert lab.client.zcount(lab.keys.leases, "-inf", lab.now + LEASE_MS) == 1000


def test_it_says_what_comes(lab: ScriptLab) -> None:
    def coming() -> list[int]:
        found: list[int] = lab.run(beat_call(lab.keys, "w", "{}", LEASE_MS, 600_000))[3:9]
        return found

    assert coming() == [-1] * 6
    sets = (lab.keys.delayed, lab.keys.scheduled, lab.keys.unfolding, lab.keys.asking, lab.keys.leases)
    for place, key in enumerate(sets):
        lab.client.zadd(key, {"first": lab.server_ms() + 10_000 * (place + 1), "second": lab.server_ms() + 900_000})
    assert all(10_000 * place - 5_000 < ms <= 10_000 * place for place, ms in enumerate(coming()[:5], 1))
    assert coming()[5] == -1
    lab.enqueue("a")
    assert coming()[5] == 0
    for key in sets:
        lab.client.zadd(key, {"first": lab.server_ms() - 5_000})
    assert coming() == [0] * 6


def test_a_worker_takes_a_request_once(lab: ScriptLab) -> None:
    def ask(worker: str, request: str = "drain") -> int:
        return int(lab.raw(request_worker_call(lab.keys, worker, request)))

    lab.beat("host:1")
    assert (ask("host:2"), ask("host:1"), ask("host:1", "stop")) == (0, 1, 1)
    assert lab.dump()["worker_requests"] == {"host:1": "stop"}
    told = [
        lab.run(beat_call(lab.keys, worker, "{}", LEASE_MS, 600_000))[-1] for worker in ("other", "host:1", "host:1")
    ]
    assert told == ["", "stop", ""]
    assert "worker_requests" not in lab.dump()
