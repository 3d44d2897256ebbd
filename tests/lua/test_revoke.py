"""revoke: what waits ends at once, what is held ends as REVOKED, what is unknown is remembered."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from streamtasks import StoreSettings
from streamtasks.stores.types import Limit, NewMessage
from tests.support.script_lab import ScriptLab, outcome
from tests.support.server_dump import Stream, accepted_at
from tests.support.shard_view import REVOKED_MS, Record

UNKNOWN, GONE, MARKED, FINISHED, STREAM_WANTED = range(5)
NAME = "0:default"


def callback_of(task_id: str) -> str:
    return "cb." + hashlib.sha1(task_id.encode(), usedforsecurity=False).hexdigest()


def gone(lab: ScriptLab, task_id: str = "a") -> dict[str, Any]:
    """What a message leaves behind that had waited and was revoked, without its stream, rings and callback's body."""
    now = lab.now
    return {
        f"finished:{now // 3_600_000}:3 (expires)": [{f"REVOKED {NAME}": task_id}],
        f"counts:{now // 3_600_000} (expires)": {f"{now // 60_000 % 60} default REVOKED": "1"},
        "totals": {"REVOKED": "1"},
        "streams": {NAME: 0},
        "ready": {NAME: 0},
        "wake": ["1"],
        "wake:default": ["1"],
    }


def without_bodies(lab: ScriptLab) -> dict[str, Any]:
    """Every key but the record, and the callback's id in place of its body."""
    left = {name: content for name, content in lab.dump().items() if not name.startswith("r:")}
    left["messages"] = list(left["messages"])
    return left


