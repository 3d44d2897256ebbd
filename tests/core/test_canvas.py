"""What users write becomes nodes that follow each other; without a store."""

from __future__ import annotations

import operator
from typing import Any

import pytest

from streamtasks import InvalidTask, StreamTasks, chord
from streamtasks import chain as typed_chain
from streamtasks import group as typed_group
from streamtasks.protocol.graph import Graph, GraphFanIn
from streamtasks.protocol.message import Message
from streamtasks.workflows.canvas import Chain, Group
from streamtasks.workflows.plan import expand
from streamtasks.workflows.start import prepare

chain: Any = typed_chain
group: Any = typed_group
app = StreamTasks("memory://canvas")
other = StreamTasks("memory://other", label="other")


@app.task
def one(*args: Any) -> Any:
    return args


@app.task
def handler(task_id: str, error: str, traceback: str) -> None: ...


@other.task
def elsewhere() -> None: ...


def graph(canvas: Any) -> Graph:
    prepared = prepare(canvas, "w")
    assert prepared is not None
    return prepared.graph


def follows(canvas: Any) -> dict[int, str]:
    """What each node comes after, and whether it takes the result of that."""
    prepared = prepare(canvas, "w")
    assert prepared is not None
    found = {}
    for number, node in enumerate(prepared.new.nodes):
        message = Message.decode(node.message.envelope)
        found[number] = message.follows + ("" if message.takes or not message.follows else " (nothing)")
    return found


class TestGraphs:
    def test_a_chain(self) -> None:
        found = graph(one.s() | one.s() | one.s())
        assert (found.nodes, found.heads, found.after, found.fan_ins) == (3, 1, {0: (1, 1), 1: (2, 2)}, [])
        assert found.result == ("n", 2)

    def test_a_group(self) -> None:
        found = graph(group(one.s(), one.s()))
        assert (found.nodes, found.heads, found.result) == (2, 2, ("g", 0))
        assert found.fan_ins == [GraphFanIn([0, 1], [0, 1])]

    def test_a_chord(self) -> None:
        found = graph(chord([one.s(), one.s()], one.s()))
        assert found.fan_ins == [GraphFanIn([0, 1], [0, 1], 2, 2)]
        assert found.result == ("n", 2)

    def test_a_group_in_a_chain_is_a_chord(self) -> None:
        found = graph(chain(one.s(), group(one.s(), one.s()), one.s()))
        assert found.after == {0: (1, 2)}
        assert found.fan_ins == [GraphFanIn([1, 2], [1, 2], 3, 3)]

    def test_a_chain_in_a_group_is_a_member_by_its_last(self) -> None:
        found = graph(group(chain(one.s(), one.s()), one.s()))
        assert found.heads == 2
        assert found.after == {0: (2, 2)}
        assert found.fan_ins == [GraphFanIn([2, 1], [0, 1, 2])]

    def test_a_chord_of_chords(self) -> None:
        found = graph(chord([chord([one.s()] * 2, one.s()), chord([one.s()] * 2, one.s())], one.s()))
        assert found.nodes == 7
        assert found.heads == 4
        assert [list(join.members) for join in found.fan_ins] == [[0, 1], [2, 3], [4, 5]]

    def test_a_group_in_a_group_is_one_value(self) -> None:
        prepared = prepare(group(group(one.s(), one.s()), one.s()))
        assert prepared is not None
        assert b"streamtasks.gather" in prepared.new.nodes[3].message.envelope
        assert [list(join.members) for join in prepared.graph.fan_ins] == [[0, 1], [3, 2]]

    def test_a_group_after_a_group_gets_its_list_in_every_member(self) -> None:
        assert follows(group(one.s(), one.s()) | group(one.s(), one.si())) == {0: "", 1: "", 2: "g0", 3: "g0 (nothing)"}

    def test_every_node_comes_after_what_it_follows(self) -> None:
        deep = chain(group(chain(one.s(), group(one.s(), one.s())), one.s()), one.s(), group(one.s(), one.s()), one.s())
        found = graph(deep)
        assert all(before < after for after, cause in found.causes().items() for before in cause)

    def test_it_survives_being_stored(self) -> None:
        found = graph(chain(group(chain(one.s(), one.s()), one.s()), one.s()))
        again = Graph.decode("w", found.encode())
        assert again.encode() == found.encode()
        assert again.fan_ins[0].members == found.fan_ins[0].members

    def test_ten_thousand_members_have_a_short_plan(self) -> None:
        assert len(graph(chord([one.s()] * 10_000, one.s())).encode()) < 200


