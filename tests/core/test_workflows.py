"""Workflows on every store: run by hand, step by step, so that each order of events can be had."""

from __future__ import annotations

import time
from typing import Any

import pytest

from streamtasks import (
    InvalidTask,
    StreamTasks,
    TaskNotFound,
    chain,
    chord,
    group,
)
from streamtasks.exceptions import ParentFailed
from streamtasks.protocol.state import State
from streamtasks.results.workflow_result import result_of
from streamtasks.stores.types import Revocation
from streamtasks.workflows.start import prepare
from tests.support.workflow_site import WorkflowSite, told


class TestResults:
    def test_a_chain_hands_each_result_on_before_the_arguments(self, site: WorkflowSite) -> None:
        assert site.get(chain(site.add.s(1, 2), site.add.s(10), site.add.s(100))) == 113

    def test_an_immutable_one_gets_nothing(self, site: WorkflowSite) -> None:
        assert site.get(chain(site.add.s(1, 2), site.add.si(5))) == 5

    def test_a_group_keeps_the_order_of_its_members(self, site: WorkflowSite) -> None:
        assert site.get(group(site.same.s(value) for value in "dcba")) == list("dcba")

    def test_a_body_gets_the_list_before_its_arguments(self, site: WorkflowSite) -> None:
        result = chord([site.add.s(n) for n in range(3)])(site.same.s("more"))
        site.run()
        assert result.get() == [0, 1, 2]
        assert result.parent.get() == [0, 1, 2]

    def test_freely_nested(self, site: WorkflowSite) -> None:
        canvas = chain(
            site.add.s(1),
            group(site.add.s(1), chain(site.add.s(2), site.add.s(3)), group(site.add.s(10), site.add.s(20))),
            site.same.s(),
        )
        assert site.get(canvas) == [2, 6, [11, 21]]

    def test_a_chord_of_chords(self, site: WorkflowSite) -> None:
        inner = chord([site.same.s(1), site.same.s(2)], site.same.s())
        assert site.get(chord([inner, inner], site.same.s())) == [[1, 2], [1, 2]]

    def test_a_group_after_a_group(self, site: WorkflowSite) -> None:
        assert site.get(group(site.same.s(1), site.same.s(2)) | group(site.same.s(), site.same.si(3))) == [[1, 2], 3]

    def test_empty_ones(self, site: WorkflowSite) -> None:
        assert site.get(chord([], site.same.s())) == []
        assert site.get(chain(site.add.s(1), group(), site.same.s())) == []
        assert site.get(chain(site.add.s(1), group())) == []
        assert site.get(group(group(), site.add.s(1))) == [[], 1]

    def test_an_ignored_member_counts_as_none(self, site: WorkflowSite) -> None:
        assert site.get(chord([site.ignored.s(), site.add.s(1)], site.same.s())) == [None, 1]
        assert site.get(site.ignored.s() | site.same.s()) is None

    def test_a_member_that_retries_is_waited_for(self, site: WorkflowSite) -> None:
        assert site.get(chord([site.flaky.s(1), site.add.s(2)], site.same.s())) == [1, 2]

    def test_more_members_than_one_call_takes(self, site: WorkflowSite) -> None:
        assert site.get(chord([site.same.s(n) for n in range(350)], site.same.s())) == list(range(350))
        assert site.get(chain(site.add.s(1), group(site.add.s(n) for n in range(250)))) == list(range(1, 251))

    def test_large_results_are_read_of_each_task_and_by_what_follows(self, site: WorkflowSite) -> None:
        big = "x" * 5000
        result = chain(site.same.s(big), group(site.same.s(), site.same.s()), site.same.s()).apply_async()
        site.run()
        assert result.get(timeout=0) == [big, big]
        assert [member.get(timeout=0) for member in result.parent] == [big, big]
        assert result.parent.parent.get(timeout=0) == big

    def test_args_of_apply_async_go_to_what_starts(self, site: WorkflowSite) -> None:
        result = chain(site.add.s(1), site.add.s(10)).apply_async((100,))
        several = group(site.add.s(1), site.add.s(2)).apply_async((100,))
        site.run()
        assert (result.get(), several.get()) == (111, [101, 102])

    def test_delays_count_for_the_start_or_from_what_is_followed(self, site: WorkflowSite) -> None:
        begun = time.monotonic()
        assert site.get(chain(site.add.s(1).set(countdown=0.2), site.add.s(2).set(countdown=0.2))) == 3
        assert time.monotonic() - begun >= 0.39  # the server counts whole milliseconds

    def test_rate_limits_count_for_each_part(self, site: WorkflowSite) -> None:
        begun = time.monotonic()
        assert site.get(site.limited.s(1) | group(site.limited.s() for _ in range(4)) | site.limited.s()) == [1] * 4
        assert time.monotonic() - begun >= 0.07

    def test_a_link_follows_the_end(self, site: WorkflowSite) -> None:
        result = chain(site.add.s(1), site.add.s(2)).apply_async(link=site.add.s(40))
        site.run()
        [child] = result.children
        assert site.app.get_result(child).get() == 43


