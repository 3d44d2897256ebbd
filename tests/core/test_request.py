"""Bound tasks: what ``self`` is, and what it does."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from streamtasks import InvalidTask, Message, Retry, StreamTasks
from streamtasks.exceptions import RetriesExhausted
from streamtasks.protocol.state import decode_progress
from streamtasks.tasks.attempt import Attempt, entered
from streamtasks.tasks.request import BoundTask


@pytest.fixture
def app() -> StreamTasks:
    return StreamTasks()


def run(task: Any, *args: Any, retries: int = 0, report: Any = None, **message: Any) -> Any:
    """Run a task as a worker does."""
    attempt = Attempt(Message(id="m", task=task.name, args=list(args), **message), retries + 1, "w", 5, 6, 6)
    attempt.retries = retries
    if report is not None:
        attempt.report = report
    with entered(attempt):
        return task.run(attempt)


def test_self_tells_of_the_call_that_runs(app: StreamTasks) -> None:
    @app.task(bind=True, queue="q", name="tell")
    def tell(self: Any, word: str) -> Any:
        assert self.name == "tell"
        assert self.s(1).task == "tell"
        self.seen = word  # a run of its own: nothing of it is seen by the next one
        return self.request

    request = run(
        tell, "hello", queue="mail", priority=3, due_ms=1000, expires_ms=2000, parent_id="p", root_id="r", retries=2
    )
    assert (request.id, request.task, request.args, request.kwargs) == ("m", "tell", ["hello"], {})
    assert (request.queue, request.priority, request.retries, request.attempt) == ("mail", 3, 2, 3)
    assert request.eta == datetime.fromtimestamp(1, UTC)
    assert request.expires == datetime.fromtimestamp(2, UTC)
    assert (request.parent_id, request.root_id, request.hostname) == ("p", "r", "w")
    assert request.delivery_info == {"queue": "mail", "priority": 3, "redelivered": False}
    request = run(tell, "hello")
    assert (request.eta, request.expires, request.parent_id, request.root_id) == (None, None, None, "m")
    direct: Any = tell("there")
    assert (direct.called_directly, direct.id, direct.retries, direct.args) == (True, "", 0, ["there"])


def test_callers_do_not_see_whether_a_task_is_bound(app: StreamTasks) -> None:
    @app.task(bind=True)
    def double(self: BoundTask, number: int) -> int:
        return 2 * number

    assert double(4) == 8
    assert double.message((4,), {}).args == [4]


def test_progress_of_a_bound_task(app: StreamTasks) -> None:
    @app.task(bind=True)
    def work(self: BoundTask) -> None:
        self.update_state(state="HALF", meta={"current": 1})
        self.update_state(meta={"current": 2})

    said: list[Any] = []
    run(work, report=lambda data: said.append(decode_progress(data)))
    assert said == [("HALF", {"current": 1}), ("PROGRESS", {"current": 2})]
    work()  # nobody sees it, and nothing breaks


class TestRetry:
    @staticmethod
    def task(app: StreamTasks, options: dict[str, Any], **asked: Any) -> Any:
        @app.task(bind=True, name="flaky", **options)
        def flaky(self: BoundTask) -> None:
            try:
                raise ValueError("no good")
            except ValueError as error:
                how: dict[str, Any] = {"exc": error, **asked}
                raise self.retry(**how)  # noqa: B904 - it has its cause already

        return flaky

    def test_it_raises_with_reason_delay_and_bound(self, app: StreamTasks) -> None:
        with pytest.raises(Retry, match="ValueError: no good") as caught:
            run(self.task(app, {}, countdown=timedelta(seconds=7), max_retries=9))
        error = caught.value
        assert (error.delay_s, error.max_retries) == (7, 9)
        assert isinstance(error.exc, ValueError)
        assert error.__cause__ is error.exc

    def test_what_is_not_said_is_left_to_the_task(self, app: StreamTasks) -> None:
        with pytest.raises(Retry) as caught:
            run(self.task(app, {}, exc=None))
        assert (caught.value.delay_s, caught.value.max_retries) == (None, None)
        assert isinstance(caught.value.exc, ValueError)  # the one that is being handled

    def test_an_eta_is_a_delay(self, app: StreamTasks) -> None:
        for eta in (datetime.now(UTC) + timedelta(seconds=60), datetime.now() + timedelta(seconds=60)):  # noqa: DTZ005
            with pytest.raises(Retry) as caught:
                run(self.task(StreamTasks(), {}, eta=eta))
            assert caught.value.delay_s == pytest.approx(60, abs=5)

    @pytest.mark.parametrize(
        ("own", "call", "asked", "retries"),
        [
            (3, None, {}, 3),
            (0, None, {}, 0),
            (3, 1, {}, 1),
            (3, 5, {"max_retries": 2}, 2),
            (None, 4, {}, 4),
        ],
    )
    def test_when_there_are_no_more_the_reason_is_raised(
        self, own: int | None, call: int | None, asked: dict[str, Any], retries: int
    ) -> None:
        with pytest.raises(ValueError, match="no good"):
            run(self.task(StreamTasks(), {"max_retries": own}, **asked), retries=retries, max_retries=call)
        if retries:
            with pytest.raises(Retry):
                run(self.task(StreamTasks(), {"max_retries": own}, **asked), retries=retries - 1, max_retries=call)

    def test_without_end(self) -> None:
        for own, call, asked in ((None, None, {}), (3, -1, {}), (3, 4, {"max_retries": None})):
            with pytest.raises(Retry):
                run(self.task(StreamTasks(), {"max_retries": own}, **asked), retries=10**6, max_retries=call)

    def test_without_a_reason(self, app: StreamTasks) -> None:
        @app.task(bind=True, max_retries=1)
        def ask(self: BoundTask) -> None:
            self.retry(countdown=0)  # raises by itself

        with pytest.raises(Retry):
            run(ask)
        with pytest.raises(RetriesExhausted, match="retried 1 times"):
            run(ask, retries=1)

    def test_a_direct_call_gets_the_error(self, app: StreamTasks) -> None:
        with pytest.raises(ValueError, match="no good"):
            self.task(app, {})()

    @pytest.mark.parametrize(
        ("asked", "named"),
        [
            ({"countdown": -1}, "countdown is -1"),
            ({"max_retries": -2}, "max_retries is -2"),
            ({"eta": 5}, "eta is 5"),
            ({"countdown": 5, "eta": datetime(2030, 1, 1, tzinfo=UTC)}, "give one of them"),
        ],
    )
    def test_a_wrong_argument_is_named(self, app: StreamTasks, asked: dict[str, Any], named: str) -> None:
        with pytest.raises(InvalidTask, match=named):
            run(self.task(app, {}, **asked))

    def test_it_can_be_returned(self, app: StreamTasks) -> None:
        @app.task(bind=True)
        def ask(self: BoundTask) -> Any:
            return self.retry(exc=KeyError("k"), throw=False)

        error = run(ask)
        assert isinstance(error, Retry)
        assert isinstance(error.__cause__, KeyError)
