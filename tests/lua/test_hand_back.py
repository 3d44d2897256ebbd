"""hand_back: a claimed message returns to its place, uncharged, and a lost claim is given up."""

from __future__ import annotations

import pytest

from streamtasks.protocol.keys import GROUP
from streamtasks.stores.types import Claimed, ClaimId, Limit
from tests.support.script_lab import ScriptLab, outcome
from tests.support.server_dump import Stream, accepted_at


@pytest.fixture
def held(lab: ScriptLab) -> list[Claimed]:
    """`a`, `b` and `c`, claimed together."""
    lab.enqueue("a", "b", "c")
    claimed = lab.claim("w", 1).claimed
    lab.take_tokens()
    return claimed


class TestMembers:
    def test_a_fresh_message_is_as_if_it_had_never_been_claimed(self, lab: ScriptLab) -> None:
        [accepted] = lab.enqueue_one_by_one("a", body=b"body")
        claimed = lab.claim_one()
        lab.take_tokens()
        assert lab.hand_back(claimed) == ([], [1])
        assert lab.dump() == {
            "messages": {"a": f"{accepted_at(accepted)} body"},
            "ready": {"0:default": 0},
            "claim:w (expires)": "1 ids",
            "streams": {"0:default": 0},
            "q:0:default": Stream(["a"], {"a": "returned"}),
            "wake": ["1"],
            "wake:default": ["1"],
        }

    def test_again_is_stale_and_changes_nothing(self, lab: ScriptLab, held: list[Claimed]) -> None:
        assert lab.hand_back(*held) == ([], [1, 1, 1])
        before = lab.dump()
        assert lab.hand_back(*held) == ([], [0, 0, 0])
        assert lab.dump() == before

    def test_it_keeps_its_place(self, lab: ScriptLab) -> None:
        lab.enqueue("a", "b", "c", "d")
        claimed = lab.claim("w", 1, count=2).claimed
        lab.hand_back(*reversed(claimed))
        assert lab.claim("v", 1).ids == ["a", "b", "c", "d"]

    def test_the_attempt_does_not_count(self, lab: ScriptLab) -> None:
        lab.enqueue("a")
        for seq in range(1, 5):
            claimed = lab.claim_one("w", seq)
            assert (claimed.attempt, claimed.retries) == (1, 0)
            lab.hand_back(claimed)
        assert lab.line("a") is None

    def test_what_earlier_attempts_left_is_kept(self, lab: ScriptLab) -> None:
        lab.enqueue("a")
        first = lab.claim_one("w", 1)
        lab.settle(outcome(first, "RETRY"))
        lab.hand_back(lab.claim_one("w", 2))
        again = lab.claim_one("w", 3)
        assert (again.attempt, again.retries, again.first_started_ms) == (2, 1, first.first_started_ms)
        assert lab.history("a") == [{"kind": "RETRY"}]

    def test_a_running_one_with_progress_leaves_nothing_of_it(self, lab: ScriptLab) -> None:
        lab.enqueue("a")
        claimed = lab.claim_one()
        lab.progress(claimed, data=b'{"n":1}')
        assert lab.hand_back(claimed) == ([], [1])
        assert not {"running", "progress", "leases", "batches", "state"} & set(lab.dump())

    def test_a_stale_one_does_not_spoil_the_others(self, lab: ScriptLab, held: list[Claimed]) -> None:
        a, b, c = held
        lab.settle(outcome(b, started=5))
        wrong = c._replace(token="w#2")
        assert lab.hand_back(a, b, wrong) == ([], [1, 0, 0])
        left = lab.dump()
        assert left["q:0:default"] == Stream(["a", "c"], {"a": "returned", "c": "w"})
        assert set(left["leases"]) == {"w#1"}, "c is still in hand"

    def test_the_lease_goes_with_the_last_one(self, lab: ScriptLab, held: list[Claimed]) -> None:
        lab.hand_back(*held[:2])
        assert set(lab.dump()["leases"]) == {"w#1"}
        lab.hand_back(held[2])
        assert not {"leases", "batches"} & set(lab.dump())

    def test_the_lease_goes_if_the_rest_was_settled_before(self, lab: ScriptLab, held: list[Claimed]) -> None:
        lab.settle(*(outcome(c, started=5) for c in held[:2]), released=[])
        lab.hand_back(held[2])
        assert not {"leases", "batches"} & set(lab.dump())

    def test_messages_of_several_streams(self, lab: ScriptLab) -> None:
        lab.enqueue("a")
        lab.enqueue("b", queue="mail", priority=9)
        claimed = lab.claim().claimed
        lab.take_tokens()
        assert lab.hand_back(*claimed) == ([], [1, 1])
        assert lab.dump()["ready"] == {"0:default": 0, "9:mail": 9}
        assert lab.token_in(lab.keys.queue_wake("mail"))
        assert lab.token_in(lab.keys.queue_wake("default"))

    def test_a_stream_that_is_ready_already_does_not_ring_again(self, lab: ScriptLab, held: list[Claimed]) -> None:
        lab.enqueue("d")
        lab.take_tokens()
        lab.hand_back(*held)
        assert not lab.token_in(lab.keys.wake)


