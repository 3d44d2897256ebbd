"""Results: Django's snapshot, and everything beside it live, on a server without a worker."""

from __future__ import annotations

import asyncio
import copy
import json
import pickle
import threading
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest
from asgiref.sync import sync_to_async
from django.tasks import TaskResultStatus, task_backends
from django.tasks.exceptions import TaskResultDoesNotExist
from django.test import override_settings

from contract.app import tasks
from streamtasks import Attempt, State, TaskFailed, TaskRevoked
from streamtasks.exceptions import WaitInTask
from streamtasks.protocol.errors import describe
from streamtasks.protocol.json import dumps
from streamtasks.protocol.message import Message
from streamtasks.stores.types import Claimed
from streamtasks.tasks.attempt import entered
from streamtasks_django.backends.base import StoreBackend
from streamtasks_django.results.task_result import StreamTaskResult
from tests.support.manual_consumer import Consumer, outcome_of, report_progress
from tests.support.servers import flush

pytestmark = pytest.mark.usefixtures("site")


@pytest.fixture(autouse=True)
def _empty(site: str) -> None:
    flush(site)


def backend() -> StoreBackend:
    found = task_backends["default"]
    assert isinstance(found, StoreBackend)
    return found


def enqueued(*args: Any) -> StreamTaskResult[Any]:
    return cast("StreamTaskResult[Any]", cast("Any", tasks.echo).enqueue(*args))


def say(claimed: Claimed, state: str, meta: Any) -> None:
    report_progress(backend().stores.asynchronous, claimed, dumps({"s": state, "m": meta}))


def test_one_object_follows_the_server(hand: Consumer) -> None:
    result = enqueued(1)
    assert isinstance(result, StreamTaskResult)
    assert (result.ready(), result.state, result.status, result.info, result.result) == (
        False, "QUEUED", TaskResultStatus.READY, None, None,
    )  # fmt: skip
    [claimed] = hand.claim(1)
    assert not result.is_finished
    assert str(result.status) == "READY"  # Django's attributes are a snapshot ...
    assert not result.ready()
    assert str(result.status) == "RUNNING"  # ... that every look at the server renews
    assert (result.state, result.info) == ("STARTED", None)
    say(claimed, "CLEANING", {"current": 1, "total": 4})
    assert (result.state, result.info, result.progress) == ("CLEANING", {"current": 1, "total": 4}, result.info)
    assert (result.status, result.ready(), result.successful(), result.failed()) == (
        TaskResultStatus.RUNNING, False, False, False,
    )  # fmt: skip
    assert result.date_done is None
    hand.settle(outcome_of(claimed, "SUCCESS", b'{"r":[1,2]}'))
    assert (result.ready(), result.successful(), result.failed()) == (True, True, False)
    assert (result.status, result.state) == (TaskResultStatus.SUCCESSFUL, "SUCCESS")
    assert (result.result, result.return_value, result.get(timeout=0)) == ([1, 2], [1, 2], [1, 2])
    assert (result.info, result.traceback) == (None, None)


def test_a_final_state_is_read_once_and_kept(hand: Consumer, site: str) -> None:
    result = enqueued()
    hand.succeed("kept")
    assert result.ready()
    flush(site)
    assert (result.ready(), result.state, result.result, result.get()) == (True, "SUCCESS", "kept", "kept")
    with pytest.raises(TaskResultDoesNotExist):
        result.refresh()


def test_a_state_after_each_look_is_one_of_the_four(hand: Consumer) -> None:
    result = enqueued()
    hand.settle(outcome_of(hand.claim(1)[0], "RETRY", delay_ms=60_000))
    assert (result.state, result.status, result.ready()) == ("RETRY", TaskResultStatus.READY, False)
    later = cast("Any", tasks.echo.using(run_after=datetime.now(UTC) + timedelta(hours=1))).enqueue()
    assert (later.state, later.status) == ("DELAYED", TaskResultStatus.READY)


def test_an_unknown_one_is_not_waited_for(site: str) -> None:
    result = enqueued()
    flush(site)
    for look in (result.ready, result.get, lambda: result.state, lambda: result.info):
        with pytest.raises(TaskResultDoesNotExist):
            look()


