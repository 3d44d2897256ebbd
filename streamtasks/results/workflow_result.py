"""Handles on workflows: the result of a group, and a workflow as a whole."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from ..exceptions import InvalidTask, TaskNotFound
from ..protocol.graph import Graph
from ..protocol.member_results import Member, check_inputs, inputs_of, read_members
from ..protocol.shards import ALL_TAGS, new_id
from ..stores.owner import Owner
from ..stores.workflow_types import WorkflowCounts
from .graph_nodes import GraphNode, graph_nodes
from .retry_failed import retry_failed
from .waits import is_refused, refusal

__all__ = [
    "GraphNode",
    "GroupResult",
    "Workflow",
    "aresult_of",
    "result_of",
]


class Workflow:
    """A workflow as a whole.

    Attributes:
        id: its id; those of its tasks begin with it.
    """

    def __init__(self, owner: Owner, workflow_id: str, graph: Graph | None = None) -> None:
        self.owner = owner
        self.id = workflow_id
        self._graph = graph

    def __repr__(self) -> str:
        return f"<Workflow {self.id}>"

    def counts(self) -> WorkflowCounts:
        """Read its progress.

        Raises:
            TaskNotFound: it is unknown, or has expired.
        """
        return self.known(self.owner.store.workflow(self.id))

    def known(self, counts: WorkflowCounts | None) -> WorkflowCounts:
        """Return counts that were read.

        Raises:
            TaskNotFound: there are none.
        """
        if counts is None:
            raise TaskNotFound(f"No workflow {self.id} is known: it was never enqueued here, or has expired.")
        return counts

    def read_graph(self) -> Graph:
        """Read its graph."""
        if self._graph is None:
            self._graph = Graph.decode(self.id, self.counts().plan, self.owner.settings.wire)
        return self._graph

    async def aread_graph(self) -> Graph:
        """Read its graph from an event loop."""
        if self._graph is None:
            counts = self.known(await self.owner.async_store.workflow(self.id))
            self._graph = Graph.decode(self.id, counts.plan, self.owner.settings.wire)
        return self._graph

    def ready(self) -> bool:
        """Return whether all of its tasks are finished."""
        counts = self.counts()
        return counts.finished >= counts.nodes

    def revoke(self, *, terminate: bool = False) -> bool:
        """Revoke all tasks that are not finished; False if there are none. See `Result.revoke`."""
        return self.owner.store.revoke_workflow(self.id, terminate=terminate)

    async def arevoke(self, *, terminate: bool = False) -> bool:
        """Revoke it from an event loop; see `revoke`."""
        return await self.owner.async_store.revoke_workflow(self.id, terminate=terminate)

    def graph(self) -> list[GraphNode]:
        """Return all of its tasks with their present states, each after those that it follows."""
        return graph_nodes(self.owner, self.read_graph())

    def retry_failed(self) -> Any:
        """Run all tasks that have not succeeded again, in a new workflow that knows the results of the others.

        Returns:
            A handle on the new workflow's result.

        Raises:
            InvalidTask: it is not finished, or no task has failed.
        """
        graph = self.read_graph()
        counts = self.known(self.owner.store.workflow(self.id, range(len(graph.fan_ins))))
        return result_of(self.owner, retry_failed(self.owner, graph, counts))


class GroupResult:
    """The result of a group: handles on its members, and all of their results together. Everything is read live.

    Attributes:
        id: the id for `StreamTasks.get_group` and a backend's ``get_group()``.
        workflow: the workflow that it belongs to; None for a group without tasks.
    """

    def __init__(self, owner: Owner | None, workflow: Workflow | None, number: int | None) -> None:
        self._owner = owner
        self.workflow = workflow
        self._number = number
        self._count = -1
        if workflow is None:
            self.id = new_id(ALL_TAGS)
        else:
            self.id = workflow.id if number is None else f"{workflow.id}.g{number}"

    @classmethod
    def of_nothing(cls) -> GroupResult:
        """Return the result of a group without any task."""
        return cls(None, None, None)

    def __repr__(self) -> str:
        return f"<GroupResult {self.id}>"

    def __len__(self) -> int:
        return len(self.ids)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.results)

    def __getitem__(self, place: int) -> Any:
        return self.results[place]

    def _fan_in(self) -> int | None:
        """Return the number of its fan-in; None if there are no members."""
        if self.workflow is None:
            return None
        if self._number is not None:
            return self._number
        kind, number = self.workflow.read_graph().result
        return number if kind == "g" else None

    @property
    def ids(self) -> list[str]:
        """The ids of its members, in their order."""
        join = self._fan_in()
        if join is None or self.workflow is None:
            return []
        graph = self.workflow.read_graph()
        return [graph.id_of(number) for number in graph.fan_ins[join].members]

    @property
    def results(self) -> list[Any]:
        """A handle on each member, in their order."""
        owner = self._owner
        return [] if owner is None else owner.results(self.ids)

    @property
    def children(self) -> list[Any]:
        """The same as `results`."""
        return self.results

    def _counts(self) -> tuple[int, int, int]:
        """Return (members, succeeded, failed)."""
        join = self._fan_in()
        if join is None or self.workflow is None or self._owner is None:
            return 0, 0, 0
        counts = self.workflow.known(self._owner.store.workflow(self.workflow.id, [join]))
        found = counts.fan_ins[0]
        return found.members, found.succeeded, found.failed

    def ready(self) -> bool:
        """Return whether all members are finished."""
        if self._fan_in() is None:
            return self.workflow is None or self.workflow.ready()
        members, succeeded, failed = self._counts()
        return succeeded + failed >= members

    def successful(self) -> bool:
        """Return whether all members have succeeded."""
        members, succeeded, _ = self._counts()
        return succeeded >= members and self.ready()

    def failed(self) -> bool:
        """Return whether a member has failed."""
        return self._counts()[2] > 0

    def waiting(self) -> bool:
        """Return whether a member is not finished."""
        return not self.ready()

    def completed_count(self) -> int:
        """Return how many members have succeeded."""
        return self._counts()[1]

    def failed_count(self) -> int:
        """Return how many members have failed."""
        return self._counts()[2]

    @property
    def progress(self) -> dict[str, int]:
        """``total``, ``completed``, ``failed`` and ``pending`` members."""
        members, succeeded, failed = self._counts()
        return {
            "total": members,
            "completed": succeeded,
            "failed": failed,
            "pending": members - succeeded - failed,
        }

    def get(self, timeout: float | None = None, *, propagate: bool = True, allow_wait: bool = False) -> list[Any]:
        """Wait for all members; return their results in order.

        Args:
            timeout: seconds, None for ever.
            propagate: raise the error of the first member that has failed, as soon as one has; False: errors stand in
                the list, as exceptions.
            allow_wait: wait inside a task, too, which keeps the task's place in its worker.

        Raises:
            TimeoutError: not all members are finished yet.
            WaitInTask: a task is running here, and not all members are finished yet.
            TaskNotFound: nothing is known of it any more.
            Exception: a member's own error.
        """
        if self._owner is None or self.workflow is None:
            return []
        refused = is_refused(timeout, allow_wait=allow_wait)
        join, store = self._fan_in(), self._owner.store
        done = store.wait_workflow(self.workflow.id, join, 0 if refused else timeout, failure=propagate)
        if not done:
            raise refusal(f"group {self.id}") if refused else self._late(timeout)
        if join is None:
            return []
        members = self._members(store.gather(self.workflow.id, f"r{join}"))
        return self._values(members, timeout, propagate=propagate)

    async def aget(
        self,
        timeout: float | None = None,  # noqa: ASYNC109 - the name users know from get()
        *,
        propagate: bool = True,
        allow_wait: bool = False,
    ) -> list[Any]:
        """Wait for all members on an event loop; see `get`."""
        if self._owner is None or self.workflow is None:
            return []
        refused = is_refused(timeout, allow_wait=allow_wait)
        store = self._owner.async_store
        await self.workflow.aread_graph()
        join = self._fan_in()
        if not await store.wait_workflow(self.workflow.id, join, 0 if refused else timeout, failure=propagate):
            raise refusal(f"group {self.id}") if refused else self._late(timeout)
        if join is None:
            return []
        members = self._members(await store.gather(self.workflow.id, f"r{join}"))
        return self._values(members, timeout, propagate=propagate)

    def _members(self, contents: Sequence[bytes]) -> list[Member | None]:
        """Read what the store keeps of the members; where it is signed, check that each stands in its place."""
        assert self._owner is not None
        wire = self._owner.settings.wire
        members = read_members(contents, wire)
        if members and (wire.is_sealed or wire.requires_signed):
            check_inputs(members, inputs_of(self.ids, 0), self.id)
        return members

    def _values(self, members: list[Member | None], timeout: float | None, *, propagate: bool) -> list[Any]:
        values: list[Any] = []
        for member in members:
            if member is not None and (failure := member.failure()) is not None:
                if propagate:
                    raise failure
                values.append(failure)
            else:
                values.append(None if member is None else member.value())
        if None in members:
            raise self._late(timeout)
        return values

    def _late(self, timeout: float | None) -> TimeoutError:
        return TimeoutError(f"Group {self.id} was not finished within {timeout} s; so far: {self.progress}.")

    join = get

    def revoke(self, *, terminate: bool = False) -> bool:
        """Revoke all members that are not finished, and what leads to them; False if there are none."""
        if self.workflow is None or self._owner is None:
            return False
        if self._number is None:
            return self.workflow.revoke(terminate=terminate)
        return self._owner.store.revoke_workflow(self.workflow.id, self._number, terminate=terminate)

    async def arevoke(self, *, terminate: bool = False) -> bool:
        """Revoke the members from an event loop; see `revoke`."""
        if self.workflow is None or self._owner is None:
            return False
        store = self._owner.async_store
        return await store.revoke_workflow(self.workflow.id, self._number, terminate=terminate)

    @property
    def parent(self) -> Any:
        """A handle on the task or group that the whole group follows; None if it follows nothing."""
        join = self._fan_in()
        if join is None or self.workflow is None or self._owner is None:
            return None
        graph = self.workflow.read_graph()
        first = min(graph.fan_ins[join].inside, default=-1)
        return _handle_on(self._owner, graph, graph.causes().get(first, ()))

    def graph(self) -> list[GraphNode]:
        """Return the tasks of its workflow with their states; see `Workflow.graph`."""
        return [] if self.workflow is None else self.workflow.graph()

    def retry_failed(self) -> Any:
        """Run failed tasks again; see `Workflow.retry_failed`."""
        if self.workflow is None:
            raise InvalidTask("This group has no tasks; there is nothing to run again.")
        return self.workflow.retry_failed()


def result_of(owner: Owner, graph: Graph) -> Any:
    """Return the handle on a workflow's result."""
    kind, number = graph.result
    if kind == "n":
        return owner.result(graph.id_of(number))
    return GroupResult(owner, Workflow(owner, graph.workflow_id, graph), None)


async def aresult_of(owner: Owner, graph: Graph) -> Any:
    """Return the handle on a workflow's result, from an event loop."""
    kind, number = graph.result
    if kind == "n":
        return await owner.aresult(graph.id_of(number))
    return result_of(owner, graph)


def _handle_on(owner: Owner, graph: Graph, cause: Sequence[int]) -> Any:
    for number, join in enumerate(graph.fan_ins):
        if cause is join.members:
            return GroupResult(owner, Workflow(owner, graph.workflow_id, graph), number)
    return owner.result(graph.id_of(cause[0])) if cause else None
