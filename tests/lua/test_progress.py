"""progress: a holder's last word on its attempt."""

from __future__ import annotations

from tests.support.script_lab import ScriptLab, outcome


def test_the_last_word_wins_and_nothing_else_changes(lab: ScriptLab) -> None:
    lab.enqueue("a")
    claimed = lab.claim_one()
    before = lab.dump()
    assert lab.progress(claimed, data=b'{"n":1}') == [1]
    assert lab.progress(claimed, data=b'{"n":2}') == [1]
    before["progress"] = {"a": '{"n":2}'}
    assert lab.dump() == before


def test_others_and_finished_attempts_are_refused_one_by_one(lab: ScriptLab) -> None:
    lab.enqueue("a", "b", "c")
    a, b, c = lab.claim().claimed
    lab.settle(outcome(a, started=5))
    before = lab.dump()
    assert lab.progress(a, b._replace(token="v#1"), c, data=b"x") == [0, 0, 1]
    before["progress"] = {"c": "x"}
    assert lab.dump() == before


def test_it_is_told_to_those_who_watch(lab: ScriptLab) -> None:
    lab.enqueue("a")
    claimed = lab.claim_one()
    with lab.listen(lab.keys.news_channel("a")) as listener:
        lab.progress(claimed._replace(token="w#2"), data=b"1")
        assert listener.heard() == []
        lab.progress(claimed, data=b"1")
        assert listener.heard() == ["a"]