class TestEmpty:
    def test_a_chord_without_a_header_runs_its_body_with_an_empty_list(self) -> None:
        prepared = prepare(chord([], one.s("own")))
        assert prepared is not None
        assert b'"a":[[],"own"]' in prepared.new.nodes[0].message.envelope

    def test_an_empty_group_in_a_chain_keeps_the_order(self) -> None:
        prepared = prepare(chain(one.s(), group(), one.s()))
        assert prepared is not None
        assert prepared.graph.after == {0: (1, 1)}
        assert follows(chain(one.s(), group(), one.s()))[1] == "0 (nothing)"

    def test_a_group_of_nothing_is_ready(self) -> None:
        result = group().apply_async()
        assert (result.ready(), result.successful(), result.get(), len(result), result.revoke()) == (
            True,
            True,
            [],
            0,
            False,
        )

    def test_a_chain_of_nothing_is_refused(self) -> None:
        with pytest.raises(InvalidTask, match="at least one"):
            chain()


class TestWriting:
    def test_a_generator_a_list_and_single_ones_are_the_same(self) -> None:
        parts = [one.s(1), one.s(2)]
        assert group(parts) == group(*parts) == group(part for part in parts)
        assert chain(parts) == chain(*parts) == one.s(1) | one.s(2)

    def test_a_group_may_be_a_header(self) -> None:
        assert chord(group(one.s(1)), one.s()).header == group(one.s(1))

    def test_or_flattens(self) -> None:
        joined = one.s(1) | one.s(2) | one.s(3)
        assert isinstance(joined, Chain)
        assert joined.steps == (one.s(1), one.s(2), one.s(3))

    def test_nothing_changes_in_place(self) -> None:
        before = group(one.s(1))
        changed = before.set(queue="other")
        assert isinstance(changed, Group)
        assert before.options == {}
        assert dict(changed.options) == {"queue": "other"}

    def test_options_go_to_those_that_say_nothing_themselves(self) -> None:
        canvas = chain(one.s(), one.s().set(queue="own"), one.s()).set(queue="all", countdown=5, link_error=handler.s())
        options = [planned.signature.options for planned in expand(canvas).nodes if planned.signature is not None]
        assert [one_of.queue for one_of in options] == ["all", "own", "all"]
        assert [one_of.countdown for one_of in options] == [5, None, None]
        assert [len(one_of.link_error) for one_of in options] == [0, 0, 1]

    @pytest.mark.parametrize(
        ("make", "says"),
        [
            (lambda: group(1), "no signature"),
            (lambda: group("ab"), "no signature"),
            (lambda: chain(one.s(), len), "no signature"),
            (lambda: operator.or_(one.s(), 3), "no signature"),
            (lambda: group(one.s().set(task_id="mine")), "task_id"),
            (lambda: group(one.s().set(link="id")), "is linked to task id"),
            (lambda: group(one.s()).set(task_id="mine"), "makes the ids"),
            (lambda: group(one.s()).set(nope=1), "nope"),
            (lambda: group(one.s(), on_error="ignore"), "on_error is 'ignore'"),
            (lambda: group(one.s(), quorum=2), "quorum is 2"),
            (lambda: group(one.s(), deadline=0), "deadline"),
            (lambda: chord([one.s()]).apply_async(), "without a body"),
            (lambda: group(chord([one.s()])), "without a body"),
            (lambda: group(one.s()).apply_async(link=one.s()), "no end of its own"),
            (lambda: group(one.s(), elsewhere.s()).apply_async(), "'other'"),
        ],
    )
    def test_what_cannot_work_is_refused_with_a_reason(self, make: Any, says: str) -> None:
        with pytest.raises(InvalidTask, match=says):
            make()

    def test_the_error_of_two_places_names_both(self) -> None:
        with pytest.raises(InvalidTask) as caught:
            chain(one.s(), elsewhere.s()).apply_async()
        assert "memory://canvas" in str(caught.value)
        assert "memory://other" in str(caught.value)
