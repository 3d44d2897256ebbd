"""What the scripts do with a message whose starts count against a rate limit: each start needs a token."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from streamtasks.stores.types import ClaimId, Limit, NewMessage
from tests.support.script_lab import outcome
from tests.support.server_dump import Stream

if TYPE_CHECKING:
    from streamtasks.stores.types import Claimed
    from tests.support.script_lab import ScriptLab

HOURLY = Limit("mail", 3_600_000_000)
MARK = "l=3600000000,1,mail"
NAME = "0:default"
FIRST, SECOND = f"{1:016}", f"{2:016}"
FRONT = f"{0:016}"


def member(task_id: str, place: str, priority: int = 0) -> str:
    return f"mail\0{100 - priority:03}\0{place}\0{task_id}"


def claimed_one(lab: ScriptLab, task_id: str = "a", count: int = 1) -> Claimed:
    """Enqueue a limited message, admit it, claim it."""
    lab.enqueue(task_id, limit=HOURLY)
    assert lab.admit_now(NAME) == 1
    [claimed] = lab.claim(count=count).claimed
    assert claimed.id == task_id
    return claimed


def out(lab: ScriptLab) -> list[str]:
    """Who is admitted and not claimed."""
    return str(lab.dump()["limits"]["mail"]).split()[6:]


class TestEnqueue:
    def test_the_keepers_are_told_once(self, lab: ScriptLab) -> None:
        with lab.listen(lab.keys.control) as listener:
            lab.enqueue("a", "b", limit=HOURLY)
            assert listener.heard() == ["limit"]

    def test_unlimited_ones_go_on_beside_it(self, lab: ScriptLab) -> None:
        lab.enqueue("a", limit=HOURLY)
        lab.enqueue("b")
        assert lab.claim().ids == ["b"]

    def test_a_delayed_one_waits_for_its_time_first(self, lab: ScriptLab) -> None:
        lab.enqueue("a", delay_ms=60_000, limit=HOURLY)
        found = lab.dump()
        assert found["state"] == {"a": f"- D {NAME} - 0 0 0 0 0 - {MARK}"}
        assert not {"waiting", "limits", "asking"} & set(found)
        lab.make_due("a")
        assert lab.promote() == (1, -1, []), "it needs no stream yet"
        found = lab.dump()
        assert found["state"] == {"a": f"- W {NAME} {FIRST} 0 0 0 0 0 - {MARK}"}
        assert found["waiting"] == {member("a", FIRST): 0}
        assert "delayed" not in found

    def test_a_later_one_brings_its_numbers_at_once(self, lab: ScriptLab) -> None:
        lab.enqueue("a", limit=HOURLY)
        lab.enqueue("b", delay_ms=60_000, limit=Limit("mail", 5_000_000, 3))
        assert lab.dump()["limits"]["mail"].startswith("5000000 3 ")

    def test_one_that_waits_for_another_task_keeps_its_limit(self, lab: ScriptLab) -> None:
        lab.enqueue("parent")
        lab.enqueue("a", after="parent", limit=HOURLY)
        assert lab.line("a") == f"- B {NAME} - 0 0 0 0 0 - {MARK} a=parent"
        lab.settle(outcome(lab.claim_one()))
        lab.promote(NAME)
        assert lab.dump()["waiting"] == {member("a", FIRST): 0}

    def test_one_whose_parent_failed_needs_no_token(self, lab: ScriptLab) -> None:
        lab.enqueue("a", after="unknown", limit=HOURLY)
        assert lab.claim().ids == ["a"]
        assert not {"waiting", "limits", "asking"} & set(lab.dump())

    def test_what_follows_an_outcome_may_be_limited(self, lab: ScriptLab) -> None:
        lab.enqueue("a")
        follow = (NewMessage("b", "default", 0, b"{}", limit=HOURLY),)
        assert lab.settle(outcome(lab.claim_one(), follow=follow)) == [1]
        assert lab.dump()["waiting"] == {member("b", FIRST): 0}


class TestClaim:
    def test_it_frees_the_place_and_tells_the_keepers(self, lab: ScriptLab) -> None:
        lab.enqueue("a", "b", limit=HOURLY)
        lab.admit_now(NAME)
        assert out(lab) == ["a"]
        claimed = lab.claim_one()
        assert out(lab) == []
        assert lab.line("a") == (
            f"w#1 R {NAME} {claimed.entry} 1 0 0 {claimed.first_started_ms} {claimed.first_started_ms} - {MARK}"
        )

    def test_the_same_claim_again_counts_no_other_start(self, lab: ScriptLab) -> None:
        claimed_one(lab)
        before = lab.dump()
        assert lab.claim(seq=1, count=1).ids == ["a"]
        assert lab.dump() == before


class TestSettle:
    def test_a_finished_one_leaves_nothing_but_the_limit(self, lab: ScriptLab) -> None:
        assert lab.settle(outcome(claimed_one(lab))) == [1]
        found = lab.dump()
        assert not {"waiting", "messages", "state", "delayed", "running", "q:0:default"} & {
            name for name, content in found.items() if content not in ({}, Stream([], {}))
        }

    @pytest.mark.parametrize("delay_ms", [0, 60_000])
    def test_a_retry_waits_for_its_time_then_for_a_token(self, lab: ScriptLab, delay_ms: int) -> None:
        claimed = claimed_one(lab)
        lab.settle(outcome(claimed, "RETRY", delay_ms=delay_ms))
        if delay_ms:
            assert set(lab.dump()["delayed"]) == {"a"}
            lab.make_due("a")
            lab.promote()
        found = lab.dump()
        assert found["state"] == {
            "a": f"- W {NAME} {SECOND} 1 0 0 {claimed.first_started_ms} 0 w#1 {MARK}",
        }
        assert found["q:0:default"] == Stream([], {})
        assert lab.admit_now(NAME) == 0


class TestCharge:
    def test_a_crashed_one_waits_for_another_token_before_the_others(self, lab: ScriptLab) -> None:
        claimed = claimed_one(lab)
        lab.enqueue("b", limit=HOURLY)
        assert lab.charge(claimed) == [1]
        found = lab.dump()
        assert found["state"]["a"] == f"- W {NAME} {FRONT} 1 1 0 {claimed.first_started_ms} 0 w#1 {MARK}"
        assert sorted(found["waiting"]) == [member("a", FRONT), member("b", SECOND)]
        assert found["q:0:default"] == Stream([], {})
        assert not {"running", "leases", "batches"} & set(found)
        before = found
        assert lab.charge(claimed) == [0]
        assert lab.dump() == before

    def test_after_two_crashes_it_comes_back_as_a_suspect(self, lab: ScriptLab) -> None:
        lab.charge(claimed_one(lab))
        lab.client.delete(lab.keys.limiter("mail"), lab.keys.limits)
        lab.client.zadd(lab.keys.asking, {"mail": 1})
        lab.admit_now(NAME)
        assert lab.charge(lab.claim_one("w", 2)) == [2]
        lab.make_due("a")
        lab.promote()
        line = lab.line("a")
        assert str(line).split()[1] == "W"
        assert str(line).endswith(" s=1")
        lab.client.delete(lab.keys.limiter("mail"), lab.keys.limits)
        lab.client.zadd(lab.keys.asking, {"mail": 1})
        lab.admit_now(NAME)
        line = lab.line("a")
        assert str(line).split()[1] == "S"
        assert str(line).endswith(MARK)
        assert lab.claim("w", 3, alone=False).ids == []
        assert lab.claim("w", 4).flags == 8


class TestHandBack:
    def test_an_unstarted_one_keeps_its_place_and_its_token(self, lab: ScriptLab) -> None:
        lab.enqueue("a", limit=HOURLY)
        lab.admit_now(NAME)
        [claimed] = lab.claim(count=10).claimed
        assert lab.hand_back(claimed) == ([], [1])
        found = lab.dump()
        assert found["q:0:default"] == Stream(["a"], {"a": "returned"})
        assert found["state"] == {"a": f"- Q {NAME} {claimed.entry} 0 0 0 0 0 - {MARK}"}
        assert out(lab) == ["a"]
        assert lab.claim("v", 1).ids == ["a"]
        assert out(lab) == []

    def test_its_start_counts_once(self, lab: ScriptLab) -> None:
        lab.enqueue("a", limit=HOURLY)
        lab.admit_now(NAME)
        lab.hand_back(*lab.claim(count=10).claimed)
        again = lab.claim_one("v", 1)
        full_at = int(lab.dump()["limits"]["mail"].split()[5])
        assert full_at // 1000 == pytest.approx(again.first_started_ms + 3_600_000 - 20, abs=3)

    def test_one_that_a_void_claim_took_keeps_its_token(self, lab: ScriptLab) -> None:
        claimed_one(lab)
        lab.hand_back(names=[NAME], invalidate=ClaimId("w", 1))
        assert lab.dump()["q:0:default"] == Stream(["a"], {"a": "returned"})
        assert out(lab) == ["a"]

    def test_a_started_one_needs_another_token(self, lab: ScriptLab) -> None:
        claimed = claimed_one(lab)
        assert lab.hand_back(claimed) == ([], [1])
        found = lab.dump()
        assert found["waiting"] == {member("a", FRONT): 0}
        assert found["state"] == {"a": f"- W {NAME} {FRONT} 0 0 0 {claimed.first_started_ms} 0 - {MARK}"}
        assert found["q:0:default"] == Stream([], {})
        assert not {"running", "leases", "batches"} & set(found)


class TestReclaim:
    def test_it_waits_for_another_token_and_is_a_suspect_then(self, lab: ScriptLab) -> None:
        claimed = claimed_one(lab)
        lab.beat()
        lab.expire_leases("w#1")
        assert lab.reclaim(NAME) == (1, [], [], 0)
        found = lab.dump()
        assert found["state"] == {"a": f"- W {NAME} {FRONT} 1 0 1 {claimed.first_started_ms} 0 - {MARK} s=1"}
        assert found["waiting"] == {member("a", FRONT): 0}
        assert found["q:0:default"] == Stream([], {})
        assert not {"running", "leases", "batches"} & set(found)
        lab.client.delete(lab.keys.limiter("mail"), lab.keys.limits)
        lab.client.zadd(lab.keys.asking, {"mail": 1})
        assert lab.admit_now(NAME) == 1
        assert lab.line("a") == f"- S {NAME} - 1 0 1 {claimed.first_started_ms} 0 - {MARK}"


def test_read_tells_what_it_waits_for(lab: ScriptLab) -> None:
    lab.enqueue("a", limit=HOURLY)
    [[_, line, *_]] = lab.read("a")
    assert line == f"- W {NAME} {FIRST} 0 0 0 0 0 - {MARK}"


class TestRevoke:
    def test_one_that_waits_is_gone(self, lab: ScriptLab) -> None:
        lab.enqueue("a", "b", limit=HOURLY)
        lab.enqueue("c", priority=7, limit=HOURLY)
        assert lab.revoke("a", NAME)[0] == 1
        assert lab.revoke("c", "7:default")[0] == 1
        assert lab.dump()["waiting"] == {member("b", SECOND): 0}
        assert lab.admit_now(NAME) == 1

    def test_one_that_was_admitted_gives_its_place_free(self, lab: ScriptLab) -> None:
        lab.enqueue("a", "b", limit=HOURLY)
        lab.admit_now(NAME)
        assert out(lab) == ["a"]
        assert lab.revoke("a", NAME)[0] == 1
        assert out(lab) == []
        lab.client.delete(lab.keys.limiter("mail"))
        assert lab.admit_now(NAME) == 1
        assert lab.claim().ids[-1] == "b"

    @pytest.mark.parametrize("back", ["hand_back", "charge"])
    def test_one_that_was_held_needs_no_other_token(self, lab: ScriptLab, back: str) -> None:
        claimed = claimed_one(lab)
        assert lab.revoke("a")[0] == 2
        getattr(lab, back)(claimed)
        assert "waiting" not in lab.dump()
        assert lab.claim("v", 1).ids == ["a"]
