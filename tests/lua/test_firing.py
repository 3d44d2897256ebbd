"""Scripts of schedules: what is due, and that each occurrence is fired once."""

from __future__ import annotations

from typing import Any

import pytest
import redis

from streamtasks import StoreSettings
from streamtasks.protocol.shards import occurrence_id
from streamtasks.stores.redis.operations.schedules import due_call, fire_call
from streamtasks.stores.schedule_store import DueSchedule
from streamtasks.stores.types import Limit
from tests.support.schedule_samples import FAR_MS, PAST_MS, firing, occurrence, schedule
from tests.support.schedule_scripts import (
    ID,
    TICK,
    due,
    fire,
    put,
)
from tests.support.script_lab import ScriptLab, outcome
from tests.support.server_dump import Stream, accepted_at


class TestDue:
    def test_the_longest_due_first_and_when_there_is_more(self, lab: ScriptLab) -> None:
        later = lab.server_ms() + 60_000
        put(lab, schedule("c", 30), schedule("a", 10), schedule("b", 20), schedule("later", later))
        before = lab.dump()
        assert due(lab) == (later - lab.now, ["a", "b", "c"])
        assert due(lab, most=2) == (0, ["a", "b"])
        assert lab.run(due_call(lab.keys, 1, {}))[2:] == ["a", "2 0 9\neach hour{}", 10]
        assert lab.dump() == before

    def test_one_that_is_due_this_millisecond(self, lab: ScriptLab) -> None:
        at = lab.server_ms() + 3
        put(lab, schedule("a", at))
        while not due(lab)[1]:
            assert lab.now < at
        assert at <= lab.now < at + 1000

    def test_there_is_none(self, lab: ScriptLab) -> None:
        assert due(lab) == (-1, [])
        put(lab, schedule(next_ms=None))
        assert due(lab) == (-1, [])

    def test_some_revisions_are_passed_over(self, lab: ScriptLab) -> None:
        put(lab, *(schedule(name, at) for at, name in enumerate("abcd")))
        assert due(lab, most=2, passed={"a": 1, "b": 2, "c": 99}) == (-1, ["c", "d"])
        assert due(lab, most=1, passed={"a": 1, "b": 2}) == (0, ["c"])
        assert due(lab, passed={"a": 1, "b": 2, "c": 3, "d": 4}) == (-1, [])

    def test_a_large_reply_is_cut(self, lab: ScriptLab) -> None:
        put(lab, schedule("a", 1, b"x" * 1000), schedule("b", 2))
        assert due(lab, room=500) == (0, ["a"])

    def test_one_that_was_removed_by_hand_holds_nobody_up(self, lab: ScriptLab) -> None:
        put(lab, schedule("a", 1), schedule("b", 2))
        lab.client.hdel(lab.keys.schedules, "a")
        assert due(lab) == (-1, ["b"])


