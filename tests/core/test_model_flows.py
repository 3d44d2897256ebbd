"""Random lives of workflows on a real server and in memory, side by side, among the other messages of `test_model`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, precondition, rule, run_state_machine_as_test

from streamtasks import StreamTasks, chain, chord, group
from streamtasks.protocol.graph import Graph
from streamtasks.protocol.shards import node_id
from streamtasks.stores.types import ClaimRequest, Filter
from streamtasks.workflows.start import prepare
from tests.core.test_model import KNOWN, Lives, callback_id, consumers
from tests.support.store_pair import TAG, outcomes_of, same

if TYPE_CHECKING:
    from streamtasks.stores.supervisor_store import SupervisorStore
    from streamtasks.stores.workflow_types import NewWorkflow
    from streamtasks.workflows.canvas import Canvas

WORKFLOWS = ["f0", "f1"]
MOST_NODES = 9
NODES = [node_id(workflow_id, number) for workflow_id in WORKFLOWS for number in range(MOST_NODES)]
STATES = ["SUCCESS", "SUCCESS", "SUCCESS", "FAILURE", "IGNORED", "DEAD", "RETRY"]
HOUR_S = 3600

flows = st.sampled_from(WORKFLOWS)


def canvases() -> list[Canvas[Any]]:
    app = StreamTasks("memory://shapes", label="shapes")

    @app.task(name="t")
    def t(*_: Any) -> None: ...

    @app.task(name="slow", rate_limit="1/h")
    def slow(*_: Any) -> None: ...

    one = t.s()
    return [
        chain(one, one, one),
        chain(one, one.set(countdown=HOUR_S), one),
        chain(slow.s(), group(slow.s(), one), one),
        chord([one, one, one], one),
        chord([one, one, one], one, quorum=2, fail_fast=True),
        chord([one, chain(one, one), one], one, on_error="collect", deadline=HOUR_S),
        chord([chord([one, one], one), one], one, deadline=HOUR_S, fail_fast=True),
        chain(group(one, group(one, one)), group(one, one)),
        group(one, one, on_error="collect"),
        chain(one, group(), one),
    ]


CANVASES = canvases()


def made(workflow_id: str, place: int) -> NewWorkflow:
    prepared = prepare(CANVASES[place], workflow_id)
    assert prepared is not None
    assert len(prepared.new.nodes) <= MOST_NODES
    return prepared.new


async def unfold(store: SupervisorStore) -> bool:
    """Do what a keeper does; return whether there is more to come."""
    return await store.unfold(TAG) is not None


class Flows(Lives):
    """What `Lives` has, and two workflows, of which any part may end in any way."""

    @initialize()
    def begin(self) -> None:
        super().begin()
        self.flows: dict[str, NewWorkflow] = {}
        self.pair.knows_streams(["0:default", "0:mail", "5:default", "5:mail"])

    @rule(workflow_id=flows, place=st.integers(0, len(CANVASES) - 1))
    def start(self, workflow_id: str, place: int) -> None:
        """Start it; a second time nothing happens."""
        new = self.flows.setdefault(workflow_id, made(workflow_id, place))
        same(self.pair.real.start_workflow(new), self.pair.model.start_workflow(new))

    @rule(consumer=consumers, most=st.integers(1, 3), states=st.lists(st.sampled_from(STATES), min_size=3, max_size=3))
    def run(self, consumer: str, most: int, states: list[str]) -> None:
        """Claim something and settle it."""
        self.sequence[consumer] += 1
        request = ClaimRequest(self.sequence[consumer], most, True)
        claimed = self.pair.exchange(consumer, Filter(), [], request)[1]
        self.claimed += claimed
        for both, state in zip(claimed, states, strict=False):
            ends = "CALLED" if both.model.id.startswith("cb.") else state
            self.pair.exchange(consumer, Filter(), [outcomes_of(both, ends)], None)

    @rule(workflow_id=flows, fan_in=st.integers(0, 2), all_of_it=st.booleans(), terminate=st.booleans())
    def revoke_workflow(self, workflow_id: str, fan_in: int, all_of_it: bool, terminate: bool) -> None:
        new = self.flows.get(workflow_id)
        part = None if all_of_it else fan_in
        if new is not None and not all_of_it and fan_in >= len(new.fan_ins):
            return
        real = self.pair.real.revoke_workflow(workflow_id, part, terminate=terminate)
        same(real, self.pair.model.revoke_workflow(workflow_id, part, terminate=terminate))

    @rule(task_id=st.sampled_from(NODES), terminate=st.booleans())
    def revoke_node(self, task_id: str, terminate: bool) -> None:
        self.pair.revoke(task_id, terminate)

    @rule(workflow_id=flows)
    def pass_deadlines(self, workflow_id: str) -> None:
        self.pair.end_deadlines(workflow_id)
        self.unfold()

    @rule()
    def unfold(self) -> None:
        """What a keeper does: cancellations and deadlines."""
        self.pair.look_at_workflows()
        self.pair.keeper(lambda store, _: unfold(store))

    @precondition(lambda self: self.flows)
    @rule(ids=st.lists(st.sampled_from(NODES), min_size=1, max_size=4))
    def promote_nodes(self, ids: list[str]) -> None:
        self.pair.make_due(ids)
        self.pair.keeper(lambda store, _: store.promote(TAG))

    @invariant()
    def agree(self) -> None:
        if not hasattr(self, "flows"):
            return
        self.pair.compare([*KNOWN, *NODES, *map(callback_id, NODES)])
        for workflow_id, new in self.flows.items():
            joins = range(len(new.fan_ins))
            real, model = (store.workflow(workflow_id, joins) for store in (self.pair.real, self.pair.model))
            assert real is not None
            assert model is not None
            same(real._replace(started_ms=0), model._replace(started_ms=0))
            graph = Graph.decode(workflow_id, new.plan)
            for field in (*(f"r{join}" for join in joins), *(f"v{number}" for number in graph.after)):
                same(self.pair.real.gather(workflow_id, field), self.pair.model.gather(workflow_id, field))


def test_workflows_of_the_model_and_of_a_server_agree(embedded_url: str) -> None:
    class Here(Flows):
        url = embedded_url

    bounded = settings(
        max_examples=40,
        stateful_step_count=40,
        deadline=None,
        derandomize=False,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
    )
    run_state_machine_as_test(Here, settings=bounded)
