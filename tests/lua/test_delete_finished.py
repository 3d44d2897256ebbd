"""forget: records of what finished before a time go; a young id stays known; nothing else is touched."""

from __future__ import annotations

import pytest

from streamtasks.stores.redis.operations.delete_finished import IndexEntry
from tests.support.script_lab import ScriptLab, outcome

KNOWN_MS = 900_000


def finish(lab: ScriptLab, *ids: str, state: str = "SUCCESS") -> list[IndexEntry]:
    """Finish these, each by itself; return the entries of the index."""
    for number, task_id in enumerate(ids):
        lab.enqueue(task_id)
        lab.settle(outcome(lab.claim_one(f"w{task_id}", number + 1), state))
    lab.take_tokens()
    return lab.finished(lab.now // 3_600_000)


def test_an_old_record_goes_with_its_entry(lab: ScriptLab) -> None:
    entries = finish(lab, "a", "b")
    hour = lab.now // 3_600_000
    before = lab.dump()
    assert lab.forget(hour, entries[0]) == 1
    left = lab.dump()
    assert before.pop("r:a (expires)")
    before[f"finished:{hour}:3 (expires)"] = [{"SUCCESS 0:default": "b"}]
    assert left == before
    assert lab.forget(hour, entries[0]) == 0
    assert lab.dump() == left
    assert lab.enqueue("a") == [1]


def test_several_of_one_call_with_several_ids(lab: ScriptLab) -> None:
    lab.enqueue("a", "b", "c")
    claimed = lab.claim().claimed
    lab.settle(*(outcome(c, started=5) for c in claimed))
    entries = finish(lab, "d")
    assert [one.all_ids for one in entries] == [["a", "b", "c"], ["d"]]
    assert lab.forget(lab.now // 3_600_000, *entries) == 4
    assert not [key for key in lab.dump() if key.startswith("r:")]


def test_several_of_one_call_from_two_claims(lab: ScriptLab) -> None:
    """They stand in one entry in two fields of one name."""
    lab.enqueue("a", "b")
    lab.settle(outcome(lab.claim_one(seq=1)), outcome(lab.claim_one(seq=2)))
    [entry] = lab.finished(lab.now // 3_600_000)
    assert entry.ids == {"SUCCESS 0:default": ["a", "b"]}
    assert lab.forget(lab.now // 3_600_000, entry) == 2
    assert not [key for key in lab.dump() if key.startswith("r:")]


def test_what_finished_later_stays(lab: ScriptLab) -> None:
    entries = finish(lab, "a")
    before = lab.dump()
    finished = lab.record("a").times[0]
    assert lab.forget(lab.now // 3_600_000, *entries, before_ms=finished) == 0
    assert lab.dump() == before
    assert lab.forget(lab.now // 3_600_000, *entries, before_ms=finished + 1) == 1


class TestYoung:
    """A record too young to vanish: its id stays known, and who settled it."""

    @pytest.fixture
    def entry(self, lab: ScriptLab) -> IndexEntry:
        lab.enqueue("a")
        self.claimed = lab.claim_one()
        lab.settle(outcome(self.claimed))
        self.finished = lab.record("a").times[0]
        [entry] = lab.finished(lab.now // 3_600_000)
        assert lab.forget(lab.now // 3_600_000, entry, known_ms=KNOWN_MS) == 1
        return entry

    def test_only_the_id_is_left_for_a_while(self, lab: ScriptLab, entry: IndexEntry) -> None:
        assert lab.dump()["r:a (expires)"] == f"2 {self.finished} SUCCESS w#1"
        assert KNOWN_MS - 5_000 < lab.client.pttl(lab.keys.record("a")) <= KNOWN_MS
        assert lab.finished(lab.now // 3_600_000) == []
        assert lab.read("a") == [[]]
        assert lab.forget(lab.now // 3_600_000, entry, known_ms=KNOWN_MS) == 0

    def test_it_is_known(self, lab: ScriptLab, entry: IndexEntry) -> None:
        before = lab.dump()
        assert lab.enqueue("a") == [0]
        assert lab.settle(outcome(self.claimed)) == [2]
        assert lab.settle(outcome(self.claimed._replace(token="x#1"))) == [0]
        assert lab.revoke("a") == [3, ""]
        assert lab.dump() == before

    def test_who_should_run_after_it_does(self, lab: ScriptLab, entry: IndexEntry) -> None:
        lab.enqueue("b", after="a")
        assert lab.line("b") is None


def test_what_was_revoked_before_it_came_stays(lab: ScriptLab) -> None:
    lab.revoke("a")
    hour = lab.now // 3_600_000
    assert lab.finished(hour) == []
    before = lab.dump()
    assert lab.forget(hour, IndexEntry(3, "0-1", {"SUCCESS 0:default": ["a"]})) == 0
    assert lab.dump() == before
    lab.enqueue("a")
    lab.revoke("a", "0:default")
    [entry] = lab.finished(lab.now // 3_600_000)
    assert lab.forget(lab.now // 3_600_000, entry) == 1
    assert lab.finished(lab.now // 3_600_000) == []