class TestAlone:
    def test_only_empty_hands_get_it_and_it_keeps_its_place(self, lab: ScriptLab, held: list[Claimed]) -> None:
        assert lab.hand_back(*held, alone={"b"}) == ([], [1, 1, 1])
        left = lab.dump()
        assert left["q:0:default"] == Stream(["a", "b", "c"], {"a": "returned", "b": "suspect", "c": "returned"})
        assert left["state"] == {"b": "- S 0:default " + held[1].entry + " 0 0 0 0 0 -"}
        assert lab.token_in(lab.keys.wake)
        assert lab.claim("v", 1, alone=False).ids == ["a", "c"]
        answer = lab.claim("v", 2, alone=True)
        assert answer.ids == ["b"]
        assert (answer.claimed[0].attempt, answer.claimed[0].retries) == (1, 0)

    def test_one_with_a_rate_limit_waits_for_its_turn_and_is_alone_then(self, lab: ScriptLab) -> None:
        lab.enqueue("a", limit=Limit("mail", 3_600_000_000))
        assert lab.admit_now("0:default") == 1
        claimed = lab.claim_one()
        assert lab.hand_back(claimed, alone={"a"}) == ([], [1])
        assert " s=1" in (lab.line("a") or "")


class TestVoid:
    def test_a_claim_whose_reply_was_never_read_is_handed_back(self, lab: ScriptLab, held: list[Claimed]) -> None:
        assert lab.hand_back(names=["0:default"], invalidate=ClaimId("w", 1)) == ([], [])
        left = lab.dump()
        assert left["claim:w (expires)"] == "1 void"
        assert left["q:0:default"] == Stream(["a", "b", "c"], dict.fromkeys("abc", "returned"))
        assert not {"state", "leases", "batches"} & set(left)

    def test_again_changes_nothing(self, lab: ScriptLab, held: list[Claimed]) -> None:
        lab.hand_back(names=["0:default"], invalidate=ClaimId("w", 1))
        before = lab.dump()
        lab.hand_back(names=["0:default"], invalidate=ClaimId("w", 1))
        assert lab.dump() == before

    def test_only_that_claim_is_handed_back(self, lab: ScriptLab, held: list[Claimed]) -> None:
        before = lab.dump()
        assert lab.hand_back(invalidate=ClaimId("w", 2)) == ([], [])
        before["claim:w (expires)"] = "2 void"
        assert lab.dump() == before

    def test_a_later_claim_of_the_same_child_is_left_alone(self, lab: ScriptLab, held: list[Claimed]) -> None:
        lab.enqueue("d")
        lab.claim("w", 2)
        lab.take_tokens()
        assert lab.hand_back(names=["0:default"], invalidate=ClaimId("w", 1)) == ([], [])
        left = lab.dump()
        assert left["claim:w (expires)"] == "2 ids"
        assert left["q:0:default"].pending == {"a": "returned", "b": "returned", "c": "returned", "d": "w"}
        assert set(left["leases"]) == {"w#2"}

    def test_streams_the_call_did_not_bring_are_asked_for_and_left_alone(
        self, lab: ScriptLab, held: list[Claimed]
    ) -> None:
        before = lab.dump()
        missing, codes = lab.hand_back(invalidate=ClaimId("w", 1))
        assert set(missing) == {"0:default"}
        assert codes == []
        assert lab.dump() == before

    def test_a_claim_still_on_its_way_finds_nothing(self, lab: ScriptLab) -> None:
        lab.enqueue("a")
        lab.hand_back(invalidate=ClaimId("w", 7))
        assert lab.claim_with(["0:default"], "w", 7).kind == "void"

    def test_a_claim_of_a_dead_child_still_on_its_way_finds_nothing(self, lab: ScriptLab) -> None:
        """What a killed process had sent may reach the server after this."""
        lab.enqueue("a")
        lab.hand_back(invalidate=ClaimId("w", 7), gone=True)
        assert lab.claim_with(["0:default"], "w", 7).ids == []
        assert lab.claim("v", 1).ids == ["a"]

    def test_what_a_consumer_that_is_gone_held_goes_back(self, lab: ScriptLab, held: list[Claimed]) -> None:
        lab.hand_back(held[0], names=["0:default"], invalidate=ClaimId("w", 1), gone=True)
        left = lab.dump()
        kept = {key for key in left if "expires" not in key}
        assert kept == {"messages", "ready", "streams", "q:0:default", "wake", "wake:default"}
        assert left["q:0:default"] == Stream(["a", "b", "c"], dict.fromkeys("abc", "returned"))

    def test_another_consumers_claim_is_not_touched(self, lab: ScriptLab, held: list[Claimed]) -> None:
        lab.hand_back(names=["0:default"], invalidate=ClaimId("v", 1), gone=True)
        assert lab.dump()["q:0:default"] == Stream(["a", "b", "c"], dict.fromkeys("abc", "w"))


