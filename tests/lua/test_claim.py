"""claim: the best messages, each to one holder with a token of its own, and rings for the rest."""

from __future__ import annotations

from collections import Counter

import pytest

from streamtasks.stores.types import Claimed, ClaimId, Filter
from tests.support.script_lab import LEASE_MS, ScriptLab, outcome
from tests.support.server_dump import Stream, accepted_at

OTHERS_ONLY = 2
ONLY_MAIL = Filter("only", ("mail",))
NO_MAIL = Filter("except", ("mail",))
NEVER = "0" * 13


class TestOne:
    def test_one_message_starts_with_its_claim(self, lab: ScriptLab) -> None:
        [accepted] = lab.enqueue_one_by_one("a", body=b"body")
        lab.take_tokens()
        entry = lab.entry("a")
        [claimed] = lab.claim("w", 7, count=1).claimed
        now = lab.now
        assert claimed == Claimed("a", "w#7", "0:default", entry, 1, 0, now, f"{accepted_at(accepted)} body".encode())
        assert lab.dump() == {
            "messages": {"a": f"{accepted_at(accepted)} body"},
            "state": {"a": f"w#7 R 0:default {entry} 1 0 0 {now} {now} -"},
            "leases": {"w#7": now + LEASE_MS},
            "batches": {"w#7": "1 a"},
            "running": {"a": now},
            "claim:w (expires)": "7 ids",
            "streams": {"0:default": 0},
            "q:0:default": Stream(["a"], {"a": "w"}),
        }

    def test_several_messages_are_claimed_and_not_yet_running(self, lab: ScriptLab) -> None:
        lab.enqueue("a", "b", "c")
        lab.take_tokens()
        entries = [lab.entry("a"), lab.entry("b")]
        answer = lab.claim("w", 1, count=2)
        assert [(c.id, c.entry, c.first_started_ms) for c in answer.claimed] == [
            ("a", entries[0], 0),
            ("b", entries[1], 0),
        ]
        now = lab.now
        left = lab.dump()
        assert left == {
            "messages": left["messages"],
            "state": {
                "a": f"w#1 C 0:default {entries[0]} 1 0 0 {NEVER} {NEVER} -",
                "b": f"w#1 C 0:default {entries[1]} 1 0 0 {NEVER} {NEVER} -",
            },
            "leases": {"w#1": now + LEASE_MS},
            "batches": {"w#1": "2 a b"},
            "claim:w (expires)": "1 ids",
            "ready": {"0:default": 0},
            "streams": {"0:default": 0},
            "q:0:default": Stream(["a", "b", "c"], {"a": "w", "b": "w"}),
            "wake": ["1"],
        }

    @pytest.mark.parametrize("count", [1, 2])
    def test_lines_are_long_enough_for_a_table(self, lab: ScriptLab, count: int) -> None:
        """Servers look through up to 512 short values from the first to the last, for each id of a claim."""
        lab.enqueue("a", "b")
        lab.claim(count=count)
        assert lab.client.object("encoding", lab.keys.state) == b"hashtable"

    def test_a_full_claim_that_drains_a_stream_takes_it_off_the_ready_set(self, lab: ScriptLab) -> None:
        lab.enqueue("a", "b")
        lab.take_tokens()
        assert lab.claim(count=2).ids == ["a", "b"]
        assert "ready" not in lab.dump()
        assert not lab.token_in(lab.keys.wake)

    def test_a_message_after_that_makes_it_ready_again_and_rings(self, lab: ScriptLab) -> None:
        lab.enqueue("a")
        lab.claim()
        lab.take_tokens()
        lab.enqueue("b")
        assert lab.token_in(lab.keys.wake)
        assert lab.claim("v").ids == ["b"]

    def test_an_empty_shard_answers_nothing_and_stays_empty(self, lab: ScriptLab) -> None:
        answer = lab.claim()
        assert (answer.kind, answer.flags, answer.ids) == ("ok", 0, [])
        assert lab.dump() == {}

    def test_nothing_ready_answers_nothing_and_changes_nothing(self, lab: ScriptLab) -> None:
        lab.enqueue("a")
        lab.claim()
        before = lab.dump()
        answer = lab.claim("v")
        assert (answer.flags, answer.ids) == (0, [])
        assert lab.dump() == before


