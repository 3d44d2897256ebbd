"""claim: what is no message, what somebody has damaged, and suspects."""

from __future__ import annotations

import pytest
import redis

from streamtasks.protocol.keys import GROUP
from streamtasks.stores.rules.consumers import RESERVED_MS
from streamtasks.stores.types import Filter
from tests.support.script_lab import LEASE_MS, ScriptLab, outcome
from tests.support.server_dump import Stream

SUSPECT, AGAIN = 1, 4


class TestGarbage:
    def test_an_entry_that_is_no_message_becomes_a_dead_letter(self, lab: ScriptLab) -> None:
        lab.enqueue("a")
        garbage = lab.client.xadd(lab.stream(), {"what": b"\xff\x00 is this"}).decode()
        lab.enqueue("b")
        lab.take_tokens()
        assert lab.claim().ids == ["a", "b"]
        left = lab.dump()
        assert left["dead"] == [
            {"reason": "undecodable", "stream": "0:default", "entry": garbage, "data": "what \\xff\x00 is this"}
        ]
        assert left["q:0:default"] == Stream(["a", "b"], {"a": "w", "b": "w"})
        assert set(left) == {
            "batches",
            "claim:w (expires)",
            "dead",
            "dead_bytes",
            "dead_sizes",
            "leases",
            "messages",
            "q:0:default",
            "state",
            "streams",
        }

    def test_a_stream_of_nothing_but_garbage_is_drained(self, lab: ScriptLab) -> None:
        lab.enqueue("a")
        lab.settle(outcome(lab.claim_one("w", 1)))
        for place in range(30):
            lab.client.xadd(lab.stream(), {"n": place})
        lab.client.zadd(lab.keys.ready, {"0:default": 0})
        seq, flags = 2, AGAIN
        while flags == AGAIN:
            answer = lab.claim("w", seq, count=3)
            assert answer.ids == []
            seq, flags = seq + 1, answer.flags
        left = lab.dump()
        assert len(left["dead"]) == 30
        assert left["q:0:default"] == Stream([], {})
        assert "ready" not in left

    def test_a_message_behind_much_garbage_is_found_by_claiming_again(self, lab: ScriptLab) -> None:
        lab.enqueue("first")
        lab.settle(outcome(lab.claim_one("w", 1)))
        for place in range(9):
            lab.client.xadd(lab.stream(), {"n": place})
        lab.enqueue("a")
        answer = lab.claim("w", 2, count=1)
        assert (answer.ids, answer.flags) == ([], AGAIN)
        found = [i for seq in (3, 4) for i in lab.claim("w", seq, count=1).ids]
        assert found == ["a"]

    def test_dead_letters_are_capped(self, lab: ScriptLab) -> None:
        lab.enqueue("a")
        for place in range(400):
            lab.client.xadd(lab.stream(), {"n": place})
        for seq in range(1, 6):
            call = lab.claim_call(["0:default"], "w", seq, 100)
            call.args[6] = 10
            lab.raw(call)
        assert lab.client.xlen(lab.keys.dead) == 10

    def test_an_entry_whose_body_is_gone_leaves_its_stream(self, lab: ScriptLab) -> None:
        lab.enqueue("a", "b")
        lab.client.hdel(lab.keys.messages, "a")
        assert lab.claim().ids == ["b"]
        left = lab.dump()
        assert left["q:0:default"] == Stream(["b"], {"b": "w"})
        assert "dead" not in left

    def test_a_second_entry_of_a_claimed_message_gives_no_second_execution(self, lab: ScriptLab) -> None:
        lab.enqueue("a")
        held = lab.claim_one("w", 1)
        lab.client.xadd(lab.stream(), {"id": "a"})
        lab.client.zadd(lab.keys.ready, {"0:default": 0})
        line = lab.line("a")
        assert lab.claim("v", 1).ids == []
        assert lab.line("a") == line
        assert lab.client.xrange(lab.stream())[0][0].decode() == held.entry
        assert lab.settle(outcome(held)) == [1]

    def test_two_entries_of_one_queued_message_are_claimed_once(self, lab: ScriptLab) -> None:
        lab.enqueue("a", "b")
        lab.client.xadd(lab.stream(), {"id": "a"})
        assert sorted(i for seq in (1, 2) for i in lab.claim("w", seq).ids) == ["a", "b"]

    def test_a_body_that_is_no_body_reaches_the_child_which_can_bury_it(self, lab: ScriptLab) -> None:
        lab.enqueue("a", "b")
        lab.client.hset(lab.keys.messages, "a", b"\xfe\xed no number")
        answer = lab.claim()
        assert answer.ids == ["a", "b"]
        codes = lab.settle(
            outcome(answer.claimed[0], "DEAD", started=5, note="undecodable"), outcome(answer.claimed[1], started=5)
        )
        assert codes == [1, 1]
        left = lab.dump()
        assert [letter["reason"] for letter in left["dead"]] == ["undecodable"]
        assert left["q:0:default"] == Stream([], {})
        assert "messages" not in left