class TestDamage:
    def test_a_message_whose_entry_was_trimmed_gets_a_new_one(self, lab: ScriptLab, held: list[Claimed]) -> None:
        lab.client.xtrim(lab.stream(), maxlen=0)
        assert lab.hand_back(*held) == ([], [1, 1, 1])
        assert lab.claim("v").ids == ["a", "b", "c"]

    def test_a_message_whose_body_is_gone_is_let_go(self, lab: ScriptLab, held: list[Claimed]) -> None:
        lab.client.hdel(lab.keys.messages, "b")
        lab.hand_back(*held)
        assert lab.claim("v").ids == ["a", "c"]
        assert "b" not in lab.dump().get("state", {})

    def test_messages_of_a_deleted_stream_are_not_lost(self, lab: ScriptLab, held: list[Claimed]) -> None:
        lab.client.delete(lab.stream())
        assert lab.hand_back(*held) == ([], [1, 1, 1])
        assert lab.claim("v").ids == ["a", "b", "c"]

    def test_messages_of_a_stream_that_lost_its_group_are_not_lost(self, lab: ScriptLab, held: list[Claimed]) -> None:
        lab.client.xgroup_destroy(lab.stream(), GROUP)
        assert lab.hand_back(*held) == ([], [1, 1, 1])
        assert lab.claim("v").ids == ["a", "b", "c"]


def test_what_was_claimed_meanwhile_with_less_priority_comes_after_what_is_handed_back(lab: ScriptLab) -> None:
    """A child has one batch in hand and a second one on its way; both go back, and both come again in their order."""
    lab.enqueue("a", "b", "c", priority=-1)
    lab.enqueue("y", "z", priority=-99)
    [first, *rest] = lab.claim("w", 1, count=3).claimed
    assert lab.claim("w", 2, count=2).ids == ["y", "z"]
    assert lab.hand_back(*rest, names=("-1:default", "-99:default"), invalidate=ClaimId("w", 2)) == ([], [1, 1])
    assert lab.settle(outcome(first, started=5)) == [1]
    assert [lab.claim("w", seq, count=1).ids for seq in range(3, 7)] == [["b"], ["c"], ["y"], ["z"]]