class TestRepeat:
    @pytest.mark.parametrize("count", [1, 10])
    def test_the_same_sequence_returns_the_same_messages(self, lab: ScriptLab, count: int) -> None:
        lab.enqueue("a", "b", "c")
        first = lab.claim("w", 3, count=count)
        before = lab.dump()
        again = lab.claim("w", 3, count=count)
        assert again.claimed == first.claimed
        assert lab.dump() == before

    def test_a_repeated_retry_says_the_same_of_its_past(self, lab: ScriptLab) -> None:
        lab.enqueue("a")
        lab.settle(outcome(lab.claim_one("w", 1), "RETRY"))
        first = lab.claim("w", 2)
        assert (first.claimed[0].attempt, first.claimed[0].retries) == (2, 1)
        assert lab.claim("w", 2).claimed == first.claimed

    def test_a_repeat_brings_only_what_is_still_held(self, lab: ScriptLab) -> None:
        lab.enqueue("a", "b", "c")
        claimed = lab.claim("w", 1).claimed
        lab.settle(outcome(claimed[0], started=5))
        lab.hand_back(claimed[2])
        assert lab.claim("w", 1).ids == ["b"]
        assert lab.client.xlen(lab.stream()) == 2

    def test_an_older_sequence_is_void(self, lab: ScriptLab) -> None:
        lab.enqueue("a", "b")
        lab.claim("w", 5, count=1)
        before = lab.dump()
        assert lab.claim_with(["0:default"], "w", 4).kind == "void"
        assert lab.dump() == before

    def test_a_claim_that_was_given_up_finds_nothing(self, lab: ScriptLab) -> None:
        lab.enqueue("a")
        lab.hand_back(invalidate=ClaimId("w", 3))
        before = lab.dump()
        for seq in (2, 3):
            assert lab.claim_with(["0:default"], "w", seq).kind == "void"
        assert lab.dump() == before
        assert lab.claim("w", 4).ids == ["a"]

    def test_two_consumers_never_share_a_message(self, lab: ScriptLab) -> None:
        lab.enqueue(*(f"{place:02}" for place in range(30)))
        got = Counter(i for seq in range(5) for who in ("v", "w") for i in lab.claim(who, seq + 1, count=4).ids)
        assert len(got) == 30
        assert set(got.values()) == {1}


