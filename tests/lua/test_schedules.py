"""Scripts of schedules: what is stored, changed, paused and read."""

from __future__ import annotations

import pytest

from streamtasks.stores.redis.operations.schedules import due_call, schedules_call
from streamtasks.stores.schedule_store import SILENT_MS
from tests.support.schedule_samples import FAR_MS, PAST_MS, declared, firing, schedule
from tests.support.schedule_scripts import (
    CONFLICT,
    ID,
    STORED,
    TAKEN,
    TICK,
    UNCHANGED,
    drop,
    due,
    fire,
    pause,
    put,
    undeclare,
)
from tests.support.script_lab import ScriptLab


class TestPut:
    def test_a_new_one(self, lab: ScriptLab) -> None:
        assert put(lab, schedule("tick", definition=b'{"x":1}', rule="each hour")) == [STORED]
        assert lab.dump() == {
            "schedules": {"tick": '1 0 9\neach hour{"x":1}'},
            "schedule_states": {"tick": f"0 {PAST_MS} 0 0 0 -"},
            "schedule_names": {"tick": 0},
            "scheduled": {"tick": PAST_MS},
            "schedule_revision": "1",
        }

    def test_again_changes_nothing_even_when_it_has_fired(self, lab: ScriptLab) -> None:
        put(lab, schedule())
        fire(lab, firing(TICK))
        before = lab.dump()
        assert put(lab, schedule()) == [UNCHANGED]
        assert put(lab, schedule(), revision=1) == [UNCHANGED]
        assert lab.dump() == before

    def test_one_that_exists_is_not_created(self, lab: ScriptLab) -> None:
        put(lab, schedule())
        before = lab.dump()
        assert put(lab, schedule(definition=b"other")) == [CONFLICT]
        assert lab.dump() == before

    def test_only_the_revision_that_was_seen_is_replaced(self, lab: ScriptLab) -> None:
        put(lab, schedule())
        assert put(lab, schedule(definition=b"second"), revision=1) == [STORED]
        before = lab.dump()
        assert put(lab, schedule(definition=b"third"), revision=1) == [CONFLICT]
        assert put(lab, schedule("unknown"), revision=1) == [CONFLICT]
        assert lab.dump() == before
        assert before["schedules"] == {"tick": "2 0 9\neach hoursecond"}

    def test_the_next_occurrence_moves_only_with_the_rule(self, lab: ScriptLab) -> None:
        put(lab, schedule(next_ms=5))
        put(lab, schedule(next_ms=6, definition=b"other"), revision=1)
        assert lab.dump()["scheduled"] == {"tick": 5}
        put(lab, schedule(next_ms=7, rule="each day"), revision=2)
        assert lab.dump()["scheduled"] == {"tick": 7}
        put(lab, schedule(next_ms=None, rule="never again"), revision=3)
        assert lab.dump()["schedule_states"] == {"tick": "0 - 0 0 0 -"}
        assert "scheduled" not in lab.dump()

    def test_a_paused_one_stays_paused(self, lab: ScriptLab) -> None:
        put(lab, schedule())
        pause(lab, "tick")
        assert put(lab, schedule(next_ms=7, rule="each day"), revision=1) == [STORED]
        assert lab.dump()["schedule_states"] == {"tick": "1 7 0 0 0 -"}
        assert "scheduled" not in lab.dump()

    def test_a_revision_never_comes_again(self, lab: ScriptLab) -> None:
        put(lab, schedule())
        drop(lab, "tick")
        put(lab, schedule())
        assert fire(lab, firing(TICK)) == [0], "what was seen before it was dropped"
        assert fire(lab, firing(TICK._replace(revision=2))) == [1]

    def test_a_keeper_is_told_only_of_the_next_one(self, lab: ScriptLab) -> None:
        with lab.listen(lab.keys.control) as listener:
            put(lab, schedule("a", 1000))
            assert listener.heard() == ["schedule"]
            put(lab, schedule("b", 2000))
            put(lab, schedule("b", 2000))
            assert listener.heard() == []
            put(lab, schedule("b", 500, rule="earlier"), revision=2)
            assert listener.heard() == ["schedule"]

    def test_any_bytes_are_kept(self, lab: ScriptLab) -> None:
        put(lab, schedule("na me\nü {x}", definition=b"\x00\xff\n", rule="1 2 3\nü", declared="a b\n", since_ms=3))
        reply = lab.raw(schedules_call(lab.keys, ["na me\nü {x}"]))
        assert reply[2] == b"1 4 8\na b\n1 2 3\n\xc3\xbc\x00\xff\n"
        assert lab.raw(due_call(lab.keys, 10, {}))[2] == "na me\nü {x}".encode()


