"""Chains, groups and chords as links of single tasks, on every store; and what ``link`` takes besides."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from streamtasks import InvalidTask, Message, StreamTasks, chain, chord, group
from streamtasks.exceptions import DecodeError, ParentFailed, StoreFull, StoreUnavailable
from streamtasks.protocol.links import START
from streamtasks.protocol.wire import JSON
from streamtasks.tasks.signature import CallOptions
from streamtasks.workflows.linked import workflow_of_call
from tests.support.workflow_site import told

if TYPE_CHECKING:
    from streamtasks import Result
    from streamtasks.stores.workflow_types import NewWorkflow
    from tests.support.workflow_site import WorkflowSite


def child_of(site: WorkflowSite, result: Result[Any]) -> Any:
    [child] = result.children
    return site.app.get_result(child)


class TestALinkedWorkflow:
    def test_runs_after_the_task_with_its_result(self, site: WorkflowSite) -> None:
        result = site.add.apply_async((1, 2), link=chain(site.add.s(10), site.add.s(100)))
        site.run()
        assert result.get(timeout=0) == 3
        child = child_of(site, result)
        assert child.get(timeout=0) == 113
        assert child.parent.get(timeout=0) == 13
        assert child.parent.parent.id == result.id

    def test_of_a_group_each_member_gets_the_result(self, site: WorkflowSite) -> None:
        result = site.add.apply_async((1, 2), link=group(site.add.s(10), site.add.si(5), site.flaky.s()))
        site.run()
        [child] = result.children
        assert site.app.get_group(child).get(timeout=0) == [13, 5, 3]

    def test_several_side_by_side(self, site: WorkflowSite) -> None:
        links = [chord([site.add.s(1), site.add.s(2)], site.same.s()), site.add.s(5), chain(site.same.si("alone"))]
        result = site.add.apply_async((1,), link=links)
        site.run()
        assert [site.app.get_result(child).get(timeout=0) for child in result.children] == [[2, 3], 6, "alone"]

    @pytest.mark.parametrize("empty_first", [False, True])
    def test_an_empty_group_in_front_gives_an_empty_list(self, site: WorkflowSite, empty_first: bool) -> None:
        header = group() if empty_first else group(group(), group())
        result = site.add.apply_async((1,), link=header | site.same.s())
        site.run()
        assert child_of(site, result).get(timeout=0) == ([] if empty_first else [[], []])

    def test_is_not_started_after_a_failure(self, site: WorkflowSite) -> None:
        result = site.boom.apply_async(link=chain(site.add.s(1), site.add.s(2)))
        site.run()
        assert len(site.worker.ran) == 1
        assert result.failed()

    def test_after_a_failure_gets_three_strings(self, site: WorkflowSite) -> None:
        result = site.boom.apply_async(link_error=chain(site.handler.s(), site.same.s("told")))
        site.run()
        [(task_id, error, traceback)] = told
        assert (task_id, error) == (result.id, "boom")
        assert "ValueError: boom" in traceback
        assert child_of(site, result).get(timeout=0) is None

    def test_is_started_once_however_often_its_start_is_run(self, site: WorkflowSite) -> None:
        site.add.apply_async((1,), link=chain(site.add.s(1), site.add.s(2)))
        site.worker.run_one()
        [first] = site.worker.claim()
        site.worker.run(first)  # a worker that dies before it can say so
        outcome = site.worker.run(first)
        site.worker.settle(outcome)
        site.run()
        assert len(site.worker.ran) == 3

    def test_is_started_when_the_store_has_room_again(
        self, site: WorkflowSite, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        begin, refusals = site.worker.store.start_workflow, [StoreFull("no room"), StoreUnavailable("no answer")]

        def refuse(new: NewWorkflow, retry_time_s: float) -> bool:
            if refusals:
                raise refusals.pop()
            return bool(begin(new, retry_time_s))

        monkeypatch.setattr(site.worker.store, "start_workflow", refuse)
        result = site.add.apply_async((1,), link=chain(site.add.s(1), site.add.s(2)))
        site.run()
        assert not refusals
        assert child_of(site, result).get(timeout=0) == 4

    def test_may_be_revoked_before_it_starts(self, site: WorkflowSite) -> None:
        site.add.apply_async((1,), link=chain(site.add.s(1), site.add.s(2)))
        site.worker.run_one()
        [first] = site.worker.claim()
        assert site.app.get_result(first.id).revoke()
        site.worker.settle(site.worker.run(first))
        assert site.app.get_result(first.id).state == "REVOKED"

    def test_within_a_workflow(self, site: WorkflowSite) -> None:
        step = site.add.s(1).set(link=group(site.add.s(100), site.add.s(200)))
        result = chain(step, site.add.s(10)).apply_async()
        site.run()
        assert result.get(timeout=0) == 11
        [child] = result.parent.children
        assert site.app.get_group(child).get(timeout=0) == [101, 201]

    def test_of_a_workflow(self, site: WorkflowSite) -> None:
        result = chain(site.add.s(1), site.add.s(2)).apply_async(link=chain(site.add.s(4), site.add.s(8)))
        site.run()
        assert child_of(site, result).get(timeout=0) == 15

    def test_a_linked_workflow_with_a_linked_workflow(self, site: WorkflowSite) -> None:
        inner = chain(site.add.s(4), site.add.s(8))
        result = site.add.apply_async((1,), link=chain(site.add.s(2), site.same.s()).set(link=inner))
        site.run()
        assert child_of(site, child_of(site, result)).get(timeout=0) == 15

    def test_delays_count_from_its_start(self, site: WorkflowSite) -> None:
        result = site.add.apply_async((1,), link=chain(site.add.s(2).set(countdown=0.05), site.same.s()))
        site.run()
        assert child_of(site, result).get(timeout=0) == 3

    @pytest.mark.parametrize(
        "settings",
        [
            {"serializer": "msgpack"},
            {"compression": "gzip"},
            {"serializer": "pickle", "signing_keys": ["a secret that is long enough to be one"]},
        ],
        ids=["msgpack", "gzip", "pickle"],
    )
    def test_in_other_encodings(self, store_url: str, settings: dict[str, Any]) -> None:
        from tests.support.workflow_site import WorkflowSite as Made

        made = Made(store_url, **settings)
        with made.worker:
            result = made.add.apply_async((1,), link=chain(made.same.s("x" * 2000), made.add.s(2)))
            made.run()
            assert child_of(made, result).get(timeout=0) == 3

    def test_of_another_app_is_refused(self, site: WorkflowSite) -> None:
        other = StreamTasks("memory://another", label="another")

        @other.task(name="x")
        def x() -> None: ...

        with pytest.raises(InvalidTask, match="another app"):
            site.add.apply_async((1,), link=chain(x.s(), x.s()))

    def test_without_a_task_is_refused(self, site: WorkflowSite) -> None:
        with pytest.raises(InvalidTask, match="without any task"):
            site.add.apply_async((1,), link=group())

    def test_too_large_a_one_is_refused(self, site: WorkflowSite) -> None:
        with pytest.raises(InvalidTask, match="max_payload_bytes"):
            site.add.apply_async((1,), link=group(site.same.s("x" * 1_000_000) for _ in range(17)))


@pytest.mark.parametrize("args", [[], [1], [{}], [{"id": "w", "nodes": [[1]], "takes": []}]])
def test_what_is_no_workflow_is_refused(args: list[Any]) -> None:
    with pytest.raises(DecodeError):
        workflow_of_call(Message(id="a", task=START, args=args), JSON)


class TestAfterAnEnqueuedTask:
    def test_with_links_of_its_own(self, site: WorkflowSite) -> None:
        first = site.add.delay(1)
        second = site.add.apply_async((2,), link=[first.id, chain(site.add.s(10), site.same.s())])
        assert second.state == "BLOCKED"
        site.run()
        assert child_of(site, second).get(timeout=0) == 12

    def test_a_signature_keeps_both(self, site: WorkflowSite) -> None:
        first = site.add.delay(1)
        second = site.add.s(2).set(link=site.add.s(5)).set(link=first.id).apply_async()
        site.run()
        assert second.parent_id == first.id
        assert child_of(site, second).get(timeout=0) == 7

    def test_two_ids_are_refused(self) -> None:
        with pytest.raises(InvalidTask, match="after one only"):
            CallOptions.of({"link": ["a", "b"]})

    def test_given_again_it_is_the_same(self) -> None:
        options = CallOptions.of({"link": ["a"]})
        assert CallOptions.of(options.given()) == options
        assert options.after == "a"

    def test_of_one_that_nobody_knows_the_error_says_so(self, site: WorkflowSite) -> None:
        result = site.add.apply_async((2,), link="nobody")
        site.run()
        with pytest.raises(
            ParentFailed, match="task nobody, which it follows, did not succeed: nothing is known of it"
        ):
            result.get(timeout=0)


class TestWhatWorkflowsRefuse:
    """Each error says what to do instead."""

    def test_ids(self, site: WorkflowSite) -> None:
        with pytest.raises(InvalidTask, match=r"task_id='mine'.*Leave it out.*result\.parent.*headers="):
            chain(site.add.s(1).set(task_id="mine"), site.add.s(2))
        with pytest.raises(InvalidTask, match=r"task_id is 'mine'.*Keep the id of its result"):
            group(site.add.s(1)).apply_async(task_id="mine")

    def test_a_task_to_run_after(self, site: WorkflowSite) -> None:
        with pytest.raises(InvalidTask, match=r"Enqueue its first task by itself.*link=\['other', chain"):
            chain(site.add.s(1).set(link="other"), site.add.s(2))
        with pytest.raises(InvalidTask, match=r"cannot wait.*link=\['other', chain"):
            chain(site.add.s(1), site.add.s(2)).apply_async(link="other")
