"""Run the failed nodes of a workflow again: a new workflow that knows the results of the others.

A node that has succeeded keeps its old id. In the new workflow's graph its number is at least the number of nodes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import batched
from typing import Any, Final

from ..exceptions import InvalidTask, TaskNotFound
from ..protocol.graph import Graph, GraphFanIn
from ..protocol.member_results import inputs_of, value_of_node
from ..protocol.message import Message
from ..protocol.shards import id_beside, node_id
from ..protocol.state import Snapshot, State
from ..protocol.wire import RESULT
from ..stores.owner import Owner
from ..stores.types import NewMessage
from ..stores.workflow_types import FanIn, KnownResult, NewWorkflow, Node, WorkflowCounts

__all__ = ["retry_failed"]

_SUCCEEDED: Final = (State.SUCCESS, State.IGNORED)
_MOST_READ: Final = 100


def retry_failed(owner: Owner, graph: Graph, counts: WorkflowCounts) -> Graph:
    """Start a workflow of the nodes of a finished one that have not succeeded; return its graph.

    Args:
        owner: of both workflows.
        graph: of the finished one.
        counts: of the finished one, with all of its fan-ins.

    Raises:
        InvalidTask: it is not finished, or nothing of it has failed.
        TaskNotFound: one of its tasks has expired.
    """
    again = _Again(owner, graph, counts)
    owner.store.start_workflow(again.new())
    return again.graph


class _Again:
    def __init__(self, owner: Owner, graph: Graph, counts: WorkflowCounts) -> None:
        self._owner = owner
        self._old = graph
        self._counts = counts
        self._snapshots = self._read()
        self._redo = [number for number, found in self._snapshots.items() if found.state not in _SUCCEEDED]
        if self._counts.finished < self._counts.nodes:
            raise InvalidTask(f"Workflow {graph.workflow_id} is not finished; only what has ended can be run again.")
        if not self._redo:
            raise InvalidTask(f"Nothing of workflow {graph.workflow_id} has failed; there is nothing to run again.")
        self._id = id_beside(graph.workflow_id, owner.settings.tags)
        self._place_of = {
            member: f"g{number}.{place}"
            for number, fan_in in enumerate(self._old.fan_ins)
            for place, member in enumerate(fan_in.members)
        }
        self._number = self._numbered()
        self.graph = self._new_graph()

    def _read(self) -> dict[int, Snapshot]:
        found: dict[int, Snapshot] = {}
        for numbers in batched(range(self._old.nodes), _MOST_READ):
            ids = [self._old.id_of(number) for number in numbers]
            for number, task_id, snapshot in zip(numbers, ids, self._owner.store.read(ids), strict=True):
                if snapshot is None:
                    raise TaskNotFound(f"Task {task_id} is not known any more; its workflow cannot be run again.")
                found[number] = snapshot
        return found

    # -- numbers -------------------------------------------------------------------------------------

    def _numbered(self) -> dict[int, int]:
        """Return new numbers by old ones: first what need not wait, then the rest in its order, then what is known."""
        redo = set(self._redo)
        waits: dict[int, bool] = {}
        for number, (first, last) in self._old.after.items():
            waits.update(dict.fromkeys(range(first, last + 1), number in redo))
        for fan_in in self._old.fan_ins:
            open_ = any(member in redo for member in fan_in.members)
            waits.update(dict.fromkeys(range(fan_in.first, fan_in.last + 1), open_))
        heads = [number for number in self._redo if not waits.get(number)]
        others = [number for number in self._redo if waits.get(number)]
        self._heads = len(heads)
        numbers = {old: new for new, old in enumerate((*heads, *others))}
        return numbers | {
            old: len(self._redo) + old for old in [*range(self._old.nodes), *self._old.known] if old not in redo
        }

    def _range(self, first: int, last: int) -> tuple[int, int]:
        """Return the new numbers of followers; they keep together, for either all of them run again or none waits."""
        numbers = [self._number[old] for old in range(first, last + 1) if self._is_waiting(old)]
        return (numbers[0], numbers[-1]) if numbers else (0, -1)

    def _is_waiting(self, old: int) -> bool:
        return self._heads <= self._number[old] < len(self._redo)

    def _new_graph(self) -> Graph:
        old, most = self._old, len(self._redo)
        kind, place = old.result
        return Graph(
            self._id,
            most,
            self._heads,
            {
                self._number[number]: found
                for number, (first, last) in old.after.items()
                if (found := self._range(first, last))[1] >= found[0]
            },
            [
                GraphFanIn(
                    [self._number[member] for member in fan_in.members],
                    sorted(new for one in fan_in.inside if (new := self._number[one]) < most),
                    *self._range(fan_in.first, fan_in.last),
                )
                for fan_in in old.fan_ins
            ],
            (kind, self._number[place] if kind == "n" else place),
            {new: old.id_of(number) for number, new in self._number.items() if new >= most},
        )

    # -- parts ---------------------------------------------------------------------------------------

    def new(self) -> NewWorkflow:
        """Return the workflow to start."""
        order = sorted(self._redo, key=lambda old: self._number[old])
        nodes = [self._node(old) for old in order]
        fan_ins = [self._fan_in(place) for place in range(len(self._old.fan_ins))]
        return NewWorkflow(
            self._id, nodes, self._heads, fan_ins, self.graph.encode(self._owner.settings.wire), self._given()
        )

    def _node(self, old: int) -> Node:
        found = self._snapshots[old]
        number = self._number[old]
        message = self._renamed(found.message(), node_id(self._id, number))
        settings = self._owner.settings
        envelope = message.encode(settings.max_payload_bytes, settings.wire)
        limit = self._owner.limit_of(message)
        waits_for = ""
        if number >= self._heads:
            waits_for = self._id if message.follows.startswith("g") else node_id(self._id, int(message.follows))
        return Node(
            NewMessage(message.id, message.queue, message.priority, envelope, limit=limit), waits_for, self._then(old)
        )

    def _renamed(self, message: Message, task_id: str) -> Message:
        follows, parent_id = message.follows, message.parent_id
        if follows and not follows.startswith("g"):
            follows = str(self._number[int(follows)])
            parent_id = self.graph.id_of(int(follows))
        return replace(
            message,
            id=task_id,
            follows=follows,
            parent_id=parent_id,
            expires_ms=0,
            expires_in_ms=0,
            due_ms=0,
            inputs=self._inputs(int(follows[1:])) if follows.startswith("g") and message.takes else (),
        )

    def _inputs(self, place: int) -> Sequence[Any]:
        """Return whose results a node takes, if that is signed; see `Message.inputs`."""
        if not self._owner.settings.wire.is_sealed:
            return ()
        ids = [self.graph.id_of(number) for number in self.graph.fan_ins[place].members]
        return inputs_of(ids, self._counts.fan_ins[place].need)

    def _then(self, old: int) -> str:
        if old in self._old.after:
            first, last = self._range(*self._old.after[old])
            return f"{first}-{last}" if last >= first else "-"
        return self._place_of.get(old, "-")

    def _fan_in(self, place: int) -> FanIn:
        fan_in, was = self.graph.fan_ins[place], self._counts.fan_ins[place]
        known = sum(number >= len(self._redo) for number in fan_in.members)
        return FanIn(
            len(fan_in.members), was.need, was.collects, was.cancels, fan_in.first, fan_in.last, succeeded=known
        )

    def _given(self) -> list[KnownResult]:
        """Return the results that are known: those of single nodes under their new numbers, and those of members."""
        store, wire = self._owner.store, self._owner.settings.wire
        old = self._old
        given: list[KnownResult] = []
        for number in sorted({int(f) for node in self._redo if (f := self._follows(node)) and not f.startswith("g")}):
            if self._number[number] < len(self._redo):
                continue
            # A signed result counts for the id of its task only: here it has another.
            value = self._value(number)
            name = self._number[number]
            given.append(KnownResult(f"v{name}", wire.dumps({"r": value}, RESULT, node_id(self._id, name))))
        for number, fan_in in enumerate(old.fan_ins):
            contents = store.gather(old.workflow_id, f"r{number}")
            for place, member in enumerate(fan_in.members):
                if self._number[member] >= len(self._redo) and place < len(contents):
                    given.append(KnownResult(f"r{number}.{place}", contents[place].removeprefix(b"-")))
        return given

    def _follows(self, number: int) -> str:
        return self._snapshots[number].message().follows

    def _value(self, number: int) -> object:
        old = self._old
        [content] = self._owner.store.gather(old.workflow_id, f"v{number}")
        return value_of_node(content, node_id(old.workflow_id, number), self._owner.settings.wire)
