"""`TaskResultManager` and `TaskMonitor`, on a server without a worker."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable
from contextlib import nullcontext
from datetime import datetime
from io import StringIO
from typing import Any, ClassVar, cast

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command
from django.tasks import task_backends
from django.tasks.exceptions import InvalidTask, InvalidTaskBackend, TaskResultDoesNotExist
from django.test import override_settings

from contract.app import classes, documented, tasks
from contract.options import tasks_setting
from streamtasks import State
from streamtasks.exceptions import WaitInTask
from streamtasks.protocol.json import dumps
from streamtasks.protocol.message import Message
from streamtasks.tasks.attempt import Attempt, AttemptOutcome, entered
from streamtasks_django import TaskMonitor, TaskResultManager
from streamtasks_django.backends.memory import MemoryBackend
from streamtasks_django.backends.redis import RedisBackend
from streamtasks_django.tasks.call_options import COLUMNS
from streamtasks_django.worker.application import DjangoApplication
from tests.support.manual_consumer import Consumer, outcome_of, report_progress
from tests.support.servers import flush

pytestmark = pytest.mark.usefixtures("site")


@pytest.fixture(autouse=True)
def _empty(site: str) -> None:
    flush(site)


def backend() -> RedisBackend:
    return cast("RedisBackend", task_backends["default"])


def enqueue(*args: Any) -> str:
    return tasks.echo.enqueue(*args).id


def after(seconds: float, action: Callable[[], object]) -> threading.Timer:
    timer = threading.Timer(seconds, action)
    timer.start()
    return timer


class TestInTasks:
    """Whatever waits for results keeps the task's place in its worker, so it is refused."""

    WAITS: ClassVar[dict[str, Callable[..., Any]]] = {
        "many": lambda task_id, **more: TaskResultManager().wait_for_multiple_tasks([task_id], 0.05, **more),
        "backend": lambda task_id, **more: backend().wait_for_results([task_id], 0.05, **more),
        "backend, async": lambda task_id, **more: asyncio.run(backend().await_for_results([task_id], 0.05, **more)),
        "progress": lambda task_id, **more: TaskMonitor().monitor_task_progress(task_id, interval=0.05, **more),
        "watch": lambda task_id, **more: asyncio.run(watch(task_id, **more)),
    }

    @pytest.mark.parametrize("how", WAITS)
    def test_it_is_refused_unless_it_is_allowed_or_nothing_is_left_to_wait_for(self, how: str, hand: Consumer) -> None:
        task_id, wait = enqueue(), self.WAITS[how]
        with entered(Attempt(Message(id="waiting", task="shop.wait"), 1, "w", 0, 0, 0)):
            with pytest.raises(WaitInTask, match=rf"shop\.wait\) would wait for task {task_id}.*allow_wait=True"):
                wait(task_id)
            if how not in ("progress", "watch"):  # these two have no end of their own
                assert wait(task_id, allow_wait=True) is not None
            timer = after(0.05, lambda: hand.succeed(7))
            assert wait(task_id, allow_wait=True) is not None
            timer.join()
            TaskResultManager().wait_for_multiple_tasks([task_id], allow_wait=True)
            found = wait(task_id)
        assert found in ({task_id: {"status": "completed", "result": 7}}, {task_id}, [task_id]) or found["result"] == 7


async def watch(task_id: str, **more: Any) -> list[str]:
    return [result.id async for result in backend().awatch(task_id, **more)]


class TestInfo:
    def test_one_that_waits(self) -> None:
        task_id = enqueue()
        info = TaskResultManager().get_task_info(task_id)
        created = info.pop("date_created")
        assert datetime.fromisoformat(created).tzinfo is not None
        assert info == {
            "task_id": task_id, "status": "READY", "ready": False, "successful": None, "failed": None,
            "date_done": None,
        }  # fmt: skip

    def test_one_that_succeeded(self, hand: Consumer) -> None:
        task_id = enqueue()
        hand.succeed({"a": [1]})
        info = TaskResultManager().get_task_info(task_id)
        assert (info["status"], info["ready"], info["successful"], info["failed"]) == ("SUCCESSFUL", True, True, False)
        assert info["result"] == {"a": [1]}
        assert datetime.fromisoformat(info["date_done"]) >= datetime.fromisoformat(info["date_created"])
        assert "error" not in info
        json.dumps(info)

    async def test_one_that_failed_also_from_an_event_loop(self, hand: Consumer) -> None:
        task_id = (await tasks.echo.aenqueue()).id
        hand.fail(ValueError("bad"))
        info = await TaskResultManager().aget_task_info(task_id)
        assert (info["status"], info["successful"], info["failed"], info["error"]) == ("FAILED", False, True, "bad")
        assert "ValueError: bad" in info["traceback"]
        assert "result" not in info
        json.dumps(info)

    async def test_one_that_is_not_known(self) -> None:
        wanted = {"task_id": "nobody", "error": "Failed to get task info: nobody"}
        assert TaskResultManager().get_task_info("nobody") == wanted
        assert await TaskResultManager().aget_task_info("nobody") == wanted

    def test_only_backends_of_ours(self) -> None:
        with pytest.raises(InvalidTaskBackend):
            TaskResultManager("missing")
        setting = {"default": {"BACKEND": "django.tasks.backends.dummy.DummyBackend"}}
        with override_settings(TASKS=setting), pytest.raises(ImproperlyConfigured, match="one of the backends in"):
            TaskResultManager()


