"""stage, unfold, gather, workflow, unfolding, and what settle and revoke do for workflows: every key compared."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from streamtasks.redis import calls, child_calls, queries, workflow_calls
from streamtasks.redis.snapshots import from_reply
from streamtasks.redis.workflow_calls import STAGING_MS
from streamtasks.transitions import FanIn, Given, Limit, NewMessage, NewWorkflow, Node
from tests.support.lab import KEEP_MS, REVOKED_MS, Lab, Stream, outcome, text

if TYPE_CHECKING:
    from collections.abc import Callable

ID = "wf"
STAGED, LIVE, GONE = 1, 2, 0


def node(number: int, then: str = "-", waits_for: str = "", **more: Any) -> Node:
    return Node(NewMessage(f"{ID}.w{number}", "default", 0, b"{}", **more), waits_for, then)


def chord(**policy: Any) -> NewWorkflow:
    """Two members and a body."""
    joins = [FanIn(2, policy.pop("need", 2), first=2, last=2, **policy)]
    return NewWorkflow(ID, [node(0, "g0.0"), node(1, "g0.1"), node(2, "-", ID)], 2, joins, b'{"plan":1}')


def pair() -> NewWorkflow:
    """A chain of two."""
    return NewWorkflow(ID, [node(0, "1-1"), node(1, "-", f"{ID}.w0")], 1, (), b"{}")


def stage(lab: Lab, new: NewWorkflow, nodes: Any = None, *, first: bool = True) -> int:
    some = new.nodes if nodes is None else nodes
    reply = lab.run(workflow_calls.stage(lab.keys, new, some, list(enumerate(new.fan_ins)), new.given, first=first))
    code: int = reply[1]
    return code


def unfold(lab: Lab, verb: str = "go", whom: str = "", names: tuple[str, ...] = ("0:default",)) -> list[Any]:
    """Return (code, more, whom)."""
    reply: list[Any] = lab.run(workflow_calls.unfold(lab.keys, ID, names, lab.settings, verb, whom))[1:]
    return reply


def start(lab: Lab, new: NewWorkflow) -> None:
    assert stage(lab, new) == STAGED
    assert unfold(lab, "live") == [LIVE, 0, ""]


def fields(lab: Lab) -> dict[str, str]:
    """What is kept of the workflow."""
    return {text(name): text(value) for name, value in lab.client.hgetall(lab.keys.workflow(ID)).items()}


def idle(then: str, more: str = "") -> str:
    return f"- Q 0:default - 0 0 0 0 0 - w={then}{more}"


def blocked(then: str, waits_for: str = "") -> str:
    return f"- B 0:default - 0 0 0 0 0 - w={then}" + (f" a={waits_for}" if waits_for else "")


class TestStage:
    def test_all_of_it_waits_and_nobody_sees_it(self, lab: Lab) -> None:
        assert stage(lab, chord()) == STAGED
        stamp = f"{lab.now} {{}}"
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
        assert lab.run(workflow_calls.workflow(lab.keys, ID, [0])) == []
        assert lab.claim().ids == []

    def test_again_it_changes_nothing_but_the_time(self, lab: Lab) -> None:
        stage(lab, chord())
        stage(lab, chord())
        assert fields(lab)["staged"] == "3"

    def test_once_live_it_is_refused(self, lab: Lab) -> None:
        start(lab, chord())
        before = lab.dump()
        assert stage(lab, chord()) == LIVE
        assert lab.dump() == before

    def test_terms_become_marks(self, lab: Lab) -> None:
        new = NewWorkflow(ID, [node(0, delay_ms=5, limit=Limit("x", 10, 2)), node(1, due_ms=77)], 2)
        stage(lab, new)
        assert lab.line(f"{ID}.w0") == "- B 0:default - 0 0 0 0 0 - w=- i=5 l=10,2,x"
        assert lab.line(f"{ID}.w1") == "- B 0:default - 0 0 0 0 0 - w=- d=77"

    def test_known_results_are_there_from_the_beginning(self, lab: Lab) -> None:
        new = NewWorkflow(ID, [node(0, "g0.1")], 1, [FanIn(2, 2, succeeded=1)], b"", [Given("r0.0", b"SUCCESS old\n7")])
        stage(lab, new)
        assert fields(lab)["r0.0"] == "SUCCESS old\n7"
        assert fields(lab)["g0"] == "2 2 F n 0 -1 1 0 o"


class TestUnfold:
    def test_it_becomes_live_and_what_waits_for_nothing_goes(self, lab: Lab) -> None:
        stage(lab, chord())
        stamp = f"{lab.now} {{}}"
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

    def test_again_it_does_nothing(self, lab: Lab) -> None:
        start(lab, chord())
        before = lab.dump()
        assert unfold(lab, "live") == [LIVE, 0, ""]
        assert unfold(lab) == [LIVE, 0, ""]
        assert lab.dump() == before

    def test_without_all_nodes_it_does_not_become_live(self, lab: Lab) -> None:
        stage(lab, chord(), chord().nodes[:2])
        before = lab.dump()
        assert unfold(lab, "live") == [STAGED, 0, ""]
        assert lab.dump() == before

    def test_of_streams_that_are_not_given_it_goes_through_delayed(self, lab: Lab) -> None:
        stage(lab, pair())
        with lab.listen(lab.keys.control) as listener:
            assert unfold(lab, "live", names=()) == [LIVE, 0, ""]
            assert listener.heard() == [f"due {lab.now}"]
        assert lab.dump()["delayed"] == {f"{ID}.w0": lab.now}
        lab.promote("0:default")
        assert lab.line(f"{ID}.w0") == idle("1-1")
        assert lab.claim().ids == [f"{ID}.w0"]

    def test_a_hundred_go_at_a_time(self, lab: Lab) -> None:
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

    def test_what_never_became_live_is_thrown_away(self, lab: Lab) -> None:
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

    def test_a_workflow_without_nodes_is_finished_at_once(self, lab: Lab) -> None:
        with lab.listen(lab.keys.done_channel(ID)) as listener:
            start(lab, NewWorkflow(ID, [], 0, (), b"{}"))
            assert listener.heard() == [ID]
        assert list(lab.dump()) == [f"w:{ID} (expires)"]

    def test_nothing_is_known_of_another(self, lab: Lab) -> None:
        assert unfold(lab) == [GONE, 0, ""]
        assert lab.dump() == {}

    def test_whom_to_revoke_is_told_until_it_was_done(self, lab: Lab) -> None:
        start(lab, chord())
        assert unfold(lab, "cancel", "all!") == [LIVE, 0, "all!\n"]
        assert unfold(lab, "cancel", "all!") == [LIVE, 0, "all!\n"]
        assert unfold(lab, "cancel", "0") == [LIVE, 0, "all!\n0\n"]
        assert lab.dump()["unfolding"] == {ID: lab.now + 5000}
        assert unfold(lab, "canceled", "all!") == [LIVE, 0, "0\n"]
        assert unfold(lab, "canceled", "0") == [LIVE, 0, ""]
        assert "cancel" not in fields(lab)

    def test_a_deadline_is_counted_from_the_start(self, lab: Lab) -> None:
        stage(lab, chord(deadline_ms=10_000))
        assert fields(lab)["late"] == "0 10000\n"
        assert unfold(lab, "live") == [LIVE, 0, ""]
        assert fields(lab)["late"] == f"0 {lab.now + 10_000}\n"
        assert lab.dump()["unfolding"] == {ID: lab.now + 10_000}

    def test_after_a_deadline_what_follows_must_fail(self, lab: Lab) -> None:
        start(lab, chord(deadline_ms=10_000, cancels=True))
        lab.client.hset(lab.keys.workflow(ID), "late", "0 1\n")
        assert unfold(lab) == [LIVE, 0, "0\n"]
        assert lab.line(f"{ID}.w2") == idle("-", f" x=late:{ID}")
        assert fields(lab)["g0"] == "2 2 F d 2 2 0 0 f"
        assert "late" not in fields(lab)


@pytest.mark.parametrize("calls_made", range(7))
def test_a_producer_that_dies_after_any_call_leaves_all_of_it_or_nothing(lab: Lab, calls_made: int) -> None:
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


class TestSettle:
    def test_the_next_of_a_chain_goes_and_finds_the_result(self, lab: Lab) -> None:
        start(lab, pair())
        claimed = lab.claim_one()
        assert lab.settle(outcome(claimed, result=b"seven")) == [1]
        assert fields(lab)["v0"] == "seven"
        assert fields(lab)["done"] == "1"
        assert lab.line(f"{ID}.w1") == idle("-")
        assert lab.run(workflow_calls.gather(lab.keys, ID, "v0", 0)) == [1, "seven"]
        assert lab.claim("w", 2).ids == [f"{ID}.w1"]

    def test_after_a_failure_the_next_must_fail(self, lab: Lab) -> None:
        start(lab, pair())
        lab.settle(outcome(lab.claim_one(), "FAILURE"))
        [claimed] = lab.claim("w", 2).claimed
        assert (claimed.id, claimed.doom) == (f"{ID}.w1", f"parent {ID}.w0")
        assert "v0" not in fields(lab)
        assert fields(lab)["failed"] == "1"

    def test_the_last_member_lets_the_body_go_with_all_results_in_order(self, lab: Lab) -> None:
        start(lab, chord())
        first, second = lab.claim().claimed
        assert lab.settle(outcome(second, started=5, result=b"B")) == [1]
        assert lab.line(f"{ID}.w2") == blocked("-", ID)
        assert fields(lab)["g0"] == "2 2 F n 2 2 1 0 o"
        with lab.listen(lab.keys.done_channel(ID)) as listener:
            assert lab.settle(outcome(first, started=5, result=b"A")) == [1]
            assert ID in listener.heard()
        assert fields(lab)["g0"] == "2 2 F n 2 2 2 0 r"
        assert lab.line(f"{ID}.w2") == idle("-")
        members = [f"SUCCESS {ID}.w0\nA", f"SUCCESS {ID}.w1\nB"]
        assert lab.run(workflow_calls.gather(lab.keys, ID, "r0", 0)) == [2, *members]

    def test_a_whole_chord_leaves_only_what_expires(self, lab: Lab) -> None:
        start(lab, chord())
        first, second = lab.claim().claimed
        lab.settle(outcome(first, started=5), outcome(second, started=5))
        lab.settle(outcome(lab.claim_one("w", 2)))
        left = lab.dump()
        hour = lab.now // 3_600_000
        assert set(left) - {"wake", "wake:default"} == {
            f"w:{ID} (expires)",
            *(f"r:{ID}.w{number} (expires)" for number in range(3)),
            f"finished:{hour} (expires)",
            f"counts:{hour} (expires)",
            "claim:w (expires)",
            "q:0:default",
            "streams",
            "totals",
            *({"ready"} if "ready" in left else set()),
        }
        assert 0 < lab.client.pttl(lab.keys.workflow(ID)) <= KEEP_MS
        assert lab.run(workflow_calls.workflow(lab.keys, ID, [0]))[:3] == ["3", "3", "0"]

    def test_a_workflow_with_a_failure_is_kept_as_long_as_failures_are(self, lab: Lab) -> None:
        start(lab, pair())
        lab.settle(outcome(lab.claim_one(), "FAILURE", keep_ms=REVOKED_MS))
        assert fields(lab)["keep"] == str(REVOKED_MS)
        lab.settle(outcome(lab.claim("w", 2).claimed[0], "FAILURE", started=0))
        assert KEEP_MS < lab.client.pttl(lab.keys.workflow(ID)) <= REVOKED_MS

    def test_settled_again_nothing_counts_twice(self, lab: Lab) -> None:
        start(lab, chord())
        first, _ = lab.claim().claimed
        done = outcome(first, started=5)
        assert lab.settle(done) == [1]
        before = fields(lab)
        assert lab.settle(done) == [2]
        assert fields(lab) == before

    def test_the_first_failure_fails_the_body_and_the_rest_is_noted_as_late(self, lab: Lab) -> None:
        start(lab, chord())
        first, second = lab.claim().claimed
        lab.settle(outcome(first, "FAILURE", started=5, result=b"E"))
        assert lab.line(f"{ID}.w2") == idle("-", f" x=parent:{ID}.w0")
        lab.settle(outcome(second, started=5, result=b"B"))
        members = [f"FAILURE {ID}.w0\nE", f"-SUCCESS {ID}.w1\nB"]
        assert lab.run(workflow_calls.gather(lab.keys, ID, "r0", 0)) == [2, *members]
        assert fields(lab)["g0"] == "2 2 F n 2 2 1 1 f"

    def test_failures_that_are_collected_let_the_body_go(self, lab: Lab) -> None:
        start(lab, chord(collects=True))
        first, second = lab.claim().claimed
        lab.settle(outcome(first, "FAILURE", started=5), outcome(second, started=5))
        assert lab.line(f"{ID}.w2") == idle("-")

    def test_a_failure_may_cancel_the_others(self, lab: Lab) -> None:
        start(lab, chord(cancels=True))
        first, _ = lab.claim().claimed
        with lab.listen(lab.keys.control) as listener:
            lab.settle(outcome(first, "FAILURE", started=5))
            assert listener.heard() == ["unfold"]
        assert fields(lab)["cancel"] == "0\n"
        assert lab.dump()["unfolding"] == {ID: lab.now}
        assert lab.run(workflow_calls.unfolding(lab.keys, 10))[1:] == [-1, ID]

    def test_many_that_follow_go_in_steps(self, lab: Lab) -> None:
        nodes = [node(0, "1-150"), *(node(number, "-", f"{ID}.w0") for number in range(1, 151))]
        new = NewWorkflow(ID, nodes, 1, (), b"{}")
        for at in (0, 100):
            stage(lab, new, nodes[at : at + 100], first=at == 0)
        unfold(lab, "live")
        lab.settle(outcome(lab.claim_one()))
        assert fields(lab)["todo"] == "101 150 -\n"
        assert len(lab.dump()["q:0:default"].entries) == 100
        assert unfold(lab) == [LIVE, 0, ""]
        assert len(lab.dump()["q:0:default"].entries) == 150

    def test_an_id_that_only_looks_like_a_node_is_an_ordinary_one(self, lab: Lab) -> None:
        lab.enqueue("mine.w3")
        assert lab.settle(outcome(lab.claim_one())) == [1]
        assert f"w:{'mine'}" not in lab.dump()


class TestKeptOnce:
    """A result that a workflow keeps does not stand in the record of its node a second time."""

    LONG = "x" * 64

    def raw_record(self, lab: Lab, number: int) -> bytes:
        found: bytes = lab.client.get(lab.keys.record(f"{ID}.w{number}"))
        return found

    def result(self, lab: Lab, number: int) -> bytes | None:
        """As a reader of the record gets it."""
        task_id = f"{ID}.w{number}"
        [reply] = lab.raw(calls.read(lab.keys, [task_id]))
        found = from_reply(task_id, reply)
        return None if found is None else found.result

    def test_of_a_member(self, lab: Lab) -> None:
        start(lab, chord())
        first, second = lab.claim().claimed
        lab.settle(outcome(first, started=5, result=self.LONG.encode()))
        lab.settle(outcome(second, "FAILURE", started=5, result=b"e" * 70))
        assert b"x" not in self.raw_record(lab, 0)
        assert self.raw_record(lab, 0).endswith(b" r0.0\n" + first.body)
        assert self.result(lab, 0) == self.LONG.encode()
        assert self.result(lab, 1) == b"e" * 70
        members = [f"SUCCESS {ID}.w0\n{self.LONG}", f"FAILURE {ID}.w1\n{'e' * 70}"]
        assert lab.run(workflow_calls.gather(lab.keys, ID, "r0", 0)) == [2, *members]

    def test_of_what_one_other_follows(self, lab: Lab) -> None:
        start(lab, pair())
        lab.settle(outcome(lab.claim_one(), result=self.LONG.encode()))
        assert b"x" not in self.raw_record(lab, 0)
        assert self.result(lab, 0) == self.LONG.encode()
        last = lab.claim_one("w", 2)
        lab.settle(outcome(last, result=self.LONG.encode()))
        assert self.raw_record(lab, 1).endswith(self.LONG.encode())
        assert self.result(lab, 1) == self.LONG.encode()

    def test_a_failure_that_nobody_reads_stays_in_its_record(self, lab: Lab) -> None:
        start(lab, pair())
        lab.settle(outcome(lab.claim_one(), "FAILURE", result=self.LONG.encode()))
        assert self.raw_record(lab, 0).endswith(self.LONG.encode())
        assert self.result(lab, 0) == self.LONG.encode()

    def test_a_short_one_stays_in_its_record(self, lab: Lab) -> None:
        start(lab, chord())
        lab.settle(outcome(lab.claim().claimed[0], started=5, result=b"x" * 63))
        assert self.raw_record(lab, 0).endswith(b"x" * 63)

    def test_reports_of_earlier_attempts_are_read_all_the_same(self, lab: Lab) -> None:
        start(lab, chord())
        first = lab.claim_one()
        lab.settle(outcome(first, "RETRY", note='{"kind":"RETRY","n":7}'))
        second = next(one for one in lab.claim("w", 2).claimed if one.id == first.id)
        lab.settle(outcome(second, started=5, result=self.LONG.encode()))
        [reply] = lab.raw(calls.read(lab.keys, [first.id]))
        found = from_reply(first.id, reply)
        assert found is not None
        assert (found.result, [report["n"] for report in found.reports]) == (self.LONG.encode(), [7])

    def test_the_workflow_outlives_every_record_that_points_into_it(self, lab: Lab) -> None:
        start(lab, chord())
        first, second = lab.claim().claimed
        lab.settle(outcome(first, started=5, result=self.LONG.encode(), keep_ms=KEEP_MS * 5))
        lab.settle(outcome(second, started=5, keep_ms=KEEP_MS // 2))
        lab.settle(outcome(lab.claim_one("w", 2)))
        assert lab.client.pttl(lab.keys.workflow(ID)) >= lab.client.pttl(lab.keys.record(first.id)) > KEEP_MS

    def test_a_record_may_expire_before_the_body_reads_the_result(self, lab: Lab) -> None:
        start(lab, chord())
        first, second = lab.claim().claimed
        lab.settle(outcome(first, started=5, result=self.LONG.encode()))
        lab.client.delete(lab.keys.record(first.id))
        lab.settle(outcome(second, started=5))
        assert self.result(lab, 0) is None
        assert lab.run(workflow_calls.gather(lab.keys, ID, "r0", 0))[1] == f"SUCCESS {ID}.w0\n{self.LONG}"

    def test_a_clean_up_takes_nothing_from_a_live_workflow(self, lab: Lab) -> None:
        start(lab, chord())
        first, _ = lab.claim().claimed
        lab.settle(outcome(first, started=5, result=self.LONG.encode()))
        hour = lab.hour()
        [(entry, _)] = lab.client.xrange(lab.keys.finished(hour))
        lab.run(queries.forget(lab.keys, hour, [(entry.decode(), [first.id])], lab.now + 1, 900_000))
        assert self.result(lab, 0) is None
        assert lab.run(workflow_calls.gather(lab.keys, ID, "r0", 0))[1] == f"SUCCESS {ID}.w0\n{self.LONG}"

    def test_of_a_workflow_deleted_by_hand_nothing_is_made_up(self, lab: Lab) -> None:
        start(lab, chord())
        first, second = lab.claim().claimed
        lab.settle(outcome(first, started=5, result=self.LONG.encode()))
        lab.client.delete(lab.keys.workflow(ID))
        assert self.result(lab, 0) is None
        lab.settle(outcome(second, started=5, result=self.LONG.encode()))
        assert self.result(lab, 1) == self.LONG.encode()


class TestRevoke:
    def test_a_member_that_waits_counts_as_failed(self, lab: Lab) -> None:
        start(lab, chord())
        assert lab.revoke(f"{ID}.w0", "0:default")[0] == 1
        assert fields(lab)["g0"] == "2 2 F n 2 2 0 1 f"
        assert fields(lab)["r0.0"] == f"REVOKED {ID}.w0\n"
        assert fields(lab)["failed"] == fields(lab)["done"] == "1"
        assert lab.line(f"{ID}.w2") == idle("-", f" x=parent:{ID}.w0")

    def test_a_member_that_is_held_counts_when_it_is_settled(self, lab: Lab) -> None:
        start(lab, chord())
        first, _ = lab.claim().claimed
        assert lab.revoke(first.id)[0] == 2
        assert fields(lab)["g0"] == "2 2 F n 2 2 0 0 o"
        lab.settle(outcome(first, started=5, result=b"A"))
        assert fields(lab)["r0.0"] == f"REVOKED {ID}.w0\n"

    def test_a_body_that_waits_ends_at_once(self, lab: Lab) -> None:
        start(lab, chord())
        assert lab.revoke(f"{ID}.w2", "0:default")[0] == 1
        first, second = [one for one in lab.claim().claimed if not one.id.startswith("cb.")]
        lab.settle(outcome(first, started=5), outcome(second, started=5))
        assert fields(lab)["done"] == "3"
        assert lab.client.pttl(lab.keys.workflow(ID)) > 0


class TestGather:
    def test_as_many_as_fit_at_least_one(self, lab: Lab) -> None:
        start(lab, NewWorkflow(ID, [node(n, f"g0.{n}") for n in range(4)], 4, [FanIn(4, 4)]))
        for claimed in lab.claim().claimed[:3]:
            lab.settle(outcome(claimed, started=5, result=b"x" * 100))
        call = workflow_calls.gather(lab.keys, ID, "r0", 0)
        call.args[2] = 150
        assert [len(part) for part in lab.run(call)[1:]] == [114, 114]
        call.args[1] = 2
        assert [len(part) for part in lab.run(call)[1:]] == [114, 0]
        call.args[1], call.args[2] = 1, 1
        assert len(lab.run(call)) == 2

    def test_of_nothing(self, lab: Lab) -> None:
        assert lab.run(workflow_calls.gather(lab.keys, ID, "r0", 0)) == [0]
        assert lab.run(workflow_calls.gather(lab.keys, ID, "v0", 0)) == [1, ""]


def test_settle_without_workflows_brings_no_key_of_one(lab: Lab) -> None:
    lab.enqueue("a")
    call = child_calls.settle(lab.keys, [outcome(lab.claim_one())], lab.hour(), lab.settings)
    assert not [key for key in call.keys if "unfolding" in key or "}:w:" in key]