@pytest.mark.parametrize(
    "error",
    [ValueError("bad news"), KeyError("name"), KeyError(3), KeyError(("a", 1)), FileNotFoundError("gone"), Exception()],
)
def test_the_result_of_a_failure_is_its_exception(hand: Consumer, error: Exception) -> None:
    result = enqueued()
    try:
        raise error
    except Exception as raised:
        hand.fail(raised)
    assert result.failed()
    assert (type(result.result), str(result.result)) == (type(error), str(error))
    assert result.traceback is not None
    assert "Traceback (most recent call last)" in result.traceback
    assert result.state == "FAILURE"
    with pytest.raises(type(error)) as caught:
        result.get(timeout=1)
    assert str(caught.value) == str(error)


def test_an_exception_that_cannot_be_made_here(hand: Consumer) -> None:
    result = enqueued()
    hand.fail(tasks.ShopError(7, "out of stock"))
    assert isinstance(result.result, TaskFailed)
    assert "7: out of stock" in str(result.result)


@pytest.mark.parametrize("state", ["REVOKED", "EXPIRED"])
def test_one_that_was_revoked_or_has_expired(hand: Consumer, state: str) -> None:
    result = enqueued()
    hand.settle(outcome_of(hand.claim(1)[0], state))
    assert (result.state, result.status, result.failed()) == (state, TaskResultStatus.FAILED, True)
    assert isinstance(result.result, TaskRevoked)
    assert result.errors[-1].exception_class is TaskRevoked
    with pytest.raises(TaskRevoked, match=state.lower()):
        result.get()


def test_an_ignored_one(hand: Consumer) -> None:
    result = enqueued()
    hand.settle(outcome_of(hand.claim(1)[0], "IGNORED"))
    assert (result.state, result.successful(), result.result, result.get()) == ("IGNORED", True, None, None)


def test_get_gives_up_in_time_with_the_builtin_error() -> None:
    result = enqueued()
    with pytest.raises(TimeoutError, match=rf"Task {result.id} was not finished within 0\.1 s; it is READY"):
        result.get(timeout=0.1)


def test_a_task_does_not_wait_for_a_result(hand: Consumer) -> None:
    result = enqueued()
    with entered(Attempt(Message(id="waiting", task="shop.wait"), 1, "w", 0, 0, 0)):
        with pytest.raises(WaitInTask, match=rf"Task waiting \(shop\.wait\) would wait for task {result.id}"):
            result.get()
        with pytest.raises(WaitInTask):
            asyncio.run(result.aget(timeout=5))
        with pytest.raises(TimeoutError):
            result.get(timeout=0.01, allow_wait=True)
        with pytest.raises(TimeoutError):
            asyncio.run(result.aget(timeout=0.01, allow_wait=True))
        hand.settle(outcome_of(hand.claim(1)[0], "SUCCESS", dumps({"r": 5})))
        assert result.get() == 5


async def test_a_wait_names_the_queue_that_no_worker_serves(site: str) -> None:
    result = await sync_to_async(enqueued)()
    lacking = r"run_until_idle\(\)" if site.startswith("memory:") else "no worker serves it"
    with pytest.raises(TimeoutError, match=f"queued in 'default'; .*{lacking}"):
        await result.aget(timeout=0.1)
    with pytest.raises(TimeoutError, match=f"queued in 'default'; .*{lacking}"):
        await sync_to_async(result.get)(timeout=0.1)


def test_a_push_wakes_get(hand: Consumer) -> None:
    result = enqueued()
    timer = threading.Timer(0.1, hand.succeed, ["woken"])
    timer.start()
    assert result.get(timeout=60) == "woken"
    timer.join()


async def test_from_an_event_loop() -> None:
    result = await tasks.echo.aenqueue()
    assert isinstance(result, StreamTaskResult)
    with pytest.raises(TimeoutError):
        await result.aget(timeout=0.05)
    with Consumer(backend().stores.plain) as hand:
        waiting = asyncio.ensure_future(result.aget(timeout=60))
        await asyncio.sleep(0.05)
        await asyncio.to_thread(hand.succeed, 5)
        assert await waiting == 5
    assert result.is_finished
    assert await result.aget() == 5