class TestWaiting:
    def test_a_queued_one_is_finished_at_once(self, lab: ScriptLab) -> None:
        [accepted] = lab.enqueue_one_by_one("a", body=b"body")
        with lab.listen(lab.keys.done_channel("a")) as listener:
            assert lab.revoke("a", NAME) == [GONE, ""]
            assert listener.heard() == ["a"]
        record = Record("REVOKED", "-", (lab.now, 0, 0), 0, f"{accepted_at(accepted)} body".encode(), b"", [])
        assert lab.record("a") == record
        assert REVOKED_MS - 5_000 < lab.client.pttl(lab.keys.record("a")) <= REVOKED_MS
        callback = callback_of("a")
        assert without_bodies(lab) == gone(lab) | {"messages": [callback], "q:0:default": Stream(["a", callback], {})}
        assert lab.claim().ids == [callback]
        assert lab.dump()["q:0:default"] == Stream([callback], {callback: "w"})

    def test_again_it_is_gone_already(self, lab: ScriptLab) -> None:
        lab.enqueue("a")
        lab.revoke("a", NAME)
        before = lab.dump()
        assert lab.revoke("a", NAME, terminate=True) == [GONE, ""]
        assert lab.enqueue("a") == [0]
        assert lab.dump() == before

    def test_its_stream_is_asked_for(self, lab: ScriptLab) -> None:
        lab.enqueue("a")
        lab.enqueue("b", delay_ms=60_000, queue="mail", priority=5)
        before = lab.dump()
        assert lab.revoke("a") == [STREAM_WANTED, ""]
        assert lab.revoke("b") == [STREAM_WANTED, "5:mail"]
        assert lab.revoke("b", NAME) == [STREAM_WANTED, "5:mail"]
        assert lab.dump() == before
        assert lab.revoke("b", "5:mail") == [GONE, ""]

    def test_a_delayed_one(self, lab: ScriptLab) -> None:
        lab.enqueue("a", delay_ms=60_000)
        assert lab.revoke("a", NAME) == [GONE, ""]
        callback = callback_of("a")
        assert without_bodies(lab) == gone(lab) | {"messages": [callback], "q:0:default": Stream([callback], {})}

    def test_a_blocked_one(self, lab: ScriptLab) -> None:
        lab.enqueue("p")
        claimed = lab.claim_one()
        lab.enqueue("a", after="p")
        assert lab.revoke("a", NAME) == [GONE, ""]
        assert lab.record("a").state == "REVOKED"
        assert "a" not in lab.dump()["messages"]
        assert set(lab.dump()["state"]) == {"p"}
        lab.settle(outcome(claimed))
        assert not {"delayed", "state", "links"} & set(lab.dump())

    def test_one_that_waits_for_its_next_attempt_keeps_its_reports(self, lab: ScriptLab) -> None:
        lab.enqueue("a")
        claimed = lab.claim_one()
        lab.settle(outcome(claimed, "RETRY", delay_ms=60_000))
        assert lab.revoke("a", NAME) == [GONE, ""]
        times = (lab.now, claimed.first_started_ms, 0)
        assert lab.record("a") == Record("REVOKED", "-", times, 1, claimed.body, b"", [{"kind": "RETRY"}])
        assert not {"history", "state", "delayed"} & set(lab.dump())

    def test_a_suspect_leaves_an_entry_that_a_claim_drops(self, lab: ScriptLab) -> None:
        lab.enqueue("a")
        lab.claim("gone", 1)
        lab.beat()
        lab.expire_leases("gone#1")
        lab.reclaim(NAME)
        assert lab.revoke("a", NAME) == [GONE, ""]
        assert lab.claim("w", 1).ids == [callback_of("a")]
        assert lab.dump()["q:0:default"] == Stream([callback_of("a")], {callback_of("a"): "w"})

    def test_one_that_was_handed_back_leaves_an_entry_that_a_claim_drops(self, lab: ScriptLab) -> None:
        lab.enqueue("a")
        lab.hand_back(*lab.claim().claimed)
        assert lab.revoke("a", NAME) == [GONE, ""]
        assert lab.claim("w", 2).ids == [callback_of("a")]

    def test_who_waits_for_it_goes_on_to_fail(self, lab: ScriptLab) -> None:
        lab.enqueue("a")
        lab.enqueue("b", after="a", delay_ms=60_000)
        lab.revoke("a", NAME)
        assert lab.line("b") == f"- D {NAME} - 0 0 0 0 0 - x=parent:a"
        assert lab.dump()["delayed"] == {"b": lab.now}
        assert "links" not in lab.dump()
        lab.promote(NAME)
        lab.take_tokens()
        claimed = {c.id: c for c in lab.claim(count=10).claimed}
        assert claimed["b"].skip_reason == "parent a"

    def test_a_callback_message_is_left_alone(self, lab: ScriptLab) -> None:
        lab.enqueue(callback_of("a"))
        before = lab.dump()
        assert lab.revoke(callback_of("a"), NAME) == [FINISHED, ""]
        assert lab.dump() == before


class TestFinished:
    @pytest.mark.parametrize("state", ["SUCCESS", "FAILURE", "IGNORED", "EXPIRED", "DEAD", "REVOKED"])
    def test_it_is_not_changed(self, lab: ScriptLab, state: str) -> None:
        lab.enqueue("a")
        lab.settle(outcome(lab.claim_one(), state))
        before = lab.dump()
        assert lab.revoke("a", NAME, terminate=True) == [FINISHED, ""]
        assert lab.dump() == before