class TestGroupOrStreamGone:
    def test_without_its_group_a_stream_is_served_from_its_beginning(self, lab: ScriptLab) -> None:
        lab.enqueue("a", "b")
        lab.client.xgroup_destroy(lab.stream(), GROUP)
        assert lab.claim().ids == ["a", "b"]

    def test_what_others_hold_is_not_run_twice_when_the_group_was_lost(self, lab: ScriptLab) -> None:
        lab.enqueue("a", "b")
        held = lab.claim_one("w", 1)
        lab.client.xgroup_destroy(lab.stream(), GROUP)
        assert lab.claim("v", 1).ids == ["b"]
        assert lab.settle(outcome(held)) == [1]

    def test_a_ready_stream_that_is_gone_is_struck_off(self, lab: ScriptLab) -> None:
        lab.enqueue("a")
        lab.client.delete(lab.stream())
        assert lab.claim("w", 1).ids == []
        assert "ready" not in lab.dump()
        lab.enqueue("b")
        assert lab.claim("w", 2).ids == ["b"]

    def test_a_script_error_is_not_swallowed(self, lab: ScriptLab) -> None:
        lab.client.set(lab.keys.ready, "not a sorted set")
        with pytest.raises(redis.ResponseError, match="WRONGTYPE"):
            lab.claim()


class TestSuspects:
    @pytest.fixture(autouse=True)
    def _suspect(self, lab: ScriptLab) -> None:
        """`s` was claimed by a worker that vanished; `t` came after it."""
        lab.enqueue("s", "t")
        lab.claim_one("gone", 1)
        lab.expire_leases("gone#1")
        assert lab.reclaim("0:default")[0] == 1
        lab.take_tokens()

    def test_empty_hands_get_it_alone_and_its_start_is_recorded(self, lab: ScriptLab) -> None:
        answer = lab.claim("w", 1, count=10)
        assert answer.ids == ["s"]
        [claimed] = answer.claimed
        assert (claimed.attempt, claimed.retries) == (2, 0)
        left = lab.dump()
        assert left["state"]["s"].startswith("w#1 R 0:default ")
        assert left["running"] == {"s": lab.now}
        assert left["leases"] == {"w#1": lab.now + LEASE_MS}
        assert left["ready"] == {"0:default": 0}
        assert lab.token_in(lab.keys.wake), "t waits for another child"

    def test_full_hands_get_others_and_are_told_to_come_back_empty(self, lab: ScriptLab) -> None:
        answer = lab.claim("w", 1, alone=False)
        assert (answer.ids, answer.flags) == (["t"], SUSPECT)
        left = lab.dump()
        assert left["q:0:default"] == Stream(["s", "t"], {"s": "suspect", "t": "w"})
        assert left["ready"] == {"0:default": 0}
        assert lab.token_in(lab.keys.wake), "an idle child may take it meanwhile"

    def test_a_look_takes_nothing_and_tells_whether_one_waits(self, lab: ScriptLab) -> None:
        before = lab.dump()
        answer = lab.claim("w", 1, count=0, alone=False)
        assert (answer.ids, answer.flags) == ([], SUSPECT)
        after = lab.dump()
        assert after.pop("reserved (expires)") == {"0:default": f"w {lab.now + RESERVED_MS}"}
        assert after == before
        assert lab.claim("v", 1).ids == ["s"]
        answer = lab.claim("w", 2, count=0, alone=False)
        assert (answer.ids, answer.flags) == ([], 0)

    def test_full_hands_and_nothing_else_ready(self, lab: ScriptLab) -> None:
        lab.claim("w", 1, alone=False)
        before = lab.dump()
        answer = lab.claim("w", 2, alone=False)
        assert (answer.ids, answer.flags) == ([], SUSPECT)
        after = lab.dump()
        before["reserved (expires)"] = {"0:default": f"w {lab.now + RESERVED_MS}"}
        assert after == before
        assert lab.claim("w", 3, alone=True).ids == ["s"]

    def test_it_is_not_added_to_what_a_claim_took_from_a_better_stream(self, lab: ScriptLab) -> None:
        lab.enqueue("better", priority=1)
        answer = lab.claim("w", 1)
        assert (answer.ids, answer.flags) == (["better", "t"], SUSPECT)

    def test_nothing_of_another_stream_is_added_to_it(self, lab: ScriptLab) -> None:
        lab.enqueue("low", priority=-1)
        assert lab.claim("w", 1).ids == ["s"]
        assert lab.claim("v", 1).ids == ["t", "low"]

    def test_a_claim_that_is_sent_again_gets_the_same_reply(self, lab: ScriptLab) -> None:
        for sequence, flags in ((9, 8), (10, 0)):
            first = lab.claim("v", sequence, count=5)
            assert first.flags == flags
            assert lab.claim("v", sequence, count=5)._replace(now=first.now) == first

    def test_two_suspects_come_one_by_one(self, lab: ScriptLab) -> None:
        lab.claim("also-gone", 1, alone=False)
        lab.expire_leases("also-gone#1")
        lab.reclaim("0:default")
        assert lab.claim("w", 1).ids == ["s"]
        assert lab.claim("w", 2).ids == ["t"]
        assert lab.claim("w", 3).ids == []
        assert "ready" not in lab.dump()

    def test_a_worker_takes_one_at_a_time(self, lab: ScriptLab) -> None:
        """I7: two beside each other die together again and again, the innocent one with the poison."""
        lab.claim("also-gone", 1, alone=False)
        lab.expire_leases("also-gone#1")
        lab.reclaim("0:default")
        lab.enqueue("u")
        [first] = lab.claim("host-1", 1).claimed
        assert first.id == "s"
        answer = lab.claim("host-2", 1)
        assert (answer.ids, answer.flags) == (["u"], 0), "others go on"
        answer = lab.claim("host-2", 2)
        assert (answer.ids, answer.flags) == ([], 0), "neither told to claim again at once, nor to make room"
        answer = lab.claim("host-2", 3, alone=False)
        assert (answer.ids, answer.flags) == ([], 0)
        assert lab.claim("other-1", 1).ids == ["t"], "another worker may"
        assert lab.dump()["suspect:host (expires)"] == "host-1#1"

    def test_once_it_has_ended_a_sibling_takes_the_next(self, lab: ScriptLab) -> None:
        lab.claim("also-gone", 1, alone=False)
        lab.expire_leases("also-gone#1")
        lab.reclaim("0:default")
        [first] = lab.claim("host-1", 1).claimed
        assert lab.claim("host-2", 1).ids == []
        assert lab.settle(outcome(first, "SUCCESS")) == [1]
        assert lab.claim("host-2", 2).ids == ["t"]

    def test_one_child_makes_room(self, lab: ScriptLab) -> None:
        lab.claim("w", 1, alone=False)
        assert lab.claim("v", 1, alone=False).flags == 0, "it is reserved for w"
        assert lab.claim("w", 2, count=0, alone=False).flags == SUSPECT, "which keeps it as long as it looks"
        lab.client.hset(lab.keys.reserved, "0:default", f"w {lab.now - 1}")
        assert lab.claim("v", 2, alone=False).flags == SUSPECT, "w looks no more"
        assert lab.claim("w", 3, count=0, alone=False).flags == 0
        lab.client.hset(lab.keys.reserved, "0:default", f"v {lab.now + 3_600_000}")
        assert lab.claim("w", 4, alone=False).flags == SUSPECT, "the server's clock has stepped back"
        assert lab.claim("u", 1).ids == ["s"], "empty hands need no reservation"
        assert "reserved (expires)" not in lab.dump()

    def test_a_suspect_that_finished_meanwhile_only_leaves_the_stream(self, lab: ScriptLab) -> None:
        lab.client.hdel(lab.keys.messages, "s")
        assert lab.claim("w", 1).ids == ["t"]
        assert lab.client.xlen(lab.stream()) == 1