class TestWaiting:
    def test_for_many_together(self, hand: Consumer, bound: Callable[[float], float]) -> None:
        ids = [enqueue(number) for number in range(4)]
        hand.succeed("early", most=1)
        claimed = hand.claim(2)

        def later() -> None:
            hand.settle(outcome_of(claimed[0], "REVOKED"))
            hand.settle(outcome_of(claimed[1], "SUCCESS", b'{"r":"late"}'))

        timer = after(0.05, later)
        began = time.monotonic()
        found = TaskResultManager().wait_for_multiple_tasks([*ids, "nobody", ids[0]], timeout=2)
        took = time.monotonic() - began
        timer.join()
        assert list(found) == [*ids, "nobody"]
        assert found[ids[0]] == {"status": "completed", "result": "early"}
        assert found[ids[1]]["status"] == "error"
        assert "revoked" in found[ids[1]]["error"]
        assert found[ids[2]] == {"status": "completed", "result": "late"}
        assert found[ids[3]] == {"status": "timeout", "error": "Task did not complete within 2 seconds"}
        assert found["nobody"]["status"] == "error"
        assert 1.9 < took < bound(3)  # one wait for all of them

    def test_ends_with_the_last(self, hand: Consumer, bound: Callable[[float], float]) -> None:
        ids = [enqueue(number) for number in range(150)]

        def work() -> None:
            while hand.succeed(0, most=20):
                pass

        timer = after(0.05, work)
        began = time.monotonic()
        found = TaskResultManager().wait_for_multiple_tasks(ids)
        assert time.monotonic() - began < bound(10)
        timer.join()
        assert {one["status"] for one in found.values()} == {"completed"}

    def test_for_none(self) -> None:
        assert TaskResultManager().wait_for_multiple_tasks([]) == {}


class TestMonitor:
    def test_it_follows_a_task_to_its_end(self, hand: Consumer) -> None:
        task_id = enqueue()
        [claimed] = hand.claim(1)
        data = dumps({"s": "PROGRESS", "m": {"current": 1, "total": 2}})
        report_progress(cast("RedisBackend", task_backends["default"]).stores.asynchronous, claimed, data)
        seen: list[dict[str, Any]] = []

        def note(data: dict[str, Any]) -> None:
            seen.append(data)
            if len(seen) == 3:
                hand.settle(outcome_of(claimed, "SUCCESS", b'{"r":7}'))

        final = TaskMonitor().monitor_task_progress(task_id, note, interval=0.05)
        assert seen[-1] is final
        datetime.fromisoformat(final.pop("timestamp"))
        assert final == {
            "task_id": task_id, "status": "SUCCESSFUL", "completed": True, "successful": True, "result": 7,
        }  # fmt: skip
        assert len(seen) >= 3
        for said in seen[:-1]:
            datetime.fromisoformat(said.pop("timestamp"))
            assert said == {"task_id": task_id, "status": "RUNNING", "progress": {"current": 1, "total": 2}}

    def test_the_end_is_noticed_at_once(self, hand: Consumer, bound: Callable[[float], float]) -> None:
        task_id = enqueue()
        timer = after(0.1, lambda: hand.fail(ValueError("bad")))
        began = time.monotonic()
        final = TaskMonitor().monitor_task_progress(task_id, interval=120)
        timer.join()
        assert time.monotonic() - began < bound(5)
        assert (final["successful"], final["error"]) == (False, "bad")

    def test_an_unknown_task(self) -> None:
        with pytest.raises(TaskResultDoesNotExist):
            TaskMonitor().monitor_task_progress("nobody")


