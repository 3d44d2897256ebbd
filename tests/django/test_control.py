"""What a backend answers beyond Django's own: revoke, what runs, counts, clean-up on a server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from io import StringIO
from typing import Any, cast

import pytest
from django.conf import settings
from django.core.management import call_command
from django.tasks import task_backends
from django.test import override_settings
from django.utils import timezone

from contract.app import tasks
from streamtasks import TaskRevoked
from streamtasks.exceptions import QueueNotEmpty
from streamtasks.stores.factory import open_supervisor_store
from streamtasks_django import TaskMonitor, TaskResultManager
from streamtasks_django.backends.base import StoreBackend
from tests.support.manual_consumer import Consumer, outcome_of
from tests.support.servers import silence
from tests.support.users import worker_settings

pytestmark = pytest.mark.usefixtures("server_and_memory")


def backend() -> StoreBackend:
    found = task_backends["default"]
    assert isinstance(found, StoreBackend)
    return found


def enqueue(*args: Any) -> Any:
    return tasks.echo.enqueue(*args)


class TestRevoke:
    def test_what_waits_is_gone_at_once(self, hand: Consumer) -> None:
        result = enqueue()
        later: Any = tasks.echo.using(run_after=timezone.now() + timedelta(hours=1)).enqueue()
        assert backend().revoke(result.id, terminate=True)
        assert later.revoke()
        for one in (result, later):
            assert (one.ready(), one.state, one.failed()) == (True, "REVOKED", True)
            with pytest.raises(TaskRevoked):
                one.get()
        assert not {result.id, later.id} & {claimed.id for claimed in hand.claim()}

    @pytest.mark.parametrize("terminate", [True, False])
    def test_what_runs_is_revoked_whatever_it_does(self, hand: Consumer, terminate: bool) -> None:
        result = enqueue()
        [claimed] = hand.claim(1)
        assert backend().revoke(result.id, terminate)
        assert not result.ready()
        hand.settle(outcome_of(claimed, "SUCCESS", b'{"r":1}'))
        assert (result.ready(), result.state, result.result is None) == (True, "REVOKED", False)

    async def test_from_an_event_loop(self) -> None:
        result: Any = await tasks.echo.aenqueue()
        assert await backend().arevoke(result.id)
        assert not await backend().arevoke("nobody")
        with pytest.raises(TaskRevoked):
            await result.aget(timeout=60)

    def test_a_finished_one_is_not_changed(self, hand: Consumer) -> None:
        result = enqueue()
        hand.succeed(1)
        assert not backend().revoke(result.id)
        assert (result.state, result.result) == ("SUCCESS", 1)

    def test_an_unknown_one_is_remembered(self) -> None:
        assert not backend().revoke("nobody")
        assert not backend().revoke("no id at all")
        late: Any = cast("Any", tasks.echo).apply_async(task_id="nobody")
        assert late.state == "REVOKED"


class TestActive:
    def test_running_ones_are_listed(self, hand: Consumer) -> None:
        assert backend().get_active_tasks() == []
        result, _ = enqueue(), enqueue()
        hand.claim(1)
        [listed] = backend().get_active_tasks()
        started_at = datetime.fromisoformat(listed.pop("started_at"))
        assert abs(started_at - timezone.now()) < timedelta(seconds=10)
        assert listed == {
            "id": result.id, "name": "contract.app.tasks.echo", "status": "RUNNING", "worker": "hand",
        }  # fmt: skip
        json.dumps(listed)

    def test_messages_of_the_engine_are_none_of_a_projects_business(self, hand: Consumer) -> None:
        enqueue().revoke()
        assert [claimed.id[:3] for claimed in hand.claim(1)] == ["cb."]
        assert backend().get_active_tasks() == []


class TestCleanup:
    @pytest.mark.parametrize("cutoff", [datetime.now, timezone.now])
    def test_finished_ones_before_the_cutoff_are_forgotten(self, hand: Consumer, cutoff: Any) -> None:
        finished, waiting = enqueue(), enqueue()
        hand.succeed(1, most=1)
        assert backend().cleanup_results(cutoff() - timedelta(minutes=1)) == 0
        assert backend().get_results([finished.id])[0] is not None
        assert backend().cleanup_results(cutoff() + timedelta(seconds=5)) == 1
        assert backend().get_results([finished.id, waiting.id])[0] is None
        assert (finished.status, waiting.ready()) == ("READY", False)
        assert backend().cleanup_results(cutoff() + timedelta(seconds=5)) == 0

    def test_a_naive_cutoff_is_local_time(self, hand: Consumer) -> None:
        """The project's zone is hours away from UTC."""
        enqueue()
        hand.succeed(1)
        utc = datetime.now(UTC).replace(tzinfo=None)
        assert backend().cleanup_results(utc + timedelta(seconds=5)) == 0

    @pytest.mark.parametrize("cutoff", [3, "2020-01-01", None])
    def test_no_datetime(self, cutoff: Any) -> None:
        with pytest.raises(TypeError, match="cutoff is"):
            backend().cleanup_results(cutoff)

    def test_the_command(self, hand: Consumer) -> None:
        enqueue()
        hand.succeed(1)
        out = StringIO()
        call_command("streamtasks_cleanup", stdout=out)
        call_command("streamtasks_cleanup", "--days", "-1", "--backend", "default", stdout=out)
        assert out.getvalue().splitlines() == [
            "Successfully cleaned up 0 old task results",
            "Successfully cleaned up 1 old task results",
        ]
        assert TaskResultManager().cleanup_old_results(0) == 0