class TestFailures:
    def test_what_follows_a_failure_fails_with_the_cause(self, site: WorkflowSite) -> None:
        result = chain(site.add.s(1), site.boom.s(), site.same.s(), site.same.s()).apply_async()
        site.run()
        with pytest.raises(ParentFailed, match="ValueError: boom"):
            result.get()
        assert result.parent.failed()

    def test_the_body_fails_and_its_handler_is_called_once(self, site: WorkflowSite) -> None:
        result = chord([site.add.s(1), site.boom.s(), site.boom.s()])(site.same.s().set(link_error=site.handler.s()))
        site.run()
        with pytest.raises(ParentFailed, match="ValueError: boom"):
            result.get()
        [(task_id, error, traceback)] = told
        assert (task_id, type(traceback)) == (result.id, str)
        assert "ValueError: boom" in error
        assert result.parent.results[0].get() == 1

    def test_a_group_raises_the_error_of_its_member(self, site: WorkflowSite) -> None:
        result = group(site.add.s(1), site.boom.s()).apply_async()
        site.run()
        with pytest.raises(ValueError, match="boom"):
            result.get()
        values = result.get(propagate=False)
        assert values[0] == 1
        assert isinstance(values[1], ValueError)
        assert (result.ready(), result.successful(), result.failed()) == (True, False, True)
        assert (result.completed_count(), result.failed_count()) == (1, 1)

    def test_collected_errors_are_values(self, site: WorkflowSite) -> None:
        first, second = site.get(chord([site.add.s(1), site.boom.s()], site.same.s(), on_error="collect"))
        assert first == 1
        assert (second["state"], second["error"], second["message"]) == ("FAILURE", "builtins.ValueError", "boom")
        assert "Traceback" in second["traceback"]
        assert second["task_id"].endswith(".w1")

    def test_a_quorum_lets_the_body_go(self, site: WorkflowSite) -> None:
        result = chord([site.boom.s(), site.add.s(1), site.add.s(2)], site.same.s(), quorum=2).apply_async()
        site.run()
        assert result.get() == [{**result.get()[0]}, 1, 2]

    def test_a_quorum_does_not_wait(self, site: WorkflowSite) -> None:
        late = site.add.s(9).set(countdown=0.3)
        result = chord([site.add.s(1), late], site.same.s(), quorum=1).apply_async()
        site.worker.move_on()
        while site.worker.run_one():
            site.worker.move_on()
        assert result.get(timeout=0) == [1, None]
        site.run()
        assert result.parent.get() == [1, 9]

    def test_a_quorum_out_of_reach_fails_the_body(self, site: WorkflowSite) -> None:
        result = chord([site.boom.s(), site.boom.s(), site.add.s(2)], site.same.s(), quorum=2).apply_async()
        site.run()
        with pytest.raises(ParentFailed):
            result.get()

    def test_fail_fast_revokes_the_others(self, site: WorkflowSite) -> None:
        later = chain(site.add.s(1).set(countdown=60), site.add.s(2))
        result = chord([site.boom.s(), later], site.same.s(), fail_fast=True).apply_async()
        site.run()
        assert result.failed()
        states = [node.state for node in result.workflow.graph()]
        assert sorted(states) == ["FAILURE", "FAILURE", "REVOKED", "REVOKED"]
        assert result.workflow.ready()

    def test_a_deadline_fails_the_body_or_lets_it_go_with_what_is_known(self, site: WorkflowSite) -> None:
        def late(on_error: str) -> Any:
            members = [site.add.s(1), site.add.s(2).set(countdown=60)]
            return chord(members, site.same.s(), deadline=600, on_error=on_error, fail_fast=True).apply_async()

        failing, collecting = late("fail"), late("collect")
        assert [site.worker.run_one() for _ in range(3)] == [True, True, False]
        for result in (failing, collecting):
            site.end_deadlines(result.workflow.id)
        site.run()
        with pytest.raises(ParentFailed, match="in time"):
            failing.get()
        assert collecting.get() == [1, None]
        assert failing.workflow.ready()
        assert collecting.workflow.ready()


