"""The scripts of bulk operations: every key that they leave, and what happens when they are called again."""

from __future__ import annotations

from typing import Any

from streamtasks.protocol.state import DeadLetter
from streamtasks.stores.bulk_types import Move
from streamtasks.stores.redis.operations.bulk import move_call, replay_dead_call
from streamtasks.stores.redis.operations.steering import discard_dead_call
from streamtasks.stores.redis.scripts import script
from streamtasks.stores.types import Limit, NewMessage
from tests.support.script_lab import ScriptLab, outcome
from tests.support.server_dump import accepted_at


def give_up(lab: ScriptLab, *ids: str) -> list[DeadLetter]:
    """Let messages become dead letters; return these, oldest first."""
    lab.enqueue(*ids)
    lab.settle(*(outcome(c, "DEAD", started=5, note="given up") for c in lab.claim(f"w{ids[0]}", count=100).claimed))
    found: Any = lab.client.xrange(lab.keys.dead)
    return [DeadLetter(entry.decode(), "given up", at[b"id"].decode(), "0:default", 0, b"{}") for entry, at in found]


def new(task_id: str, **more: Any) -> NewMessage:
    return NewMessage(task_id, "again", 3, b"{}", **more)


def sizes(lab: ScriptLab) -> tuple[int, int, int]:
    """How many letters there are, how many sizes, and whether their sum is right: bytes less that sum."""
    members: Any = lab.client.zrange(lab.keys.dead_sizes, 0, -1)
    total = sum(int(one.split()[1]) for one in members)
    return lab.client.xlen(lab.keys.dead), len(members), int(lab.client.get(lab.keys.dead_bytes) or 0) - total


class TestReplayDead:
    def test_the_letter_goes_and_its_call_comes_in_one_step(self, lab: ScriptLab) -> None:
        letters = give_up(lab, "a", "b", "c")
        before = lab.dump()
        call = replay_dead_call(lab.keys, [(letters[1], new("n"))], lab.settings)
        assert lab.run(call)[1:] == [1]
        after = lab.dump()
        assert after["messages"] == {"n": f"{accepted_at(lab.now)} {{}}"}
        left: Any = lab.client.xrange(lab.keys.dead)
        assert [at[b"id"] for _, at in left] == [b"a", b"c"]
        assert sizes(lab) == (2, 2, 0)
        assert lab.client.zrange(lab.keys.ready, 0, -1) == [b"3:again"]
        changed = {key for key in {*before, *after} if before.get(key) != after.get(key)}
        streams = {"q:3:again", "ready", "streams", "wake", "wake:again"}
        assert changed - streams == {"messages", "dead", "dead_sizes", "dead_bytes"}
        assert lab.run(call)[1:] == [3]
        assert lab.dump() == after

    def test_one_that_somebody_else_has_replayed_stays_untouched(self, lab: ScriptLab) -> None:
        [letter] = give_up(lab, "a")
        lab.run(replay_dead_call(lab.keys, [(letter, new("first"))], lab.settings))
        before = lab.dump()
        assert lab.run(replay_dead_call(lab.keys, [(letter, new("second"))], lab.settings))[1:] == [0]
        assert lab.dump() == before

    def test_a_limit_holds_and_a_new_id_that_was_revoked_is_said(self, lab: ScriptLab) -> None:
        letters = give_up(lab, "a", "b")
        lab.client.set(lab.keys.record("revoked"), "0 1", px=60_000)
        pairs = [(letters[0], new("limited", limit=Limit("slow", 1_000_000))), (letters[1], new("revoked"))]
        assert lab.run(replay_dead_call(lab.keys, pairs, lab.settings))[1:] == [1, 2]
        assert lab.client.zcard(lab.keys.waiting) == 1
        assert sizes(lab) == (0, 0, 0)

    def test_sizes_are_found_in_any_order(self, lab: ScriptLab) -> None:
        letters = give_up(lab, *(f"m{number:02}" for number in range(30)))
        places = [29, 28, 0, 1, 15, 14, 13, 20, 2]
        pairs = [(letters[place], new(f"n{place}")) for place in places]
        assert lab.run(replay_dead_call(lab.keys, pairs, lab.settings))[1:] == [1] * len(pairs)
        assert sizes(lab) == (21, 21, 0)