class TestDeclared:
    def test_a_new_one(self, lab: ScriptLab) -> None:
        assert put(lab, declared("a", 5), declared("b", 5)) == [STORED, STORED]
        assert lab.dump() == {
            "schedules": {"a": "1 4 9\nshopeach hour{}", "b": "2 4 9\nshopeach hour{}"},
            "schedule_states": {"a": f"0 {PAST_MS} 0 0 0 -", "b": f"0 {PAST_MS} 0 0 0 -"},
            "schedule_names": {"a": 0, "b": 0},
            "scheduled": {"a": PAST_MS, "b": PAST_MS},
            "schedule_revision": "2",
            "declarations": {"shop": f"5 {lab.now}"},
            "declared:shop": {"a": lab.now, "b": lab.now},
        }

    def test_a_later_declaration_replaces_an_earlier_one(self, lab: ScriptLab) -> None:
        put(lab, declared("a", 5), declared("b", 5))
        pause(lab, "a")
        assert put(lab, declared("a", 6, definition=b"new", next_ms=7), declared("b", 6)) == [STORED, UNCHANGED]
        found = lab.dump()
        assert found["schedules"]["a"] == "3 4 9\nshopeach hournew"
        assert found["schedule_states"]["a"] == f"1 {PAST_MS} 0 0 0 -"
        assert found["declarations"] == {"shop": f"6 {lab.now}"}

    def test_an_earlier_one_keeps_alive_but_changes_nothing(self, lab: ScriptLab) -> None:
        put(lab, declared("a", 5))
        before = lab.dump()
        assert put(lab, declared("a", 4, definition=b"old"), declared("b", 4)) == [CONFLICT, CONFLICT]
        assert lab.dump() == before | {"declared:shop": {"a": lab.now}}
        assert put(lab, declared("a", 4)) == [UNCHANGED], "another worker of the same release"

    def test_an_earlier_one_counts_when_no_worker_of_the_later_one_lives(self, lab: ScriptLab) -> None:
        put(lab, declared("a", 5))
        lab.client.hset(lab.keys.declarations, "shop", f"5 {lab.now - SILENT_MS - 1}")
        assert put(lab, declared("a", 4, definition=b"old")) == [STORED]
        assert lab.dump()["declarations"] == {"shop": f"4 {lab.now}"}

    @pytest.mark.parametrize("shop", ["{ahead} {now}", "{ahead} {ahead}"])
    def test_code_that_was_loaded_before_the_clock_went_back_does_not_count_for_long(
        self, lab: ScriptLab, shop: str
    ) -> None:
        put(lab, declared("a", 5))
        now = lab.now
        lab.client.hset(lab.keys.declarations, "shop", shop.format(now=now, ahead=now + 3_600_000))
        assert put(lab, declared("a", now, definition=b"new")) == [STORED]
        assert lab.dump()["declarations"] == {"shop": f"{now} {lab.now}"}

    def test_a_release_counts_from_when_it_came_first(self, lab: ScriptLab) -> None:
        """So an old one that restarts during a roll-out, and was loaded last, changes nothing."""
        assert put(lab, declared("a", 5, release="r1")) == [STORED]
        assert put(lab, declared("a", 6, release="r2", definition=b"new")) == [STORED]
        assert put(lab, declared("a", 7, release="r1")) == [CONFLICT]
        assert put(lab, declared("a", 8, release="r2", definition=b"new")) == [UNCHANGED]
        assert lab.client.get(lab.keys.release("shop\0r1")) == b"5"
        assert 0 < lab.client.pttl(lab.keys.release("shop\0r1")) <= SILENT_MS

    def test_a_release_that_is_gone_comes_as_a_new_one(self, lab: ScriptLab) -> None:
        """It is rolled back."""
        put(lab, declared("a", 5, release="r1"))
        put(lab, declared("a", 6, release="r2", definition=b"new"))
        lab.client.delete(lab.keys.release("shop\0r1"))
        assert put(lab, declared("a", 7, release="r1")) == [STORED]

    def test_what_is_declared_no_more_goes(self, lab: ScriptLab) -> None:
        put(lab, schedule("mine"))
        put(lab, declared("other", 5, label="other"))
        put(lab, declared("a", 5), declared("b", 5))
        lab.client.zadd(lab.keys.declared("shop"), {"b": lab.now - 60_000})
        lab.client.zadd(lab.keys.declared("other"), {"other": 1})
        assert undeclare(lab, "shop", 70_000) == [0]
        assert undeclare(lab, "shop", 50_000) == [0, "b"]
        found = lab.dump()
        assert set(found["schedules"]) == set(found["schedule_names"]) == {"mine", "other", "a"}
        assert set(found["schedule_states"]) == set(found["scheduled"]) == {"mine", "other", "a"}
        assert set(found["declared:shop"]) == {"a"}
        assert undeclare(lab, "shop", 50_000) == [0]
        assert lab.dump() == found

    def test_a_hundred_go_at_once(self, lab: ScriptLab) -> None:
        for start in range(0, 150, 75):
            put(lab, *(declared(f"s{number}") for number in range(start, start + 75)))
        assert [len(undeclare(lab, "shop", -1000)) for _ in range(2)] == [101, 51]
        assert set(lab.dump()) == {"declarations", "schedule_revision"}

    def test_a_name_belongs_to_whoever_had_it_first(self, lab: ScriptLab) -> None:
        put(lab, schedule("mine"))
        put(lab, declared("theirs"))
        before = lab.dump()
        assert put(lab, declared("mine"), declared("theirs")) == [TAKEN, UNCHANGED]
        assert put(lab, schedule("theirs")) == [TAKEN]
        assert put(lab, schedule("theirs", definition=b"x"), revision=2) == [TAKEN]
        assert put(lab, declared("theirs", label="other")) == [TAKEN]
        assert lab.dump()["schedules"] == before["schedules"]

    def test_until_its_project_is_gone(self, lab: ScriptLab) -> None:
        put(lab, declared("theirs"))
        lab.client.hset(lab.keys.declarations, "shop", f"1 {lab.now - SILENT_MS - 1}")
        assert put(lab, declared("theirs", label="other")) == [STORED]
        lab.client.zadd(lab.keys.declared("shop"), {"theirs": 1})
        assert undeclare(lab, "shop", 0) == [0], "it is another's by now"
        assert set(lab.dump()["schedules"]) == {"theirs"}

    def test_one_that_was_dropped_and_made_again_by_hand_is_not_undeclared(self, lab: ScriptLab) -> None:
        put(lab, declared("a", 5))
        drop(lab, "a")
        put(lab, schedule("a"))
        assert undeclare(lab, "shop", -1000) == [0]
        assert set(lab.dump()["schedules"]) == {"a"}
        assert "declared:shop" not in lab.dump()