class TestFire:
    def test_the_message_is_accepted_and_the_schedule_moves_on(self, lab: ScriptLab) -> None:
        put(lab, schedule())
        before = lab.dump()
        assert fire(lab, firing(TICK, missed=3)) == [1]
        [message] = firing(TICK).messages
        assert lab.dump() == before | {
            "schedule_states": {"tick": f"0 {FAR_MS} 1 3 {PAST_MS} {ID}"},
            "scheduled": {"tick": FAR_MS},
            "messages": {ID: f"{accepted_at(lab.now)} {message.envelope.decode()}"},
            "ready": {"0:default": 0},
            "streams": {"0:default": 0},
            "q:0:default": Stream([ID], {}),
            "wake": ["1"],
            "wake:default": ["1"],
        }
        assert lab.claim_one().id == ID

    def test_only_one_of_many_fires(self, lab: ScriptLab) -> None:
        put(lab, schedule())
        assert fire(lab, firing(TICK)) == [1]
        before = lab.dump()
        assert fire(lab, firing(TICK, next_ms=5), firing(TICK)) == [0, 0]
        assert lab.dump() == before

    def test_twice_in_one_call(self, lab: ScriptLab) -> None:
        put(lab, schedule())
        assert fire(lab, firing(TICK), firing(TICK)) == [1, 0]
        assert lab.dump()["q:0:default"] == Stream([ID], {})

    @pytest.mark.parametrize("change", [{"revision": 2}, {"next_ms": PAST_MS + 1}, {"name": "other"}])
    def test_what_was_not_seen_so_is_left_alone(self, lab: ScriptLab, change: dict[str, Any]) -> None:
        put(lab, schedule())
        before = lab.dump()
        assert fire(lab, firing(TICK._replace(**change))) == [0]
        assert lab.dump() == before

    def test_never_early(self, lab: ScriptLab) -> None:
        put(lab, schedule(next_ms=FAR_MS))
        before = lab.dump()
        assert fire(lab, firing(TICK._replace(next_ms=FAR_MS), FAR_MS + 1)) == [0]
        assert lab.dump() == before

    def test_one_that_lies_too_far_ahead_is_brought_forward(self, lab: ScriptLab) -> None:
        """The clock went back since it was stored. No message comes of that."""
        put(lab, schedule(next_ms=FAR_MS))
        soon = lab.server_ms() + 60_000
        far = TICK._replace(next_ms=FAR_MS)
        before = lab.dump()
        assert fire(lab, firing(far, FAR_MS + 1, ()), firing(far, None, ())) == [0, 0], "never further ahead"
        assert lab.dump() == before
        assert fire(lab, firing(far, soon, ())) == [1]
        assert lab.dump() == before | {"schedule_states": {"tick": f"0 {soon} 0 0 0 -"}, "scheduled": {"tick": soon}}

    def test_the_others_go_on(self, lab: ScriptLab) -> None:
        put(lab, *(schedule(name) for name in "abc"))
        firings = [firing(DueSchedule(name, number + 1, b"", PAST_MS)) for number, name in enumerate("abc")]
        firings[1] = firings[1]._replace(revision=9)
        assert fire(lab, *firings) == [1, 0, 1]
        assert lab.dump()["scheduled"] == {"a": FAR_MS, "b": PAST_MS, "c": FAR_MS}
        assert lab.claim().ids == [firings[0].messages[0].id, firings[2].messages[0].id]

    def test_several_messages_in_their_order(self, lab: ScriptLab) -> None:
        put(lab, schedule())
        times = [PAST_MS + second * 1000 for second in range(100)]
        assert fire(lab, firing(TICK, times=times)) == [1]
        assert lab.dump()["schedule_states"] == {
            "tick": f"0 {FAR_MS} 100 0 {times[-1]} {occurrence_id('tick', times[-1], 'u0')}"
        }
        assert lab.claim(count=100).ids == [occurrence_id("tick", at, "u0") for at in times]

    def test_nothing_but_the_next_occurrence(self, lab: ScriptLab) -> None:
        put(lab, schedule())
        assert fire(lab, firing(TICK, None, times=(), missed=7)) == [1]
        assert lab.dump() == {
            "schedules": {"tick": "1 0 9\neach hour{}"},
            "schedule_states": {"tick": "0 - 0 7 0 -"},
            "schedule_names": {"tick": 0},
            "schedule_revision": "1",
        }

    def test_delays_limits_queues_and_priorities(self, lab: ScriptLab) -> None:
        put(lab, schedule())
        messages = [
            occurrence("tick", 1, due_ms=FAR_MS),
            occurrence("tick", 2, limit=Limit("slow", 1_000_000)),
            occurrence("tick", 3, queue="mail"),
            occurrence("tick", 4)._replace(priority=7),
        ]
        assert fire(lab, firing(TICK, messages=messages)) == [1]
        ids = [message.id for message in messages]
        assert lab.line(ids[0]) == "- D 0:default - 0 0 0 0 0 -"
        assert (lab.line(ids[1]) or "").split(" ")[1] == "W"
        assert lab.claim().ids == [ids[3], ids[2]]
        assert lab.promote("0:default")[1] == FAR_MS - lab.now

    def test_an_occurrence_that_is_known_is_not_brought_again(self, lab: ScriptLab) -> None:
        put(lab, schedule())
        lab.enqueue(ID)
        claimed = lab.claim_one()
        lab.settle(outcome(claimed, started=5))
        assert fire(lab, firing(TICK)) == [1]
        assert lab.dump()["schedule_states"] == {"tick": f"0 {FAR_MS} 0 0 {PAST_MS} {ID}"}
        assert lab.claim("w", 2).ids == []

    def test_an_occurrence_that_was_revoked_before_it_came(self, lab: ScriptLab) -> None:
        put(lab, schedule())
        lab.revoke(ID)
        assert fire(lab, firing(TICK)) == [1]
        [claimed] = lab.claim().claimed
        assert (claimed.id, claimed.skip_reason) == (ID, "revoked")
        assert lab.settle(outcome(claimed, "REVOKED", started=0)) == [1]
        assert lab.record(ID).state == "REVOKED"

    def test_events(self, lab: ScriptLab) -> None:
        lab.settings = StoreSettings(send_events=True)
        put(lab, schedule("a"), schedule("b"))
        a, b = (DueSchedule(name, number, b"", PAST_MS) for number, name in enumerate("ab", 1))
        fire(lab, firing(a), firing(b._replace(revision=9)))
        assert [words for _, words in lab.events()] == [
            ["kind", "accepted", occurrence_id("a", PAST_MS, "u0"), "0:default"]
        ]

    @pytest.mark.parametrize("spoil", ["stream", "after", "cut", "record"])
    def test_one_bad_member_spoils_nothing(self, lab: ScriptLab, spoil: str) -> None:
        put(lab, schedule())
        before = lab.dump()
        bad = occurrence("tick", 5)
        if spoil == "after":
            bad = bad._replace(after="a")
        call = fire_call(lab.keys, [firing(TICK), firing(TICK, messages=[bad])], lab.settings)
        if spoil == "stream":
            call.args[-3] = 2
        elif spoil == "cut":
            call.args.pop()
        elif spoil == "record":
            call.keys.pop()
        with pytest.raises(redis.ResponseError, match="fire: "):
            lab.run(call)
        assert lab.dump() == before