class Storing(RedisBackend):
    stored: list[tuple[Any, ...]]

    def store_result(self, task_id: str, result: Any, status: str, **kwargs: Any) -> None:
        self.stored.append((task_id, result, status, kwargs))


class StoringInMemory(MemoryBackend):
    def store_result(self, task_id: str, result: Any, status: str, **kwargs: Any) -> None:
        """It is there: that is enough."""


class TestStoreResult:
    def outcome(self, backend: RedisBackend, outcome: AttemptOutcome, headers: dict[str, Any]) -> None:
        message = Message(id="one", task=tasks.add.module_path, priority=5, headers=headers)
        attempt = Attempt(message, 1, "hand", 1, 1, 1)
        for middleware in DjangoApplication(backend).middleware:
            if type(middleware).__module__.endswith("store_result"):
                middleware.after_outcome(attempt, outcome)

    def test_an_override_hears_of_every_final_outcome(self) -> None:
        backend = Storing(params=dict(task_backends["default"].params))  # type: ignore[attr-defined]
        backend.stored = []
        error = ValueError("bad")
        extra = {COLUMNS: {"category": "mail", "user_id": 3}}
        self.outcome(backend, AttemptOutcome(State.SUCCESS, value=3), extra)
        self.outcome(backend, AttemptOutcome(State.RETRY, error=error, delay_s=1), extra)
        self.outcome(backend, AttemptOutcome(State.FAILURE, error=error), {COLUMNS: {"priority": 9}})
        self.outcome(backend, AttemptOutcome(State.IGNORED, error=error), {})
        assert backend.stored == [
            ("one", 3, "SUCCESSFUL", {"priority": 5, "category": "mail", "user_id": 3}),
            ("one", error, "FAILED", {"priority": 9}),
            ("one", None, "SUCCESSFUL", {"priority": 5}),
        ]

    def test_what_is_no_option_of_a_call_travels_to_it(self, site: str) -> None:
        storing = StoringInMemory if site.startswith("memory:") else Storing
        setting = {"default": {**tasks_setting(site, "idle:")["default"], "BACKEND": f"{__name__}.{storing.__name__}"}}
        call: Any = cast("Any", tasks.add).apply_async
        with override_settings(TASKS=setting):
            result = call((1, 2), priority=5, category="mail", user_id=3, headers={"own": 1})
            [snapshot] = cast("RedisBackend", task_backends["default"]).stores.plain.read([result.id])
        assert snapshot is not None
        assert Message.decode(snapshot.envelope).headers == {"own": 1, COLUMNS: {"category": "mail", "user_id": 3}}
        with pytest.raises(InvalidTask, match="'category' is no option"):
            call((1, 2), category="mail")

    def test_it_is_a_hook_so_outcomes_are_settled_one_by_one(self) -> None:
        for made, wanted in ((Storing, True), (RedisBackend, False)):
            backend = made(params=dict(task_backends["default"].params))  # type: ignore[attr-defined]
            runnable = DjangoApplication(backend).find(tasks.add.module_path)
            assert runnable is not None
            assert runnable.run_options.has_hooks is wanted

    @pytest.mark.parametrize(
        ("task", "args", "fits"),
        [
            (tasks.add, (1, 2), True),
            (tasks.add, (1,), False),
            (tasks.context_of, ("word",), True),
            (tasks.acontext_of, (1,), False),
            (documented.robust, (1, "word"), True),
            (documented.robust, (), False),
            (classes.data_migration_task, ("users", 10), True),
            (classes.data_migration_task, (), False),
        ],
    )
    def test_whether_a_call_fits_is_known_before_it_runs(self, task: Any, args: tuple[Any, ...], fits: bool) -> None:
        backend = cast("RedisBackend", task_backends["default"])
        runnable = DjangoApplication(backend).find(task.module_path)
        assert runnable is not None
        with nullcontext() if fits else pytest.raises(TypeError):
            runnable.check_call(args, {})

    def test_nothing_is_called_for_a_class_that_does_not_override_it(self) -> None:
        backend = cast("RedisBackend", task_backends["default"])
        names = [type(middleware).__module__ for middleware in DjangoApplication(backend).middleware]
        assert not [name for name in names if name.endswith("store_result")]


class TestCommand:
    def test_what_went_wrong_is_said(self) -> None:
        out = StringIO()
        call_command("streamtasks_cleanup", "--backend", "missing", stdout=out)
        assert out.getvalue().startswith("Failed to clean up task results: The connection 'missing' doesn't exist")