class TestManyReadyStreams:
    """Only those whose turn it is are read; who comes next is the same as among few."""

    def fill(self, lab: ScriptLab, count: int) -> list[str]:
        """Messages in so many queues; the names of their streams, best first."""
        for number in range(count):
            lab.enqueue(f"m{number}", queue=f"q{number:03}")
        lab.enqueue("low", queue="q000", priority=-7)
        names = [f"0:q{number:03}" for number in range(count)]
        return sorted(names, reverse=True)

    @pytest.mark.parametrize("count", [63, 64, 65, 100])
    def test_streams_of_one_priority_take_turns(self, lab: ScriptLab, count: int) -> None:
        names = self.fill(lab, count)
        for sequence in (1, 5, count - 3, count, 3 * count + 7):
            [*_, streams] = lab.claim_with([], "w", sequence)
            turns = [names[(sequence + i) % count] for i in range(16)]
            assert streams == turns

    def test_a_child_of_one_queue_gets_its_best(self, lab: ScriptLab) -> None:
        self.fill(lab, 100)
        lab.enqueue("best", queue="q000", priority=100)
        lab.enqueue("worst", queue="q000", priority=-100)
        answer = lab.claim_with([], queues=Filter("only", ("q000", "q007", "empty")))
        assert answer.streams == ["100:q000", "0:q007", "0:q000", "-7:q000", "-100:q000"]

    def test_a_child_that_excludes_queues(self, lab: ScriptLab) -> None:
        names = self.fill(lab, 100)
        excluded = tuple(f"q{number:03}" for number in range(90, 100))
        for sequence in range(100):
            streams = lab.claim_with([], "w", sequence, queues=Filter("except", excluded)).streams
            turns = [names[(sequence + i) % 100] for i in range(26)]
            assert streams == [name for name in turns if name.partition(":")[2] not in excluded][:16]

    def test_a_child_of_a_queue_with_nothing(self, lab: ScriptLab) -> None:
        self.fill(lab, 100)
        assert lab.claim_with([], queues=Filter("only", ("empty",))).flags == 2
