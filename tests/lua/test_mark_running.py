"""mark_running: the start of an attempt becomes visible, for its holder only."""

from __future__ import annotations

from tests.support.script_lab import ScriptLab, outcome


def test_a_claimed_message_is_running_since_its_start(lab: ScriptLab) -> None:
    lab.enqueue("a", "b")
    a, _ = lab.claim().claimed
    before = lab.dump()
    assert lab.mark_running(a, ago_ms=25) == [1]
    started = lab.now - 25
    before["state"]["a"] = f"w#1 R 0:default {a.entry} 1 0 0 {started} {started} -"
    before["running"] = {"a": started}
    assert lab.dump() == before


def test_again_it_stays_running(lab: ScriptLab) -> None:
    lab.enqueue("a", "b")
    a, _ = lab.claim().claimed
    lab.mark_running(a, ago_ms=25)
    first = lab.now - 25
    assert lab.mark_running(a, ago_ms=lab.server_ms() - first) == [1]
    assert lab.client.zcard(lab.keys.running) == 1
    assert str(lab.line("a")).split()[7] == str(first), "the first start does not move"


def test_the_first_start_of_all_attempts_is_kept(lab: ScriptLab) -> None:
    lab.enqueue("a", "b")
    a, b = lab.claim("w", 1).claimed
    lab.settle(outcome(a, "RETRY", started=1234), outcome(b, started=5))
    lab.enqueue("c")
    again, _ = lab.claim("w", 2).claimed
    lab.mark_running(again, ago_ms=7)
    assert str(lab.line("a")).split()[7:9] == ["1234", str(lab.now - 7)]


def test_others_tokens_and_finished_messages_are_refused_one_by_one(lab: ScriptLab) -> None:
    lab.enqueue("a", "b", "c", "d")
    a, b, c, d = lab.claim().claimed
    lab.settle(outcome(a, started=5))
    lab.hand_back(b)
    before = lab.dump()
    assert lab.mark_running(a, b, c._replace(token="w#2"), a._replace(id="unknown")) == [0, 0, 0, 0]
    assert lab.dump() == before
    assert lab.mark_running(b, d) == [0, 1]
    assert set(lab.dump()["running"]) == {"d"}


def test_it_is_told_to_those_who_watch(lab: ScriptLab) -> None:
    lab.enqueue("a", "b")
    a, _ = lab.claim().claimed
    with lab.listen(lab.keys.news_channel("a")) as listener:
        lab.mark_running(a._replace(token="w#2"))
        assert listener.heard() == []
        lab.mark_running(a)
        assert listener.heard() == ["a"]
