"""stage, unfold, gather, workflow, unfolding: every key compared."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from streamtasks.stores.redis.operations.workflows import STAGING_MS, gather_call, workflow_call
from streamtasks.stores.types import Limit
from streamtasks.stores.workflow_types import FanIn, KnownResult, NewWorkflow
from tests.support.script_lab import ScriptLab, outcome
from tests.support.server_dump import Stream, accepted_at
from tests.support.workflow_scripts import (
    GONE,
    ID,
    LIVE,
    STAGED,
    blocked,
    chord,
    fields,
    idle,
    node,
    pair,
    stage,
    start,
    unfold,
)

if TYPE_CHECKING:
    from collections.abc import Callable


class TestStage:
    def test_all_of_it_waits_and_nobody_sees_it(self, lab: ScriptLab) -> None:
        assert stage(lab, chord()) == STAGED
        stamp = f"{accepted_at(lab.now)} {{}}"
        assert lab.dump() == {
            f"w:{ID}": {
                "nodes": "3",
                "heads": "2",
                "g0": "2 2 F n 2 2 0 0 o",
                "plan": '{"plan":1}',
                "staged": "3",
            },
            "messages": {f"{ID}.w{number}": stamp for number in range(3)},
            "state": {f"{ID}.w0": blocked("g0.0"), f"{ID}.w1": blocked("g0.1"), f"{ID}.w2": blocked("-", ID)},
            "unfolding": {ID: lab.now + STAGING_MS},
        }
        assert lab.run(workflow_call(lab.keys, ID, [0])) == []
        assert lab.claim().ids == []

    def test_again_it_changes_nothing_but_the_time(self, lab: ScriptLab) -> None:
        stage(lab, chord())
        stage(lab, chord())
        assert fields(lab)["staged"] == "3"

    def test_once_live_it_is_refused(self, lab: ScriptLab) -> None:
        start(lab, chord())
        before = lab.dump()
        assert stage(lab, chord()) == LIVE
        assert lab.dump() == before

    def test_terms_become_marks(self, lab: ScriptLab) -> None:
        new = NewWorkflow(ID, [node(0, delay_ms=5, limit=Limit("x", 10, 2)), node(1, due_ms=77)], 2)
        stage(lab, new)
        assert lab.line(f"{ID}.w0") == "- B 0:default - 0 0 0 0 0 - w=- i=5 l=10,2,x"
        assert lab.line(f"{ID}.w1") == "- B 0:default - 0 0 0 0 0 - w=- d=77"

    def test_known_results_are_there_from_the_beginning(self, lab: ScriptLab) -> None:
        new = NewWorkflow(
            ID, [node(0, "g0.1")], 1, [FanIn(2, 2, succeeded=1)], b"", [KnownResult("r0.0", b"SUCCESS old\n7")]
        )
        stage(lab, new)
        assert fields(lab)["r0.0"] == "SUCCESS old\n7"
        assert fields(lab)["g0"] == "2 2 F n 0 -1 1 0 o"


class TestUnfold:
    def test_it_becomes_live_and_what_waits_for_nothing_goes(self, lab: ScriptLab) -> None:
        stage(lab, chord())
        stamp = f"{accepted_at(lab.now)} {{}}"
        assert unfold(lab, "live") == [LIVE, 0, ""]
        assert lab.dump() == {
            f"w:{ID}": {
                "nodes": "3",
                "heads": "2",
                "g0": "2 2 F n 2 2 0 0 o",
                "plan": '{"plan":1}',
                "staged": "3",
                "live": str(lab.now),
            },
            "messages": {f"{ID}.w{number}": stamp for number in range(3)},
            "state": {f"{ID}.w0": idle("g0.0"), f"{ID}.w1": idle("g0.1"), f"{ID}.w2": blocked("-", ID)},
            "q:0:default": Stream([f"{ID}.w0", f"{ID}.w1"], {}),
            "streams": {"0:default": 0},
            "ready": {"0:default": 0},
            "wake": ["1"],
            "wake:default": ["1"],
        }

    def test_again_it_does_nothing(self, lab: ScriptLab) -> None:
        start(lab, chord())
        before = lab.dump()
        assert unfold(lab, "live") == [LIVE, 0, ""]
        assert unfold(lab) == [LIVE, 0, ""]
        assert lab.dump() == before

    def test_without_all_nodes_it_does_not_become_live(self, lab: ScriptLab) -> None:
        stage(lab, chord(), chord().nodes[:2])
        before = lab.dump()
        assert unfold(lab, "live") == [STAGED, 0, ""]
        assert lab.dump() == before

    def test_of_streams_that_are_not_given_it_goes_through_delayed(self, lab: ScriptLab) -> None:
        stage(lab, pair())
        with lab.listen(lab.keys.control) as listener:
            assert unfold(lab, "live", names=()) == [LIVE, 0, ""]
            assert listener.heard() == [f"due {lab.now}"]
        assert lab.dump()["delayed"] == {f"{ID}.w0": lab.now}
        lab.promote("0:default")
        assert lab.line(f"{ID}.w0") == idle("1-1")
        assert lab.claim().ids == [f"{ID}.w0"]

    def test_a_hundred_go_at_a_time(self, lab: ScriptLab) -> None:
        new = NewWorkflow(ID, [node(number) for number in range(250)], 250)
        for at in range(0, 250, 100):
            stage(lab, new, new.nodes[at : at + 100], first=at == 0)
        assert unfold(lab, "live") == [LIVE, 1, ""]
        assert fields(lab)["todo"] == "100 249 -\n"
        assert lab.dump()["unfolding"] == {ID: lab.now + 5000}
        assert unfold(lab) == [LIVE, 1, ""]
        assert unfold(lab) == [LIVE, 0, ""]
        assert "todo" not in fields(lab)
        assert "unfolding" not in lab.dump()
        assert lab.dump()["q:0:default"].entries == [f"{ID}.w{number}" for number in range(250)]

    def test_what_never_became_live_is_thrown_away(self, lab: ScriptLab) -> None:
        new = NewWorkflow(ID, [node(number) for number in range(150)], 150)
        for at in (0, 100):
            stage(lab, new, new.nodes[at : at + 100], first=at == 0)
        assert unfold(lab) == [STAGED, 0, ""]  # not yet
        lab.client.zadd(lab.keys.unfolding, {ID: 1})
        assert unfold(lab) == [STAGED, 1, ""]
        assert stage(lab, new, new.nodes[:1]) == GONE
        assert unfold(lab, "live") == [STAGED, 0, ""]
        assert unfold(lab) == [GONE, 0, ""]
        assert lab.dump() == {}

    def test_a_workflow_without_nodes_is_finished_at_once(self, lab: ScriptLab) -> None:
        with lab.listen(lab.keys.done_channel(ID)) as listener:
            start(lab, NewWorkflow(ID, [], 0, (), b"{}"))
            assert listener.heard() == [ID]
        assert list(lab.dump()) == [f"w:{ID} (expires)"]

    def test_nothing_is_known_of_another(self, lab: ScriptLab) -> None:
        assert unfold(lab) == [GONE, 0, ""]
        assert lab.dump() == {}

    def test_whom_to_revoke_is_told_until_it_was_done(self, lab: ScriptLab) -> None:
        start(lab, chord())
        assert unfold(lab, "cancel", "all!") == [LIVE, 0, "all!\n"]
        assert unfold(lab, "cancel", "all!") == [LIVE, 0, "all!\n"]
        assert unfold(lab, "cancel", "0") == [LIVE, 0, "all!\n0\n"]
        assert lab.dump()["unfolding"] == {ID: lab.now + 5000}
        assert unfold(lab, "canceled", "all!") == [LIVE, 0, "0\n"]
        assert unfold(lab, "canceled", "0") == [LIVE, 0, ""]
        assert "cancel" not in fields(lab)

    def test_what_was_revoked_before_it_came_does_not_start(self, lab: ScriptLab) -> None:
        assert unfold(lab, "cancel", "all") == [GONE, 0, ""]
        assert unfold(lab, "cancel", "all") == [GONE, 0, ""]
        assert lab.dump() == {f"w:{ID} (expires)": {"cancel": "all\n"}}
        assert stage(lab, chord()) == STAGED
        assert lab.client.pttl(lab.keys.workflow(ID)) == -1
        assert unfold(lab, "live") == [LIVE, 0, "all\n"]
        assert lab.dump()["unfolding"] == {ID: lab.now + 5000}, "a keeper goes on if its client dies"
        assert lab.line(f"{ID}.w0") == blocked("g0.0")

    def test_revoked_before_it_is_live(self, lab: ScriptLab) -> None:
        assert stage(lab, chord()) == STAGED
        assert unfold(lab, "cancel", "all") == [STAGED, 0, ""]
        assert unfold(lab, "live") == [LIVE, 0, "all\n"]
        assert lab.line(f"{ID}.w0") == blocked("g0.0")

    def test_a_deadline_is_counted_from_the_start(self, lab: ScriptLab) -> None:
        stage(lab, chord(deadline_ms=10_000))
        assert fields(lab)["late"] == "0 10000\n"
        assert unfold(lab, "live") == [LIVE, 0, ""]
        assert fields(lab)["late"] == f"0 {lab.now + 10_000}\n"
        assert lab.dump()["unfolding"] == {ID: lab.now + 10_000}

    def test_after_a_deadline_what_follows_must_fail(self, lab: ScriptLab) -> None:
        start(lab, chord(deadline_ms=10_000, cancels=True))
        lab.client.hset(lab.keys.workflow(ID), "late", "0 1\n")
        assert unfold(lab) == [LIVE, 0, "0\n"]
        assert lab.line(f"{ID}.w2") == idle("-", f" x=late:{ID}")
        assert fields(lab)["g0"] == "2 2 F d 2 2 0 0 f"
        assert "late" not in fields(lab)

    def test_it_is_not_later_after_the_clock_went_back(self, lab: ScriptLab) -> None:
        start(lab, chord(deadline_ms=10_000))
        hour_ms = 3_600_000
        lab.client.hset(
            lab.keys.workflow(ID), mapping={"live": lab.now + hour_ms, "late": f"0 {lab.now + hour_ms + 9000}\n"}
        )
        unfold(lab)
        assert fields(lab)["live"] == str(lab.now)
        assert lab.now + 8000 <= int(fields(lab)["late"].split()[1]) <= lab.now + 9000


@pytest.mark.parametrize("calls_made", range(7))
def test_a_producer_that_dies_after_any_call_leaves_all_of_it_or_nothing(lab: ScriptLab, calls_made: int) -> None:
    """Three calls of stage, one that makes it live, two that let the rest go; then a keeper goes on."""
    nodes = [node(number) for number in range(250)]
    new = NewWorkflow(ID, nodes, 250, (), b"{}")
    steps: list[Callable[[], Any]] = [
        *(partial(stage, lab, new, nodes[at : at + 100], first=at == 0) for at in (0, 100, 200)),
        partial(unfold, lab, "live"),
        partial(unfold, lab),
        partial(unfold, lab),
    ]
    for step in steps[:calls_made]:
        step()
    lab.client.zadd(lab.keys.unfolding, {ID: 1}, xx=True)
    while unfold(lab)[1]:
        pass
    left = lab.dump()
    if calls_made <= 3:
        assert not left
    else:
        assert left["q:0:default"].entries == [f"{ID}.w{number}" for number in range(250)]
        assert "unfolding" not in left


class TestGather:
    def test_as_many_as_fit_at_least_one(self, lab: ScriptLab) -> None:
        start(lab, NewWorkflow(ID, [node(n, f"g0.{n}") for n in range(4)], 4, [FanIn(4, 4)]))
        for claimed in lab.claim().claimed[:3]:
            lab.settle(outcome(claimed, started=5, result=b"x" * 100))
        call = gather_call(lab.keys, ID, "r0", 0)
        call.args[2] = 150
        assert [len(part) for part in lab.run(call)[1:]] == [114, 114]
        call.args[1] = 2
        assert [len(part) for part in lab.run(call)[1:]] == [114, 0]
        call.args[1], call.args[2] = 1, 1
        assert len(lab.run(call)) == 2

    def test_of_nothing(self, lab: ScriptLab) -> None:
        assert lab.run(gather_call(lab.keys, ID, "r0", 0)) == [0]
        assert lab.run(gather_call(lab.keys, ID, "v0", 0)) == [1, ""]