class TestForget:
    def test_one_that_is_finished(self, hand: Consumer) -> None:
        result, other = enqueue(), enqueue()
        assert not result.forget()
        hand.succeed(1)
        assert result.ready()
        assert result.forget()
        assert not result.forget()
        assert result.result == 1  # the object keeps what it knows
        assert [found is not None for found in backend().get_results([result.id, other.id])] == [False, True]
        assert not backend().forget_result("nobody")
        assert not backend().forget_result("no id at all")

    def test_its_id_stays_known_for_a_while(self, hand: Consumer) -> None:
        call: Any = cast("Any", tasks.echo).apply_async
        call(task_id="mine")
        hand.succeed(1)
        assert backend().forget_result("mine")
        call(task_id="mine")
        assert hand.claim() == []
        assert backend().cleanup_results(timezone.now() + timedelta(seconds=5)) == 0


class TestStatistics:
    def test_counts(self, hand: Consumer) -> None:
        empty = {
            "total_tasks": 0, "completed_tasks": 0, "failed_tasks": 0, "pending_tasks": 0, "average_execution_time": 0,
        }  # fmt: skip
        assert TaskResultManager().get_task_statistics() == empty
        for _ in range(6):
            enqueue()
        revoked = enqueue()
        for claimed in hand.claim(2):
            hand.settle(outcome_of(claimed, "SUCCESS", b"{}", started_ms=claimed.first_started_ms))
        hand.settle(outcome_of(hand.claim(1)[0], "IGNORED"))
        hand.fail(ValueError())
        hand.claim(1)
        revoked.revoke()
        found = TaskResultManager().get_task_statistics()
        average = found.pop("average_execution_time")
        assert 0 <= average < 5
        # A revoked task leaves a message behind that tells of it.
        pending = found.pop("pending_tasks")
        assert pending in (2, 3)
        assert found == {"total_tasks": 5 + pending, "completed_tasks": 3, "failed_tasks": 2}

    async def test_workers(self, hand: Consumer) -> None:
        idle = {"active_workers": 0, "total_tasks_processed": 0, "average_task_duration": 0, "worker_load": {}}
        assert TaskMonitor().get_worker_statistics() == idle
        keeper = open_supervisor_store(worker_settings(backend().store_settings))
        for name in ("box", "rack"):
            await keeper.beat("u0", name, {})
        await tasks.echo.aenqueue()
        with Consumer(backend().stores.plain, "box-2") as child:
            child.claim(1)
            found = TaskMonitor().get_worker_statistics()
            assert found == {**idle, "active_workers": 2, "worker_load": {"box": 1, "rack": 0}}
            assert await TaskMonitor().aget_worker_statistics() == found
        silence(backend().store_settings, "box", 31_000)
        assert TaskMonitor().get_worker_statistics()["worker_load"] == {"rack": 0}