def test_times_are_iso_texts(hand: Consumer) -> None:
    result = enqueued()
    hand.succeed()
    assert result.date_done is not None
    assert result.date_created is not None
    assert datetime.fromisoformat(result.date_done) == result.finished_at
    assert datetime.fromisoformat(result.date_created) == result.enqueued_at
    with override_settings(USE_TZ=False):
        naive = backend().get_result(result.id)
        assert naive.finished_at is not None
        assert naive.finished_at.tzinfo is None
        assert naive.date_done is not None
        again = datetime.fromisoformat(naive.date_done)
    assert again.tzinfo is not None
    assert again == result.finished_at
    json.dumps([naive.date_done, naive.date_created, result.info])


def test_broken_progress_hides_nothing(hand: Consumer) -> None:
    result = enqueued()
    [claimed] = hand.claim(1)
    report_progress(backend().stores.asynchronous, claimed, b"\xff")
    assert (result.ready(), result.state, result.info) == (False, "PROGRESS", None)


def test_what_it_follows_and_what_follows_it(hand: Consumer) -> None:
    store = backend().stores.plain
    message = Message(
        id="child",
        task=tasks.echo.module_path,
        parent_id="father",
        links=[{"task": "a", "args": [], "kwargs": {}, "immutable": False, "id": "next"}],
        error_links=[{"task": "b", "args": [], "kwargs": {}, "immutable": False, "id": "sorry"}],
    )
    from streamtasks.stores.types import NewMessage

    store.enqueue([NewMessage("child", "default", 0, message.encode(10_000))])
    result = backend().get_result("child")
    assert (result.parent_id, result.children) == ("father", [])
    hand.fail(ValueError())
    assert result.children == ["sorry"]
    assert (enqueued().parent_id, enqueued().children) == (None, [])


def test_copies_and_pickles_know_as_much(hand: Consumer) -> None:
    result = enqueued()
    hand.fail(ValueError("bad"))
    assert result.ready()
    for again in (copy.copy(result), copy.deepcopy(result), pickle.loads(pickle.dumps(result))):
        assert again == result
        assert (again.state, str(again.result), again.traceback) == ("FAILURE", "bad", result.traceback)


def test_within_the_attempt_it_knows_the_outcome_before_the_store() -> None:
    """`task_finished` is sent before the outcome is committed."""
    result = enqueued()
    error = ValueError("mine")
    result.set(status=TaskResultStatus.FAILED, decided=State.FAILURE, raised=error)
    assert (result.ready(), result.state, result.result) == (True, "FAILURE", error)
    assert describe(error)["message"] == str(pickle.loads(pickle.dumps(result)).result)


def test_attempts_whose_reports_were_left_out_still_count(hand: Consumer) -> None:
    result = enqueued()
    for number in range(1, 31):
        [claimed] = hand.claim(1)
        kind = "UNKNOWN" if number == 7 else "RETRY"
        report = {"kind": kind, "attempt": number, "worker": f"w{number}", "error": describe(ValueError(f"{number}"))}
        hand.settle(outcome_of(claimed, "RETRY", note=dumps(report).decode()))
    [claimed] = hand.claim(1)
    hand.settle(outcome_of(claimed, "SUCCESS", b'{"r":1}'))
    result.refresh()
    workers = [*(f"w{n}" for n in range(1, 6)), *["unknown"] * 4, *(f"w{n}" for n in range(11, 31)), "hand"]
    assert (result.attempts, result.worker_ids) == (30, workers)
    assert len(result.errors) == 25


def test_an_ignored_value_is_none(hand: Consumer) -> None:
    result = cast("Any", tasks.echo).using(ignore_result=True).enqueue(1)
    [claimed] = hand.claim(1)
    assert Message.decode(claimed.body.partition(b" ")[2]).ignore_result is True
    hand.settle(outcome_of(claimed, "SUCCESS", b""))
    assert (result.get(timeout=5), result.status) == (None, TaskResultStatus.SUCCESSFUL)
    result.refresh()
    assert result.return_value is None
