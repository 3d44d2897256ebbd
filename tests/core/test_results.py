"""Results: live, waited for without polling, and with the task's own error."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime

import pytest

from streamtasks import Result, State, StreamTasks, TaskFailed, TaskNotFound, TaskRevoked, wait_for
from streamtasks.exceptions import WorkerCrashed
from streamtasks.protocol.json import dumps
from streamtasks.protocol.shards import new_id
from streamtasks.stores.factory import open_supervisor_store
from streamtasks.stores.redis.cluster_subscription import ClusterSubscription
from streamtasks.stores.redis.subscription import Subscription
from streamtasks.stores.types import Settled
from tests.support.manual_consumer import Consumer, outcome_of, report_progress
from tests.support.servers import flush
from tests.support.sql_stores import close_connections


class OwnError(Exception):
    pass


class PickyError(Exception):
    def __init__(self, one: int, two: int) -> None:
        super().__init__(one, two)


def add(a: int, b: int) -> int:
    return a + b


@pytest.fixture
def enqueue(app: StreamTasks) -> Callable[[], Result[int]]:
    task = app.task(add)
    return lambda: task.enqueue(1, b=2)


@pytest.fixture
def hand(app: StreamTasks) -> Iterator[Consumer]:
    with Consumer(app.store) as opened:
        yield opened


@contextmanager
def after(seconds: float, action: Callable[[], object]) -> Generator[None]:
    """Do something in another thread after a while."""

    def act() -> None:
        action()
        close_connections()

    timer = threading.Timer(seconds, act)
    timer.start()
    try:
        yield
    finally:
        timer.join()


class TestLive:
    def test_every_read_is_of_now(self, enqueue: Callable[[], Result[int]], hand: Consumer) -> None:
        result = enqueue()
        assert (result.state, result.ready(), result.attempts) == (State.QUEUED, False, 0)
        [claimed] = hand.claim(1)
        assert (result.state, result.successful(), result.failed()) == (State.STARTED, False, False)
        assert result.finished_at is None
        hand.settle(outcome_of(claimed, "SUCCESS", b'{"r":3}'))
        assert (result.state, result.ready(), result.successful()) == (State.SUCCESS, True, True)
        assert result.enqueued_at is not None
        assert result.finished_at is not None
        assert result.finished_at >= result.enqueued_at
        assert result.get() == 3

    def test_a_finished_one_is_read_once_and_outlives_its_record(
        self, enqueue: Callable[[], Result[int]], hand: Consumer, store_url: str
    ) -> None:
        result = enqueue()
        hand.succeed(3)
        assert result.get() == 3
        flush(store_url)
        assert (result.get(), result.state) == (3, State.SUCCESS)

    def test_one_that_ended_before_the_subscription_stood_is_found_at_once(
        self, enqueue: Callable[[], Result[int]], hand: Consumer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def wait(*_: object) -> None:
            pytest.fail("its push has gone by: nothing is left to wait for")

        for subscription in (Subscription, ClusterSubscription):
            monkeypatch.setattr(subscription, "wait", wait)
        result = enqueue()
        hand.succeed(3)
        assert result.get(timeout=60) == 3

    def test_another_process_gets_it_by_id(
        self, enqueue: Callable[[], Result[int]], hand: Consumer, store_url: str
    ) -> None:
        task_id = enqueue().id
        hand.succeed(3)
        assert StreamTasks(store_url).get_result(task_id).get(timeout=60) == 3

    def test_the_message_can_be_read(self, enqueue: Callable[[], Result[int]]) -> None:
        message = enqueue().message
        assert (message.args, message.kwargs) == ([1], {"b": 2})

    def test_an_unknown_id_is_not_found(self, app: StreamTasks) -> None:
        result = app.get_result(new_id(app.settings.tags))
        for read in (result.snapshot, result.ready, lambda: result.get(timeout=1)):
            with pytest.raises(TaskNotFound, match=f"No task {result.id} is known"):
                read()

    def test_a_value_of_none_and_an_ignored_task(self, enqueue: Callable[[], Result[int]], hand: Consumer) -> None:
        first, second = enqueue(), enqueue()
        hand.succeed(None, most=1)
        hand.settle(outcome_of(hand.claim(1)[0], "IGNORED"))
        assert first.get() is None
        assert second.get() is None
        assert second.successful()

    def test_state_and_progress_of_its_own_making(
        self, enqueue: Callable[[], Result[int]], hand: Consumer, app: StreamTasks
    ) -> None:
        result = enqueue()
        assert (result.status, result.info, result.result, result.traceback) == ("READY", None, None, None)
        [claimed] = hand.claim(1)

        report_progress(open_supervisor_store(app.settings), claimed, dumps({"s": "CLEANING", "m": {"current": 1}}))
        assert (result.status, result.state, result.info) == ("RUNNING", "CLEANING", {"current": 1})
        assert result.progress == result.info
        hand.settle(outcome_of(claimed, "SUCCESS", b'{"r":3}'))
        assert (result.status, result.state, result.info, result.result) == ("SUCCESSFUL", "SUCCESS", None, 3)
        assert result.date_done is not None
        assert datetime.fromisoformat(result.date_done) == result.finished_at
        assert result.date_created is not None

    def test_the_result_of_a_failure_is_its_exception(self, enqueue: Callable[[], Result[int]], hand: Consumer) -> None:
        result = enqueue()
        hand.fail(KeyError("name"))
        assert (type(result.result), str(result.result)) == (KeyError, "'name'")
        assert "KeyError: 'name'" in (result.traceback or "")
        assert (result.children, result.parent_id) == ([], None)


class TestErrors:
    def outcome_of(self, enqueue: Callable[[], Result[int]], hand: Consumer, error: BaseException) -> BaseException:
        result = enqueue()
        try:
            raise error
        except BaseException as raised:
            hand.fail(raised)
        assert result.failed()
        with pytest.raises(Exception) as caught:  # noqa: PT011
            result.get(timeout=1)
        return caught.value

    @pytest.mark.parametrize("error", [ValueError("bad"), OwnError("own"), KeyError("k"), ZeroDivisionError("x")])
    def test_an_error_known_here_is_raised_as_itself(
        self, enqueue: Callable[[], Result[int]], hand: Consumer, error: Exception
    ) -> None:
        raised = self.outcome_of(enqueue, hand, error)
        assert type(raised) is type(error)
        assert str(error).strip("'") in str(raised)
        assert "Traceback" in raised.__notes__[0]

    def test_an_error_that_cannot_be_made_again_says_what_it_was(
        self, enqueue: Callable[[], Result[int]], hand: Consumer
    ) -> None:
        raised = self.outcome_of(enqueue, hand, PickyError(1, 2))
        assert isinstance(raised, TaskFailed)
        assert raised.exception_path.endswith("PickyError")
        assert "Traceback" in raised.traceback

    @pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt()])
    def test_what_would_end_this_process_is_never_raised(
        self, enqueue: Callable[[], Result[int]], hand: Consumer, error: BaseException
    ) -> None:
        assert isinstance(self.outcome_of(enqueue, hand, error), TaskFailed)

    def test_revoking(self, enqueue: Callable[[], Result[int]], hand: Consumer) -> None:
        waiting, running = enqueue(), enqueue()
        assert waiting.revoke()
        assert (waiting.state, waiting.status, waiting.failed()) == ("REVOKED", "FAILED", True)
        assert isinstance(waiting.result, TaskRevoked)
        [claimed] = [one for one in hand.claim() if one.id == running.id]
        assert running.revoke(terminate=True)
        assert not running.ready()
        hand.settle(outcome_of(claimed, "SUCCESS", b'{"r":3}'))
        with pytest.raises(TaskRevoked):
            running.get(timeout=1)
        finished = enqueue()
        hand.succeed(3)
        assert not finished.revoke()
        assert finished.get() == 3
        assert finished.forget()

    async def test_revoking_on_an_event_loop(self, app: StreamTasks) -> None:
        result = await app.task(add).aenqueue(1, 2)
        assert await result.arevoke()
        with pytest.raises(TaskRevoked):
            await result.aget(timeout=1)

    @pytest.mark.parametrize("state", ["REVOKED", "EXPIRED"])
    def test_a_revoked_or_expired_one(self, enqueue: Callable[[], Result[int]], hand: Consumer, state: str) -> None:
        result = enqueue()
        hand.settle(outcome_of(hand.claim(1)[0], state))
        with pytest.raises(TaskRevoked, match=state.lower()):
            result.get(timeout=1)

    def test_a_dead_one_without_a_recorded_error(self, enqueue: Callable[[], Result[int]], hand: Consumer) -> None:
        result = enqueue()
        hand.settle(outcome_of(hand.claim(1)[0], "DEAD"))
        with pytest.raises(WorkerCrashed, match="given up on"):
            result.get(timeout=1)


class TestWaiting:
    def test_time_is_up(self, enqueue: Callable[[], Result[int]], bound: Callable[[float], float]) -> None:
        result = enqueue()
        began = time.monotonic()
        with pytest.raises(TimeoutError, match=f"Task {result.id} was not finished within 0.2 s; it is QUEUED"):
            result.get(timeout=0.2)
        assert time.monotonic() - began < bound(1)

    @pytest.mark.parametrize("delay_s", [0.1, 1.1])
    async def test_a_push_wakes_it(
        self, app: StreamTasks, hand: Consumer, delay_s: float, bound: Callable[[float], float]
    ) -> None:
        """Also after the first look that each second brings: it is woken, and does not wait for the next look."""
        task = app.task(add)
        first, second = task.enqueue(1, 2), task.enqueue(3, 4)
        began = time.monotonic()
        with after(delay_s, lambda: hand.succeed(3)):

            def get() -> int:
                found = first.get(timeout=60)
                close_connections()
                return found

            on_a_thread = asyncio.create_task(asyncio.to_thread(get))
            assert await second.aget(timeout=60) == 3
            assert await on_a_thread == 3
        assert time.monotonic() - began < bound(delay_s + 0.4)

    async def test_time_is_up_on_an_event_loop(self, app: StreamTasks) -> None:
        result = await app.task(add).aenqueue(1, 2)
        with pytest.raises(TimeoutError, match="QUEUED"):
            await result.aget(timeout=0.1)

    async def test_an_unknown_id_on_an_event_loop(self, app: StreamTasks) -> None:
        with pytest.raises(TaskNotFound):
            await app.get_result("unknown").aget(timeout=60)

    async def test_an_error_on_an_event_loop(self, app: StreamTasks, hand: Consumer) -> None:
        result = await app.task(add).aenqueue(1, 2)
        hand.fail(OwnError("own"))
        with pytest.raises(OwnError, match="own"):
            await result.aget(timeout=60)

    def test_a_hundred_finish_in_any_order(self, app: StreamTasks, hand: Consumer) -> None:
        results = app.task(add).enqueue_many([(n, n) for n in range(150)])

        def work() -> None:
            while hand.succeed(0, most=20):
                pass

        with after(0.05, work):
            assert wait_for(results, timeout=60)
        assert all(result.ready() for result in results)

    def test_one_that_never_finishes(self, app: StreamTasks, hand: Consumer) -> None:
        results = app.task(add).enqueue_many([(1, 2), (3, 4)])
        hand.succeed(0, most=1)
        assert not wait_for(results, timeout=0.2)
        assert wait_for(results[:1], timeout=0)
        assert wait_for([], timeout=0)

    def test_waiters_leave_connections_for_each_other(self, server_url: str) -> None:
        """As many wait at once as a pool has connections: they must not keep each other from reading."""
        app = StreamTasks(server_url, max_connections=2, timeout_s=60.0, enqueue_timeout_s=60.0)
        results = app.task(add).enqueue_many([(1, 2), (3, 4)])
        with ThreadPoolExecutor() as pool, Consumer(app.store) as hand, after(0.3, lambda: hand.succeed(7)):
            waits = [pool.submit(result.get, timeout=60) for result in results]
            assert [wait.result(60) for wait in waits] == [7, 7]


class TestEnqueue:
    def test_many_calls_of_both_kinds(self, app: StreamTasks) -> None:
        results = app.task(add).enqueue_many([(1, 2), {"a": 3, "b": 4}, (5,)])
        assert [(r.message.args, r.message.kwargs) for r in results] == [
            ([1, 2], {}),
            ([], {"a": 3, "b": 4}),
            ([5], {}),
        ]

    def test_a_message_sent_again_by_its_id_is_the_same_task(self, app: StreamTasks, hand: Consumer) -> None:
        task = app.task(add)
        message = task.message((1, 2), {})
        [first], [second] = app.enqueue([message]), app.enqueue([message])
        assert first.id == second.id == message.id
        assert hand.succeed(3) == [message.id]
        app.enqueue([message])
        assert hand.claim() == []
        assert app.get_result(message.id).get(timeout=1) == 3

    def test_a_settled_outcome_can_be_settled_again(self, app: StreamTasks, hand: Consumer) -> None:
        app.task(add).enqueue(1, 2)
        outcome = outcome_of(hand.claim(1)[0], "SUCCESS", b"{}")
        assert [hand.settle(outcome), hand.settle(outcome)] == [[Settled.DONE], [Settled.ALREADY]]