class TestUnknown:
    def test_it_is_remembered(self, lab: ScriptLab) -> None:
        assert lab.revoke("a") == [UNKNOWN, ""]
        assert lab.dump() == {"r:a (expires)": f"0 {lab.now}"}
        assert REVOKED_MS - 5_000 < lab.client.pttl(lab.keys.record("a")) <= REVOKED_MS
        assert lab.read("a") == [[]]
        assert lab.revoke("a", terminate=True) == [UNKNOWN, ""]
        assert lab.dump().keys() == {"r:a (expires)"}

    def test_enqueued_later_it_goes_on_at_once_to_be_revoked(self, lab: ScriptLab) -> None:
        lab.revoke("a")
        assert lab.enqueue("a", body=b"body", delay_ms=60_000, limit=Limit("slow", 1_000_000, 1)) == [2]
        mark = "l=1000000,1,slow x=revoked"
        assert lab.dump() == {
            "messages": {"a": f"{accepted_at(lab.now)} body"},
            "state": {"a": f"- Q {NAME} - 0 0 0 0 0 - {mark}"},
            "streams": {NAME: 0},
            "ready": {NAME: 0},
            "q:0:default": Stream(["a"], {}),
            "wake": ["1"],
            "wake:default": ["1"],
        }
        before = lab.dump()
        assert lab.enqueue("a") == [0]
        assert lab.dump() == before

    def test_a_second_revoke_finishes_it_as_any_other(self, lab: ScriptLab) -> None:
        lab.revoke("a")
        lab.enqueue("a", body=b"body")
        with lab.listen(lab.keys.done_channel("a")) as listener:
            assert lab.revoke("a", NAME) == [GONE, ""]
            assert listener.heard() == ["a"]
        found = lab.dump()
        lab.client.flushall()
        lab.enqueue("a", body=b"body")
        lab.revoke("a", NAME)
        expected = lab.dump()
        assert found.keys() == expected.keys()
        for name in ("totals", "ready", "streams"):
            assert found[name] == expected[name]

    def test_if_nobody_does_the_child_that_claims_it_settles_it(self, lab: ScriptLab) -> None:
        lab.revoke("a")
        lab.enqueue("a", body=b"body")
        [claimed] = lab.claim().claimed
        assert claimed.skip_reason == "revoked"
        assert lab.settle(outcome(claimed, "REVOKED", started=0)) == [1]
        assert lab.record("a").state == "REVOKED"
        assert lab.client.pttl(lab.keys.record("a")) > 890_000

    def test_a_follow_up_as_well(self, lab: ScriptLab) -> None:
        lab.revoke("b")
        lab.enqueue("a")
        lab.settle(outcome(lab.claim_one(), follow=(NewMessage("b", "default", 0, b"B"),)))
        assert lab.line("b") == f"- Q {NAME} - 0 0 0 0 0 - x=revoked"

    def test_who_should_run_after_it_fails(self, lab: ScriptLab) -> None:
        lab.revoke("a")
        lab.enqueue("b", after="a")
        assert lab.line("b") == f"- Q {NAME} - 0 0 0 0 0 - x=parent:a"


class TestClaimOfDoomed:
    @pytest.mark.parametrize("count", [1, 10])
    def test_it_is_claimed_but_not_started(self, lab: ScriptLab, count: int) -> None:
        lab.enqueue("a", after="unknown")
        [claimed] = lab.claim(count=count).claimed
        assert claimed.skip_reason == "parent unknown"
        assert lab.line("a") == f"w#1 C {NAME} {claimed.entry} 1 0 0 0 0 - x=parent:unknown"
        assert "running" not in lab.dump()
        assert lab.settle(outcome(claimed, "FAILURE", started=0)) == [1]


def test_the_wrong_hour_is_told(lab: ScriptLab) -> None:
    lab.enqueue("a")
    before = lab.dump()
    hour = lab.hour()
    for wrong in (-2, 1):
        reply = lab.revoke("a", NAME, hour=hour + wrong)
        assert len(reply) == 1
    assert lab.dump() == before
    assert lab.revoke("a", NAME, hour=hour - 1) == [GONE, ""]


def test_events_tell_of_it(lab: ScriptLab) -> None:
    lab.enqueue("a", "b", "c")
    lab.settings = StoreSettings(send_events=True)
    lab.claim(count=2)
    lab.revoke("a")
    lab.revoke("b", terminate=True)
    lab.revoke("c", NAME)
    assert lab.dump()["events"] == [
        {"kind": "revoked", "a": "wait"},
        {"kind": "revoked", "b": "terminate"},
        {"kind": "settled", "c": "REVOKED"},
    ]