class TestDeadLetters:
    async def test_they_are_listed_newest_first(self, hand: Consumer) -> None:
        first, second = [await tasks.echo.aenqueue() for _ in range(2)]
        assert backend().get_dead_letters() == []
        for claimed in hand.claim(2):
            hand.settle(outcome_of(claimed, "DEAD", b"{}")._replace(note="crashed"))
        found = backend().get_dead_letters()
        json.dumps(found)
        assert [one["id"] for one in found] == [second.id, first.id]
        newest = found[0]
        assert (newest["name"], newest["reason"], newest["queue"]) == ("contract.app.tasks.echo", "crashed", "default")
        assert abs(datetime.fromisoformat(newest["died_at"]) - timezone.now()) < timedelta(seconds=10)
        assert await backend().aget_dead_letters(1) == found[:1]
        assert await backend().aget_dead_letters(before=newest["cursor"]) == found[1:]


class TestForgetQueue:
    async def test_one_that_is_used_no_more(self, hand: Consumer) -> None:
        await tasks.echo.aenqueue()
        with pytest.raises(QueueNotEmpty, match="1 message is in queue 'default'"):
            backend().forget_queue("default")
        hand.succeed()
        assert await backend().aforget_queue("default")
        assert not backend().forget_queue("default")


class TestEvents:
    @pytest.fixture(autouse=True)
    def _wanted(self, server_and_memory: None) -> Iterator[None]:
        default = settings.TASKS["default"]
        options = {**default["OPTIONS"], "send_events": True}
        with override_settings(TASKS={**settings.TASKS, "default": {**default, "OPTIONS": options}}):
            yield

    async def test_the_monitor_tells_what_happened(self, hand: Consumer) -> None:
        monitor = TaskMonitor()
        assert monitor.get_events() == {"events": [], "cursor": monitor.get_events()["cursor"]}
        result, revoked = [await tasks.echo.aenqueue() for _ in range(2)]
        found = monitor.get_events()
        assert [(one["task_id"], one["event"], one["detail"]) for one in found["events"]] == [
            (result.id, "accepted", "0:default"),
            (revoked.id, "accepted", "0:default"),
        ]
        for one in found["events"]:
            assert abs(datetime.fromisoformat(one["timestamp"]) - timezone.now()) < timedelta(seconds=10)
        json.dumps(found)
        backend().revoke(revoked.id)
        hand.succeed(1)  # and the message that tells of the other one
        rest = await monitor.aget_events(found["cursor"])
        assert {
            (one["task_id"], one["event"], one["detail"]) for one in rest["events"] if one["event"] != "started"
        } == {
            (revoked.id, "settled", "REVOKED"),
            (result.id, "settled", "SUCCESS"),
        }

    def test_a_backend_without_a_store_tells_nothing(self) -> None:
        with override_settings(TASKS={"default": {"BACKEND": "streamtasks_django.backends.dummy.DummyBackend"}}):
            assert TaskMonitor().get_events("x") == {"events": [], "cursor": "x"}


class TestFromAnEventLoop:
    async def test_looking_and_cleaning_up(self, hand: Consumer) -> None:
        finished, running = [await tasks.echo.aenqueue() for _ in range(2)]
        hand.succeed(1, most=1)
        hand.claim(1)
        [listed] = await backend().aget_active_tasks()
        assert (listed["id"], listed["name"]) == (running.id, "contract.app.tasks.echo")
        counted = await TaskResultManager().aget_task_statistics()
        assert (counted["completed_tasks"], counted["pending_tasks"]) == (1, 1)
        assert (await TaskMonitor().aget_worker_statistics())["total_tasks_processed"] == 1
        assert await TaskResultManager().acleanup_old_results(1) == 0
        with pytest.raises(TypeError, match="cutoff is 3"):
            await backend().acleanup_results(cast("Any", 3))
        assert await backend().acleanup_results(timezone.now() + timedelta(seconds=5)) == 1
        assert not await backend().aforget_result(running.id)
        assert not await backend().aforget_result("no id at all")
        other = await tasks.echo.aenqueue()
        hand.succeed(1)
        assert await backend().aforget_result(other.id)
        found = await backend().aget_results([finished.id, "no id at all", running.id])
        assert [one and one.id for one in found] == [None, None, running.id]

    async def test_a_backend_without_a_store(self) -> None:
        with override_settings(TASKS={"default": {"BACKEND": "streamtasks_django.backends.dummy.DummyBackend"}}):
            twin: Any = task_backends["default"]
            result = tasks.echo.enqueue()
            assert await twin.aget_active_tasks() == []
            assert (await twin.aget_statistics())["pending_tasks"] == 1
            assert (await twin.aget_worker_statistics())["active_workers"] == 0
            assert await twin.acleanup_results(timezone.now()) == 0
            assert not await twin.aforget_result(result.id)
