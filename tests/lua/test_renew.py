"""renew: a claim that is held gets its lease anew; one that is not is refused."""

from __future__ import annotations

from tests.support.script_lab import ScriptLab, outcome


def test_the_lease_of_a_claim_is_extended_and_nothing_else(lab: ScriptLab) -> None:
    lab.enqueue("a", "b")
    lab.claim("w", 1)
    before = lab.dump()
    assert lab.renew("w#1", lease_ms=90_000) == [1]
    before["leases"] = {"w#1": lab.now + 90_000}
    assert lab.dump() == before


def test_an_expired_lease_that_nobody_took_is_extended(lab: ScriptLab) -> None:
    lab.enqueue("a")
    lab.claim_one("w", 1)
    lab.expire_leases("w#1")
    assert lab.renew("w#1") == [1]


def test_claims_that_ended_in_any_way_are_refused_and_not_revived(lab: ScriptLab) -> None:
    lab.enqueue("settled", "back", "crashed", "gone", "held")
    settled, back, crashed, _, _ = (lab.claim_one("w", seq) for seq in range(1, 6))
    lab.settle(outcome(settled))
    lab.hand_back(back)
    lab.charge(crashed)
    lab.expire_leases("w#4")
    lab.reclaim("0:default")
    before = lab.dump()
    assert lab.renew("w#1", "w#2", "w#3", "w#4", "w#5", "w#6", "v#5") == [0, 0, 0, 0, 1, 0, 0]
    before["leases"] = {"w#5": lab.now + 30_000}
    assert lab.dump() == before
