"""active, statistics, workers, finished, events: what can be seen of a shard as a whole; nothing is changed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import batched
from unittest.mock import ANY

import pytest

from streamtasks import StoreSettings
from streamtasks.stores.redis.operations.delete_finished import IndexEntry
from streamtasks.stores.redis.operations.inspection import active, active_call
from streamtasks.stores.redis.shards import Shards
from tests.support.script_lab import ScriptLab, outcome
from tests.support.server_dump import accepted_at


@pytest.fixture(autouse=True)
def nothing_changes(lab: ScriptLab) -> Iterator[None]:
    """Each test ends with its looks; what they return is looked at once more."""
    yield
    before = lab.dump()
    lab.active()
    lab.statistics("SUCCESS")
    lab.workers()
    lab.finished(lab.hour())
    lab.events()
    assert lab.dump() == before


class TestActive:
    def test_running_ones_are_shown_the_longest_first(self, lab: ScriptLab) -> None:
        accepted = lab.enqueue_one_by_one("a", "b", "c", body=b"body")
        claimed = lab.claim("w", 1, count=3).claimed
        lab.mark_running(claimed[1], ago_ms=5)
        lab.mark_running(claimed[0], ago_ms=50)
        started = lab.dump()["running"]
        assert lab.active() == [
            *("a", str(started["a"]), "w", f"{accepted_at(accepted[0])} body"),
            *("b", str(started["b"]), "w", f"{accepted_at(accepted[1])} body"),
        ]
        assert lab.active(1)[0] == "a"
        assert len(lab.active(1)) == 4

    def test_none(self, lab: ScriptLab) -> None:
        lab.enqueue("a", "b")
        lab.settle(outcome(lab.claim_one()))
        assert lab.active() == []

    def test_large_ones_are_returned_by_several_calls(self, lab: ScriptLab) -> None:
        for number in range(5):
            lab.enqueue(f"{number}", body=b"x" * 300_000)
            lab.claim_one(f"w{number}")
        place, *first = lab.run(active_call(lab.keys, 100))
        assert (place, first[::4]) == (2, ["0", "1"])
        found, rounds = lab.complete(active(Shards(replace(lab.settings, key_prefix=lab.prefix))))
        assert ([one.id for one in found], rounds) == (["0", "1", "2", "3", "4"], 3)


class TestStatistics:
    def test_everything_is_counted(self, lab: ScriptLab) -> None:
        lab.enqueue("a", "b", "c", "d")
        lab.enqueue("e", "f", delay_ms=60_000)
        first = lab.claim_one("w", 1)
        lab.settle(outcome(first, started=lab.now - 5_000))
        lab.claim_one("w", 2)
        unfinished, running, delayed, counts = lab.statistics("SUCCESS", "DEAD", "ms")
        assert (unfinished, running, delayed) == (5, 1, 2)
        assert counts[:2] == ["1", None]
        assert 5_000 <= int(counts[2]) < 10_000

    def test_nothing(self, lab: ScriptLab) -> None:
        assert lab.statistics("SUCCESS") == [0, 0, 0, [None]]


class TestWorkers:
    def test_the_latest_first(self, lab: ScriptLab) -> None:
        lab.beat("one", '{"n":1}')
        lab.beat("two", '{"n":2}')
        lab.client.zadd(lab.keys.workers, {"one": 5})
        lab.client.zadd(lab.keys.workers, {"ahead": lab.now + 60_000})
        beats = lab.dump()["workers"]
        ahead, two, one = batched(lab.workers(), 4)
        assert ahead == ("ahead", str(beats["ahead"]), "0", "{}")
        assert two == ("two", str(beats["two"]), ANY, '{"n":2}')
        assert int(two[2]) >= 0
        assert one == ("one", "5", ANY, '{"n":1}')
        assert int(one[2]) >= beats["two"] - 5
        assert lab.workers(1) == list(ahead)


class TestFinished:
    def test_pages_of_an_hour(self, lab: ScriptLab) -> None:
        for number, task_id in enumerate("abc"):
            lab.enqueue(task_id)
            lab.settle(outcome(lab.claim_one("w", number + 1)))
        hour = lab.now // 3_600_000
        rows = lab.finished(hour)
        assert [one.ids for one in rows] == [{"SUCCESS 0:default": [task_id]} for task_id in "abc"]
        assert lab.finished(hour, rows[0], 1) == [rows[1]]
        assert lab.finished(hour, rows[2]) == lab.finished(hour - 1) == []

    @pytest.mark.parametrize("most", [1, 7, 10, 100])
    def test_pages_over_several_classes_hold_each_entry_once_oldest_first(self, lab: ScriptLab, most: int) -> None:
        hour, expected = lab.hour(), []
        for retention in (3, 24, 192):
            for number in range(25):
                # Entries of two classes may have the same id; there is a page's end between them.
                entry = f"{1000 + number // 3}-{number % 3}"
                lab.client.xadd(
                    lab.keys.finished(hour, retention), {"SUCCESS 0:default": f"{retention}.{number}"}, entry
                )
                expected.append((1000 + number // 3, number % 3, retention, f"{retention}.{number}"))
        found: list[IndexEntry] = []
        before = lab.dump()
        while page := lab.finished(hour, found[-1] if found else None, most):
            assert len(page) == min(most, 75 - len(found))
            found += page
        assert [one.all_ids for one in found] == [[one[-1]] for one in sorted(expected)]
        assert lab.dump() == before


class TestEvents:
    def test_pages(self, lab: ScriptLab) -> None:
        lab.settings = StoreSettings(send_events=True)
        lab.enqueue("a")
        [claimed] = lab.claim().claimed
        lab.mark_running(claimed)
        lab.settle(outcome(claimed))
        rows = lab.events()
        assert [flat for _, flat in rows] == [
            ["kind", "accepted", "a", "0:default"],
            ["kind", "started", "a", "w"],
            ["kind", "settled", "a", "SUCCESS"],
        ]
        lab.enqueue("b")
        lab.claim_one("v", 1)
        assert lab.events()[-1][1] == ["kind", "started", "b", "v"], "claimed alone it starts at once"
        assert lab.events(rows[0][0], 1) == [rows[1]]
        assert len(lab.events(rows[2][0])) == 2

    def test_they_are_capped(self, lab: ScriptLab) -> None:
        lab.settings = StoreSettings(send_events=True, max_events=10)
        for number in range(300):
            lab.enqueue(f"{number}")
        assert lab.client.xlen(lab.keys.events) < 250

    def test_none_unless_they_are_wanted(self, lab: ScriptLab) -> None:
        lab.enqueue("a")
        [claimed] = lab.claim().claimed
        lab.mark_running(claimed)
        lab.settle(outcome(claimed))
        assert lab.events() == []