class TestOrder:
    def test_priorities_are_exact_and_fifo_inside_one(self, lab: ScriptLab) -> None:
        for place, priority in enumerate([0, 100, -100, 0, 1, 100, -1, -100]):
            lab.enqueue(f"{place}", priority=priority)
        assert lab.claim(count=100).ids == ["1", "5", "4", "0", "3", "6", "2", "7"]

    def test_priorities_are_exact_when_claimed_one_by_one(self, lab: ScriptLab) -> None:
        for place, priority in enumerate([0, 100, -100, 0, 1, 100]):
            lab.enqueue(f"{place}", priority=priority)
        assert [lab.claim_one("w", seq + 1).id for seq in range(6)] == ["1", "5", "4", "0", "3", "2"]

    def test_priorities_of_different_queues_compare(self, lab: ScriptLab) -> None:
        lab.enqueue("low", queue="aaa", priority=1)
        lab.enqueue("high", queue="zzz", priority=2)
        assert lab.claim(count=2).ids == ["high", "low"]

    def test_two_digit_priorities_are_numbers(self, lab: ScriptLab) -> None:
        lab.enqueue("nine", priority=9)
        lab.enqueue("ten", priority=10)
        lab.enqueue("minus ten", priority=-10)
        lab.enqueue("minus nine", priority=-9)
        assert lab.claim(count=4).ids == ["ten", "nine", "minus nine", "minus ten"]

    def test_equal_priorities_take_turns_over_twenty_queues(self, lab: ScriptLab) -> None:
        for place in range(20):
            lab.enqueue(*(f"{place}-{n}" for n in range(50)), queue=f"q{place:02}")
        served = [lab.claim_one("w", seq).stream for seq in range(1, 41)]
        assert Counter(Counter(served).values()) == {2: 20}, "every queue twice in forty claims"

    def test_a_flooded_queue_does_not_hold_up_another_of_its_priority(self, lab: ScriptLab) -> None:
        lab.enqueue(*(f"flood{n:02}" for n in range(90)), queue="flood")
        lab.enqueue("alone", queue="calm")
        assert "alone" in [lab.claim_one("w", seq).id for seq in (1, 2)]

    def test_a_lower_priority_waits_while_any_of_forty_queues_has_a_higher_one(self, lab: ScriptLab) -> None:
        lab.enqueue("last", queue="zzz", priority=-1)
        for place in range(40):
            lab.enqueue(f"m{place}", queue=f"q{place:02}")
        got = [i for seq in range(1, 60) for i in lab.claim("w", seq, count=3).ids]
        assert len(got) == 41
        assert got[-1] == "last"

    def test_returned_entries_come_first_and_oldest_first(self, lab: ScriptLab) -> None:
        lab.enqueue("a", "b", "c", "d")
        claimed = lab.claim(count=3).claimed
        lab.hand_back(claimed[2], claimed[0])
        assert lab.claim("v", count=4).ids == ["a", "c", "d"]


class TestCandidates:
    def test_without_the_best_stream_nothing_is_claimed_and_the_best_are_named(self, lab: ScriptLab) -> None:
        lab.enqueue("a")
        lab.enqueue("b", queue="mail", priority=7)
        before = lab.dump()
        answer = lab.claim_with(["0:default"])
        assert answer.kind == "streams"
        assert answer.streams == ["7:mail", "0:default"]
        assert lab.dump() == before
        assert lab.claim_with(answer.streams).ids == ["b", "a"]

    def test_candidates_that_are_not_ready_cost_nothing(self, lab: ScriptLab) -> None:
        lab.enqueue("a")
        assert lab.claim_with(["9:gone", "0:default", "-4:gone"]).ids == ["a"]
        assert {key for key in lab.dump() if key.startswith("q:")} == {"q:0:default"}

    def test_a_missing_second_stream_ends_the_claim_but_is_not_forgotten(self, lab: ScriptLab) -> None:
        lab.enqueue("a", priority=1)
        lab.enqueue("b")
        lab.take_tokens()
        assert lab.claim_with(["1:default"]).ids == ["a"]
        assert lab.token_in(lab.keys.wake)
        assert lab.dump()["ready"] == {"0:default": 0}

    def test_no_more_than_sixteen_are_named(self, lab: ScriptLab) -> None:
        for place in range(70):
            lab.enqueue(f"m{place}", queue=f"q{place}", priority=place)
        answer = lab.claim_with([])
        assert answer.streams == [f"{place}:q{place}" for place in range(69, 53, -1)]


