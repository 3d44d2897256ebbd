"""beat: a worker says that it lives; a silence of all of them holds reclaim back for a lease."""

from __future__ import annotations

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


def test_a_longer_hold_is_not_cut_short_by_a_worker_with_a_shorter_lease(lab: ScriptLab) -> None:
    now = lab.server_ms()
    lab.client.set(lab.keys.beat, f"{now - 40_000} {now + 60_000}")
    assert lab.beat(lease_ms=1000) == now + 60_000 - lab.now


def test_what_was_damaged_by_hand_is_written_anew(lab: ScriptLab) -> None:
    lab.client.set(lab.keys.beat, "what is this")
    assert lab.beat() == 0
    assert lab.dump()["beat"] == f"{lab.now} 0"