class TestDiscarded:
    def discard(self, lab: ScriptLab, letters: list[DeadLetter]) -> Any:
        return lab.run(discard_dead_call(lab.keys, [(one.cursor, one.id) for one in letters], "b", 3_600_000))

    def restore(self, lab: ScriptLab, kept: int = 100) -> Any:
        call = script("restore_dead").call(
            lab.keys, discarded=lab.keys.discarded("b"), most=100, most_bytes=10**6, dead_kept=kept,
            dead_bytes_kept=10**9,
        )  # fmt: skip
        return lab.run(call)

    def test_they_are_kept_and_come_back_as_they_were(self, lab: ScriptLab) -> None:
        letters = give_up(lab, "a", "b", "c")
        before: Any = lab.client.xrange(lab.keys.dead)
        assert self.discard(lab, letters[:2]) == [1, 1]
        assert self.discard(lab, letters[:2]) == [0, 0]
        assert 0 < lab.client.pttl(lab.keys.discarded("b")) <= 3_600_000
        assert sizes(lab) == (1, 1, 0)
        assert self.restore(lab) == [2, 0]
        assert self.restore(lab) == [0, 0]
        after: Any = lab.client.xrange(lab.keys.dead)
        died = [entry.partition(b"-")[0] for entry, _ in before]
        assert [at for _, at in after] == [before[2][1], *({**before[n][1], b"died": died[n]} for n in (0, 1))]
        assert sizes(lab) == (3, 3, 0)
        again = [DeadLetter(after[1][0].decode(), "", "a", "", 0, b"")]
        assert self.discard(lab, again) == [1]
        assert lab.client.xrange(lab.keys.discarded("b"))[0][1] == after[1][1]

    def test_what_comes_back_is_capped(self, lab: ScriptLab) -> None:
        letters = give_up(lab, "a", "b", "c")
        self.discard(lab, letters[:2])
        with lab.listen(lab.keys.control) as control:
            assert self.restore(lab, kept=2) == [2, 0]
            assert control.heard() == ["dead 1"]
        assert sizes(lab) == (2, 2, 0)


class TestNotes:
    def put(self, lab: ScriptLab, state: str, was: str = "", active: int = 0, note: str = "{}", most: int = 10) -> Any:
        call = script("put_bulk").call(
            lab.keys, id="b", state=state, was=was, active=active, note=note, most=most
        )  # fmt: skip
        return lab.raw(call).decode()

    def take(self, lab: ScriptLab, held: str = "", until: object = 0) -> Any:
        return lab.run(script("take_bulk").call(lab.keys, id=held, held_until=until, lease_ms=10_000))

    def test_states_follow_each_other(self, lab: ScriptLab) -> None:
        assert self.put(lab, "PLANNED", " PLANNING ") == ""
        assert lab.dump() == {}
        assert self.put(lab, "PLANNED") == ""
        with lab.listen(lab.keys.control) as control:
            assert self.put(lab, "APPLYING", " ABORTED ", 1) == "PLANNED"
            assert control.heard() == []
            assert self.put(lab, "APPLYING", " PLANNED ABORTED ", 1, "") == "PLANNED"
            assert control.heard() == ["bulk"]
        assert set(lab.dump()) == {"bulks", "bulk_notes", "bulk_leases"}
        assert self.put(lab, "FINISHED", " APPLYING ") == "APPLYING"
        assert set(lab.dump()) == {"bulks", "bulk_notes"}

    def test_a_new_one_stays_also_if_others_are_as_new(self, lab: ScriptLab) -> None:
        lab.client.zadd(lab.keys.bulks, {"c": 9e12})  # noted in the same millisecond, or the clock went back
        self.put(lab, "PLANNED", most=1)
        assert lab.client.hkeys(lab.keys.bulk_notes) == [b"b"]

    def test_one_worker_has_it_until_its_lease_is_over(self, lab: ScriptLab) -> None:
        assert self.take(lab) == ["", "-1", ""]
        self.put(lab, "APPLYING", active=1)
        name, until, note = self.take(lab)
        assert (name, note.split(" ")[0]) == ("b", "APPLYING")
        other = self.take(lab)
        assert (other[0], 0 < int(other[1]) <= 10_000) == ("", True)
        assert self.take(lab, "b", 5)[0] == ""
        assert self.take(lab, "b", until)[0] == "b"
        lab.client.zadd(lab.keys.bulk_leases, {"b": 9e12})  # the clock went back
        assert self.take(lab)[0] == "b"

    def test_progress_counts_once(self, lab: ScriptLab) -> None:
        def put(number: int, members: str, count: int) -> Any:
            key = lab.keys.bulk("b")
            call = script("put_bulk_members").call(
                lab.keys, bulk=key, number=number, members=members, count=count, keep_ms=60_000
            )
            return lab.run(call)

        def advance(at: int, count: int, restored: int = 0) -> Any:
            call = script("advance_bulk").call(
                lab.keys, bulk=lab.keys.bulk("b"), at=at, count=count, applied=count, skipped=0, refused=0,
                restored=restored,
            )  # fmt: skip
            return lab.run(call)

        def look() -> Any:
            return lab.run(script("bulk_members").call(lab.keys, bulk=lab.keys.bulk("b"), wanted=1))

        assert advance(0, 1) == [0]
        assert [put(0, "x " * 100, 100), put(0, "x", 1), put(1, "y z", 2)] == [[1], [0], [1]]
        assert look() == [102, 0, 0, 0, 0, 0, "x " * 100]
        assert [advance(0, 40), advance(0, 40), advance(40, 60)] == [[1], [0], [1]]
        assert look() == [102, 100, 100, 0, 0, 0, "y z"]
        assert advance(100, 2) == [1]
        assert advance(0, 0, restored=5) == [0]
        assert look() == [102, 102, 102, 0, 0, 5, ""]


