"""Revoking a message that a child holds."""

from __future__ import annotations

import pytest

from streamtasks.stores.types import ClaimId
from tests.lua.test_revoke import callback_of
from tests.support.script_lab import ScriptLab, outcome
from tests.support.server_dump import Stream

UNKNOWN, GONE, MARKED, FINISHED, STREAM_WANTED = range(5)
NAME = "0:default"


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
            marked = line.replace(f" {phase} ", " X ").replace(f" {0:013} {0:013} ", " 0 0 ")
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
