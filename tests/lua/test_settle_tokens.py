"""Settling counts for the holder of the current token only, and keeps or ends its lease."""

from __future__ import annotations

import pytest

from streamtasks.stores.types import Outcome
from tests.support.script_lab import KEEP_MS, LEASE_MS, RESULT, ScriptLab, claimed_batch, outcome


class TestTokens:
    def test_a_wrong_token_is_stale_and_changes_nothing(self, lab: ScriptLab) -> None:
        lab.enqueue("a")
        claimed = lab.claim_one("w", 1)
        before = lab.dump()
        for token in ("w#2", "v#1", "w#11", "w#", "w", "", "w#1 R"):
            assert lab.settle(outcome(claimed._replace(token=token)), released=[]) == [0]
        assert lab.dump() == before

    @pytest.mark.parametrize("state", ["SUCCESS", "RETRY"])
    def test_a_fenced_holder_is_stale_after_another_one_finished(self, lab: ScriptLab, state: str) -> None:
        lab.enqueue("a")
        old = lab.claim_one("old", 1)
        lab.expire_leases("old#1")
        lab.reclaim("0:default")
        new = lab.claim_one("new", 1)
        before = lab.dump()
        assert lab.settle(outcome(old, state)) == [0]
        assert lab.dump() == before
        assert lab.settle(outcome(new)) == [1]
        before = lab.dump()
        assert lab.settle(outcome(old, state)) == [0]
        assert lab.dump() == before

    def test_an_id_that_was_never_enqueued_is_stale(self, lab: ScriptLab) -> None:
        unknown = Outcome("x", "w#1", "0:default", "1-1", 1, 5, 5, "SUCCESS", RESULT, "", KEEP_MS)
        assert lab.settle(unknown) == [0]
        assert lab.dump() == {}

    def test_a_message_that_was_handed_back_is_stale(self, lab: ScriptLab) -> None:
        lab.enqueue("a")
        claimed = lab.claim_one()
        lab.hand_back(claimed)
        before = lab.dump()
        assert lab.settle(outcome(claimed)) == [0]
        assert lab.dump() == before

    def test_a_suspect_can_not_be_settled_by_its_old_holder(self, lab: ScriptLab) -> None:
        lab.enqueue("a")
        old = lab.claim_one("old", 1)
        lab.expire_leases("old#1")
        lab.reclaim("0:default")
        before = lab.dump()
        assert lab.settle(outcome(old)) == [0]
        assert lab.dump() == before


class TestLease:
    def test_a_claim_keeps_its_lease_until_its_last_message_is_out(self, lab: ScriptLab) -> None:
        a, b, c = claimed_batch(lab, "a", "b", "c")
        lease = {"w#1": lab.now + LEASE_MS}
        lab.settle(outcome(a, started=5))
        assert lab.dump()["leases"] == lease
        assert lab.dump()["batches"] == {"w#1": "3 a b c"}
        lab.settle(outcome(b, "RETRY", started=5), released=[])
        assert lab.dump()["leases"] == lease
        lab.settle(outcome(c, started=5))
        assert not {"leases", "batches"} & set(lab.dump())

    def test_a_whole_batch_leaves_no_lease(self, lab: ScriptLab) -> None:
        lab.settle(*(outcome(c, started=5) for c in claimed_batch(lab, "a", "b", "c")))
        assert not {"leases", "batches"} & set(lab.dump())

    def test_releasing_what_still_holds_a_message_keeps_the_lease(self, lab: ScriptLab) -> None:
        claimed_batch(lab, "a", "b")
        before = lab.dump()
        lab.settle(released=["w#1"])
        assert lab.dump() == before

    def test_a_stale_holder_can_not_release_anothers_lease(self, lab: ScriptLab) -> None:
        lab.enqueue("a")
        old = lab.claim_one("old", 1)
        lab.expire_leases("old#1")
        lab.reclaim("0:default")
        lab.claim_one("new", 1)
        before = lab.dump()
        lab.settle(outcome(old))
        assert lab.dump() == before

    def test_one_that_was_handed_back_and_claimed_again_is_not_what_the_old_claim_holds(self, lab: ScriptLab) -> None:
        a, b = claimed_batch(lab, "a", "b")
        lab.hand_back(b)
        lab.claim("v", 1)
        lab.settle(outcome(a, started=5))
        left = lab.dump()
        assert set(left["leases"]) == set(left["batches"]) == {"v#1"}