class TestAsAWhole:
    def test_starting_it_again_does_nothing(self, site: WorkflowSite) -> None:
        prepared = prepare(chord([site.add.s(1), site.add.s(2)], site.same.s()))
        assert prepared is not None
        assert site.app.store.start_workflow(prepared.new)
        assert not site.app.store.start_workflow(prepared.new)
        site.run()
        assert not site.app.store.start_workflow(prepared.new)
        site.run()
        assert len(site.worker.ran) == 3

    def test_it_is_found_again_by_its_id(self, site: WorkflowSite) -> None:
        result = group(site.add.s(1), site.add.s(2)).apply_async()
        site.run()
        again = StreamTasks(site.app.settings.url).get_group(result.id)
        assert (again.get(), again.ids) == ([1, 2], result.ids)
        parent = chord([site.add.s(1)])(site.same.s()).parent
        assert site.app.get_group(parent.id).ids == parent.ids

    def test_a_chain_that_ends_with_a_group(self, site: WorkflowSite) -> None:
        result = chain(site.add.s(1), group(site.add.s(1), site.add.s(2))).apply_async()
        site.run()
        assert result.get() == [2, 3]
        assert result.parent.get() == 1
        assert site.app.get_group(result.id).get() == [2, 3]

    def test_what_is_no_group_is_not_found(self, site: WorkflowSite) -> None:
        result = chain(site.add.s(1), site.add.s(2)).apply_async()
        for unknown in ("nope", result.workflow.id, f"{result.workflow.id}.g7"):
            with pytest.raises(TaskNotFound):
                site.app.get_group(unknown)

    def test_what_waits_is_shown_as_blocked(self, site: WorkflowSite) -> None:
        result = chain(site.add.s(1), site.add.s(2)).apply_async()
        assert (result.state, result.status) == ("BLOCKED", "READY")
        first, second = result.workflow.graph()
        assert (first.state, first.follows, second.state, second.follows) == ("QUEUED", (), "BLOCKED", (first.id,))
        assert second.task == "add"

    def test_revoking_all_of_it(self, site: WorkflowSite) -> None:
        result = chain(site.add.s(1), group(site.add.s(n) for n in range(120)), site.same.s()).apply_async()
        assert result.workflow.revoke()
        site.run()
        assert {node.state for node in result.workflow.graph()} == {"REVOKED"}
        assert result.workflow.ready()
        assert [name for name, _ in site.worker.ran if not name.startswith("cb.")] == []

    @pytest.mark.parametrize("terminate", [False, True])
    def test_revoking_it_before_it_comes(self, site: WorkflowSite, *, terminate: bool) -> None:
        store, wire = site.app.store, chain(site.add.s(1), group(site.add.s(n) for n in range(120)), site.same.s())
        for part in (None, 0):
            prepared = prepare(wire)
            assert prepared is not None
            assert not store.revoke_workflow(prepared.new.id, part, terminate=terminate)
            assert store.workflow(prepared.new.id) is None
            assert store.start_workflow(prepared.new)
            site.run()
            states = [one.state for one in result_of(prepared.owner, prepared.graph).workflow.graph()]
            first, body = ("REVOKED", "REVOKED") if part is None else ("SUCCESS", "FAILURE")
            assert states == [first, *["REVOKED"] * 120, body]
            assert not store.start_workflow(prepared.new)
            if part is None:
                assert [name for name, _ in site.worker.ran if not name.startswith("cb.")] == []

    @pytest.mark.parametrize("number", [0, 1, 60, 121])
    def test_revoking_a_node_before_it_comes(self, site: WorkflowSite, number: int) -> None:
        store, wire = site.app.store, chain(site.add.s(1), group(site.add.s(n) for n in range(120)), site.same.s())
        prepared = prepare(wire)
        assert prepared is not None
        revoked = prepared.new.nodes[number].message.id
        assert store.revoke(revoked, terminate=True) == Revocation.UNKNOWN
        assert store.revoke(revoked) == Revocation.UNKNOWN
        assert store.read([revoked]) == [None]
        assert store.start_workflow(prepared.new)
        [snapshot] = store.read([revoked])
        assert snapshot is not None
        assert snapshot.state == State.REVOKED
        site.run()
        states = [one.state for one in result_of(prepared.owner, prepared.graph).workflow.graph()]
        assert states[number] == "REVOKED"
        assert states.count("REVOKED") == 1
        assert states[-1] == ("REVOKED" if number == 121 else "FAILURE")
        assert revoked not in [task_id for task_id, _ in site.worker.ran]

    def test_revoking_many_nodes_before_they_come(self, site: WorkflowSite) -> None:
        store = site.app.store
        prepared = prepare(group(site.add.s(n) for n in range(1500)))
        assert prepared is not None
        ids = [node.message.id for node in prepared.new.nodes]
        some = ids[::2]
        assert store.revoke_many(some) == [Revocation.UNKNOWN] * 750
        assert store.revoke_many([*some, f"{prepared.new.id}.w007"]) == [Revocation.UNKNOWN] * 751
        assert store.start_workflow(prepared.new)
        assert all(one is not None and one.state == State.REVOKED for one in store.read(some))
        assert all(one is not None and one.state == State.QUEUED for one in store.read(ids[1::2]))

    def test_a_group_is_revoked_without_what_led_to_it(self, site: WorkflowSite) -> None:
        result = chain(site.add.s(1), group(site.add.s(1), site.add.s(2)), site.same.s()).apply_async()
        assert result.parent.revoke()
        site.run()
        assert not result.parent.revoke()
        assert not result.workflow.revoke()
        assert [node.state for node in result.workflow.graph()] == ["SUCCESS", "REVOKED", "REVOKED", "FAILURE"]

    def test_progress_and_waiting(self, site: WorkflowSite) -> None:
        result = group(site.add.s(1), site.add.s(2)).apply_async()
        assert result.progress == {"total": 2, "completed": 0, "failed": 0, "pending": 2}
        assert result.waiting()
        with pytest.raises(TimeoutError, match="'pending': 2"):
            result.get(timeout=0.01)
        site.worker.run_one()
        assert result.completed_count() == 1
        assert len(result) == 2
        assert [member.id for member in result] == result.ids

    def test_only_what_failed_is_run_again(self, site: WorkflowSite) -> None:
        fails = [True]

        @site.app.task(name="sometimes")
        def sometimes(value: int) -> int:
            if fails[0]:
                raise ValueError("not yet")
            return value

        header = [site.add.s(1), chain(site.add.s(1), sometimes.s()), sometimes.s(3)]
        result = chain(chord(header, site.same.s()), site.same.s()).apply_async()
        with pytest.raises(InvalidTask, match="not finished"):
            result.workflow.retry_failed()
        site.run()
        assert result.failed()
        before = len(site.worker.ran)
        again = result.workflow.retry_failed()
        site.run()
        assert again.failed()
        assert len(site.worker.ran) - before == 4
        fails[0] = False
        third = again.workflow.retry_failed()
        site.run()
        assert third.get(timeout=0) == [1, 1, 3]
        with pytest.raises(InvalidTask, match=r"[Nn]othing"):
            third.workflow.retry_failed()

    def test_a_group_is_run_again_with_the_results_it_has(self, site: WorkflowSite) -> None:
        fails = [True]

        @site.app.task(name="sometimes")
        def sometimes() -> int:
            if fails[0]:
                raise ValueError("not yet")
            return 5

        result = group(site.add.s(1), sometimes.s()).apply_async()
        site.run()
        fails[0] = False
        again = result.retry_failed()
        assert again.completed_count() == 1
        site.run()
        assert again.get(timeout=0) == [1, 5]
        assert again.ids[0] == result.ids[0]
