"""revoke: what waits ends at once, what is held ends as REVOKED, what is unknown is remembered."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from streamtasks import StoreSettings
from streamtasks.stores.types import ClaimId, Limit, NewMessage
from tests.support.script_lab import REVOKED_MS, Record, ScriptLab, outcome
from tests.support.server_dump import Stream

UNKNOWN, GONE, MARKED, FINISHED, STREAM_WANTED = range(5)
NAME = "0:default"


def callback_of(task_id: str) -> str:
    return "cb." + hashlib.sha1(task_id.encode(), usedforsecurity=False).hexdigest()


def gone(lab: ScriptLab, task_id: str = "a") -> dict[str, Any]:
    """What a message leaves behind that had waited and was revoked, without its stream, rings and callback's body."""
    now = lab.now
    return {
        f"finished:{now // 3_600_000} (expires)": [{task_id: f"REVOKED {NAME}"}],
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
        record = Record("REVOKED", "-", (lab.now, 0, 0), 0, f"{accepted} body".encode(), b"", [])
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


class TestHeld:
    @pytest.mark.parametrize(("count", "phase"), [(1, "R"), (10, "C")])
    def test_it_is_marked_and_its_worker_told(self, lab: ScriptLab, count: int, phase: str) -> None:
        lab.enqueue("a")
        [claimed] = lab.claim(count=count).claimed
        line = lab.line("a")
        assert line is not None
        before = lab.dump()
        with lab.listen(lab.keys.control) as listener:
            assert lab.revoke("a") == [MARKED, ""]
            assert listener.heard() == ["revoke a 0"]
            marked = line.replace(f" {phase} ", " X ")
            assert lab.dump() == before | {"state": {"a": f"{marked} x=revoked"}}
            assert lab.revocations(claimed) == ["revoked"]
            assert lab.revoke("a", terminate=True) == [MARKED, ""]
            assert listener.heard() == ["revoke a 1"]
            assert lab.dump() == before | {"state": {"a": f"{marked} x=terminate"}}
            assert lab.revocations(claimed) == ["terminate"]
            assert lab.revoke("a") == [MARKED, ""]
            assert lab.dump() == before | {"state": {"a": f"{marked} x=terminate"}}

    def test_whatever_its_holder_says_it_is_revoked(self, lab: ScriptLab) -> None:
        lab.enqueue("a")
        claimed = lab.claim_one()
        lab.revoke("a")
        assert lab.settle(outcome(claimed), callbacks="revoked") == [1]
        assert lab.record("a").state == "REVOKED"
        assert set(lab.dump()["messages"]) == {callback_of("a")}
        assert lab.revoke("a") == [FINISHED, ""]

    def test_it_may_go_on_renewing_reporting_and_be_shown(self, lab: ScriptLab) -> None:
        lab.enqueue("a")
        [claimed] = lab.claim().claimed
        lab.revoke("a")
        assert lab.progress(claimed, data=b"1") == [1]
        assert lab.mark_running(claimed, ago_ms=5) == [1]
        assert lab.renew(claimed.token) == [1]
        [started] = lab.dump()["running"].values()
        assert lab.line("a") == f"w#1 X {NAME} {claimed.entry} 1 0 0 {started} {started} - x=revoked"

    def test_handed_back_it_is_given_out_to_be_settled(self, lab: ScriptLab) -> None:
        lab.enqueue("a")
        claimed = lab.claim_one()
        lab.revoke("a", terminate=True)
        assert lab.hand_back(claimed) == ([], [1])
        assert lab.line("a") == f"- Q {NAME} {claimed.entry} 0 0 0 {claimed.first_started_ms} 0 - x=revoked"
        assert not {"running", "leases", "batches"} & set(lab.dump())
        again = lab.claim_one("v", 1)
        assert (again.id, again.skip_reason) == ("a", "revoked")
        assert "running" not in lab.dump()
        assert lab.settle(outcome(again, "REVOKED", started=0), callbacks="revoked") == [1]
        assert "messages" not in lab.dump(), "its holder has done what belongs to it"

    def test_given_up_with_a_void_claim_it_is_given_out_to_be_settled(self, lab: ScriptLab) -> None:
        lab.enqueue("a")
        lab.claim("w", 1)
        lab.revoke("a")
        assert lab.hand_back(names=[NAME], invalidate=ClaimId("w", 1), gone=True) == ([], [])
        assert lab.claim_one("v", 1).skip_reason == "revoked"

    def test_one_that_was_given_out_to_be_settled_can_end_in_no_other_way(self, lab: ScriptLab) -> None:
        lab.enqueue("a")
        claimed = lab.claim_one()
        lab.revoke("a")
        lab.hand_back(claimed)
        again = lab.claim_one("v", 1)
        assert lab.settle(outcome(again)) == [1]
        assert lab.record("a").state == "REVOKED"

    def test_a_crash_of_its_child_gives_it_out_to_be_settled(self, lab: ScriptLab) -> None:
        lab.enqueue("a")
        claimed = lab.claim_one()
        lab.revoke("a")
        assert lab.charge(claimed) == [1]
        line = lab.line("a")
        assert line is not None
        assert line.startswith(f"- Q {NAME} {claimed.entry} 1 1 0 ")
        assert line.endswith("w#1 x=revoked")
        assert lab.claim_one("v", 1).skip_reason == "revoked"

    def test_a_second_crash_does_not_delay_it(self, lab: ScriptLab) -> None:
        lab.enqueue("a")
        lab.charge(lab.claim_one("w", 1))
        claimed = lab.claim_one("w", 2)
        lab.revoke("a")
        assert lab.charge(claimed) == [1]
        assert "delayed" not in lab.dump()
        assert lab.claim_one("w", 3).skip_reason == "revoked"

    def test_crashes_end_it_as_any_other(self, lab: ScriptLab) -> None:
        """Its holder may die of what belongs to its outcome."""
        lab.enqueue("a")
        claimed = lab.claim_one("w", 1)
        lab.revoke("a")
        assert lab.charge(claimed) == [1]
        assert lab.charge(lab.claim_one("w", 2)) == [1]
        third = lab.claim_one("w", 3)
        assert lab.charge(third) == [3]
        assert lab.settle(outcome(third, "DEAD"), callbacks="all") == [1]
        assert lab.record("a").state == "REVOKED"
        assert set(lab.dump()["messages"]) == {callback_of("a")}

    def test_lost_workers_end_it_as_any_other(self, lab: ScriptLab) -> None:
        lab.enqueue("a")
        lab.claim("w", 1, count=1)
        lab.revoke("a")
        lab.beat()
        lab.expire_leases("w#1")
        assert lab.reclaim(NAME, lost_limit=2)[0] == 1
        lab.claim("w", 2)
        assert set(lab.dump()["running"]) == {"a"}, "a suspect's start is recorded, though it does not run"
        lab.expire_leases("w#2")
        reclaimed, _, exhausted, _ = lab.reclaim(NAME, lost_limit=2)
        assert (reclaimed, exhausted[0]) == (0, "a")

    @pytest.mark.parametrize(("count", "lost"), [(1, 1), (10, 0)])
    def test_a_lost_worker_gives_it_out_to_be_settled(self, lab: ScriptLab, count: int, lost: int) -> None:
        lab.enqueue("a")
        lab.claim("gone", 1, count=count)
        lab.revoke("a")
        lab.beat()
        lab.expire_leases("gone#1")
        assert lab.reclaim(NAME) == (1, [], [], 0)
        assert len(lab.history("a")) == lost
        assert lab.dump()["q:0:default"] == Stream(["a"], {"a": "suspect"})
        [claimed] = lab.claim("v", 1).claimed
        assert (claimed.skip_reason, claimed.attempt) == ("revoked", 1 + lost)

    def test_a_claim_whose_reply_was_lost_says_so_when_repeated(self, lab: ScriptLab) -> None:
        lab.enqueue("a", "b")
        lab.claim("w", 1)
        lab.revoke("a", terminate=True)
        assert [c.skip_reason for c in lab.claim("w", 1).claimed] == ["revoked", ""]

    def test_only_who_holds_it_is_asked_to_end_it(self, lab: ScriptLab) -> None:
        lab.enqueue("a", "b")
        a, b = lab.claim().claimed
        lab.revoke("a")
        assert lab.revocations(b, a, a._replace(token="x#1"), a._replace(id="z")) == ["", "revoked", "", ""]


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
            "messages": {"a": f"{lab.now} body"},
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