def other(task_id: str) -> NewMessage:
    return new(task_id)._replace(envelope=b'{"q":1}')


class TestMove:
    def entry_of(self, lab: ScriptLab, task_id: str) -> str:
        entries: Any = lab.client.xrange(lab.keys.stream("0:default"))
        return str(next(entry for entry, fields in entries if fields[b"id"] == task_id.encode()).decode())

    def test_it_waits_in_the_other_stream_and_nowhere_else(self, lab: ScriptLab) -> None:
        lab.enqueue("a", "b")
        before = lab.dump()
        call = move_call(lab.keys, [Move(other("a"), "0:default", self.entry_of(lab, "a"))])
        assert lab.run(call) == [1]
        after = lab.dump()
        assert after["messages"]["a"] == f'{accepted_at(lab.now)} {{"q":1}}'
        assert after["messages"]["b"] == before["messages"]["b"]
        assert (lab.client.xlen(lab.keys.stream("0:default")), lab.client.xlen(lab.keys.stream("3:again"))) == (1, 1)
        changed = {key for key in {*before, *after} if before.get(key) != after.get(key)}
        assert changed - {"wake", "wake:again"} == {"messages", "q:0:default", "q:3:again", "ready", "streams"}
        assert lab.run(call) == [2]
        assert lab.dump() == after

    def test_what_is_held_or_finished_or_elsewhere_is_left_alone(self, lab: ScriptLab) -> None:
        lab.enqueue("a", "b", "c")
        entries = {one: self.entry_of(lab, one) for one in "abc"}
        lab.claim("w", count=1)
        before = lab.dump()
        moves = [
            Move(other("a"), "0:default", entries["a"]),
            Move(other("b"), "0:default", entries["c"]),
            Move(other("c"), "0:default"),
            Move(other("x"), "0:default", "1-1"),
        ]
        assert lab.run(move_call(lab.keys, moves)) == [0, 0, 0, 0]
        assert lab.dump() == before

    def test_a_suspect_stays_one_and_keeps_its_past(self, lab: ScriptLab) -> None:
        lab.enqueue("a")
        lab.client.hset(lab.keys.state, "a", "- S 0:default - 2 2 0 5 0 -")
        assert lab.run(move_call(lab.keys, [Move(other("a"), "0:default", self.entry_of(lab, "a"))])) == [1]
        assert lab.dump()["state"] == {"a": "- S 3:again - 2 2 0 5 0 -"}