class TestFilters:
    @pytest.fixture(autouse=True)
    def _queues(self, lab: ScriptLab) -> None:
        lab.enqueue("d", priority=5)
        lab.enqueue("m", queue="mail")
        lab.enqueue("n", queue="mail:fast", priority=-3)

    def test_only(self, lab: ScriptLab) -> None:
        assert lab.claim(queues=ONLY_MAIL).ids == ["m"]
        assert lab.claim("v", queues=Filter("only", ("mail:fast", "default"))).ids == ["d", "n"]

    def test_except(self, lab: ScriptLab) -> None:
        assert lab.claim(queues=NO_MAIL).ids == ["d", "n"]

    def test_all(self, lab: ScriptLab) -> None:
        assert lab.claim().ids == ["d", "m", "n"]

    @pytest.mark.parametrize(
        "queues", [Filter("only", ("nothing",)), Filter("except", ("default", "mail", "mail:fast"))]
    )
    def test_nothing_served_is_ready(self, lab: ScriptLab, queues: Filter) -> None:
        answer = lab.claim(queues=queues)
        assert (answer.ids, answer.flags) == ([], OTHERS_ONLY)
        assert lab.dump()["ready"] == {"5:default": 5, "0:mail": 0, "-3:mail:fast": -3}

    def test_the_only_served_queue_is_found_behind_hundreds_of_others(self, lab: ScriptLab) -> None:
        for place in range(150):
            lab.enqueue(f"x{place}", queue=f"q{place}", priority=50)
        assert lab.claim(queues=ONLY_MAIL).ids == ["m"]


class TestBytes:
    def test_a_reply_is_cut_at_the_limit_and_keeps_the_order(self, lab: ScriptLab) -> None:
        lab.enqueue("a", "b", "c", "d", body=b"x" * 100)
        lab.take_tokens()
        answer = lab.claim(count=10, max_bytes=250)
        assert answer.ids == ["a", "b"]
        left = lab.dump()
        assert left["q:0:default"] == Stream(
            ["a", "b", "c", "d"], {"a": "w", "b": "w", "c": "returned", "d": "returned"}
        )
        assert left["ready"] == {"0:default": 0}
        assert set(left["state"]) == {"a", "b"}
        assert left["batches"] == {"w#1": "2 a b"}
        assert lab.token_in(lab.keys.wake)
        lab.enqueue("e", body=b"x" * 100)
        assert lab.claim("v", 1, max_bytes=250).ids == ["c", "d"]
        assert lab.claim("v", 2, max_bytes=250).ids == ["e"]

    def test_what_does_not_fit_is_not_read(self, lab: ScriptLab) -> None:
        lab.enqueue("a", "b", "c", "d", body=b"x" * 100)
        lab.client.hdel(lab.keys.messages, "d")
        assert lab.claim("w", 1, count=10, max_bytes=250).ids == ["a", "b"]
        assert len(lab.dump()["q:0:default"].entries) == 4  # d would have been dropped
        assert lab.claim("w", 2, count=10, max_bytes=1000).ids == ["c"]
        assert len(lab.dump()["q:0:default"].entries) == 3

    @pytest.mark.parametrize("count", [1, 2, 3, 18, 19, 82, 83, 100])
    def test_all_that_fit_come_in_their_order(self, lab: ScriptLab, count: int) -> None:
        ids = [f"m{place:03}" for place in range(100)]
        lab.enqueue(*ids)
        assert lab.claim("w", 1, count=count).ids == ids[:count]

    def test_a_message_larger_than_the_limit_comes_alone(self, lab: ScriptLab) -> None:
        lab.enqueue("big", body=b"x" * 1000)
        lab.enqueue("small")
        assert lab.claim("w", 1, max_bytes=100).ids == ["big"]
        assert lab.claim("w", 2, max_bytes=100).ids == ["small"]

    def test_nothing_smaller_overtakes_what_did_not_fit(self, lab: ScriptLab) -> None:
        lab.enqueue("a")
        lab.enqueue("big", body=b"x" * 1000)
        lab.enqueue("c")
        lab.enqueue("low", priority=-1)
        assert lab.claim("w", 1, max_bytes=100).ids == ["a"]
        assert lab.claim("w", 2, max_bytes=100).ids == ["big"]
        assert lab.claim("w", 3, max_bytes=100).ids == ["c", "low"]

    def test_returned_entries_that_do_not_fit_stay_returned(self, lab: ScriptLab) -> None:
        lab.enqueue("a", "b", "c", body=b"x" * 100)
        lab.hand_back(*lab.claim().claimed)
        assert lab.claim("v", 1, max_bytes=150).ids == ["a"]
        assert lab.claim("v", 2, max_bytes=350).ids == ["b", "c"]