class TestDrop:
    def test_nothing_is_left_but_what_it_brought(self, lab: ScriptLab) -> None:
        put(lab, schedule())
        fire(lab, firing(TICK))
        assert drop(lab, "tick") == 1
        assert not {"schedules", "schedule_states", "schedule_names", "scheduled"} & set(lab.dump())
        assert ID in lab.dump()["messages"]
        assert fire(lab, firing(TICK._replace(next_ms=FAR_MS))) == [0]

    def test_an_unknown_one(self, lab: ScriptLab) -> None:
        assert drop(lab, "tick") == 0
        assert lab.dump() == {}


class TestPause:
    def test_a_paused_one_is_not_due_and_keeps_its_occurrence(self, lab: ScriptLab) -> None:
        put(lab, schedule())
        before = lab.dump()
        assert pause(lab, "tick") == 1
        assert lab.dump() == {k: v for k, v in before.items() if k != "scheduled"} | {
            "schedule_states": {"tick": f"1 {PAST_MS} 0 0 0 -"}
        }
        assert due(lab) == (-1, [])
        assert fire(lab, firing(TICK)) == [0]

    def test_it_goes_on_where_it_is_told_to(self, lab: ScriptLab) -> None:
        put(lab, schedule())
        pause(lab, "tick")
        with lab.listen(lab.keys.control) as listener:
            assert pause(lab, "tick", 77) == 1
            assert listener.heard() == ["schedule"]
            before = lab.dump()
            assert pause(lab, "tick", 99) == 1, "it goes on already"
            assert listener.heard() == []
        assert lab.dump() == before
        assert before["scheduled"] == {"tick": 77}

    def test_again_changes_nothing(self, lab: ScriptLab) -> None:
        put(lab, schedule())
        pause(lab, "tick")
        before = lab.dump()
        assert pause(lab, "tick") == 1
        assert lab.dump() == before

    def test_an_unknown_one(self, lab: ScriptLab) -> None:
        assert pause(lab, "tick") == 0
        assert pause(lab, "tick", 5) == 0
        assert lab.dump() == {}


class TestRead:
    def test_by_name_and_by_page(self, lab: ScriptLab) -> None:
        put(lab, *(schedule(name) for name in ("c", "a", "b")))
        assert lab.run(schedules_call(lab.keys, ["b", "x"])) == [
            0, "b", "3 0 9\neach hour{}", f"0 {PAST_MS} 0 0 0 -", "x", "", "",
        ]  # fmt: skip
        assert lab.run(schedules_call(lab.keys, (), 2))[1::3] == ["a", "b"]
        assert lab.run(schedules_call(lab.keys, (), 2, "b"))[1::3] == ["c"]

    def test_a_full_reply_says_so(self, lab: ScriptLab) -> None:
        put(lab, *(schedule(name) for name in ("a", "b")))
        call = schedules_call(lab.keys, (), 10)
        call.args[2] = 1
        reply = lab.run(call)
        assert (reply[0], reply[1::3]) == (1, ["a"])
