"""Enqueueing with options: what plain Python's tasks send, as the store gets it."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from streamtasks import InvalidTask, Message, StreamTasks, Task
from streamtasks.protocol.shards import tag_of
from streamtasks.tasks.attempt import Attempt, entered

if TYPE_CHECKING:
    from collections.abc import Sequence

    from streamtasks.stores.types import NewMessage


class Sent:
    """Stands where the store stands and keeps what it is given."""

    def __init__(self) -> None:
        self.messages: list[NewMessage] = []
        self.patience: list[float | None] = []

    def enqueue(self, messages: Sequence[NewMessage], retry_time_s: float | None = None) -> list[bool]:
        self.messages += messages
        self.patience.append(retry_time_s)
        return [True] * len(messages)

    @property
    def last(self) -> NewMessage:
        return self.messages[-1]

    @property
    def message(self) -> Message:
        return Message.decode(self.last.envelope, task_id=self.last.id)


@pytest.fixture
def sent() -> Sent:
    return Sent()


@pytest.fixture
def app(sent: Sent) -> StreamTasks:
    app = StreamTasks(tags=("u0", "qp"))
    vars(app.owner)["store"] = sent
    return app


@pytest.fixture
def add(app: StreamTasks) -> Task[..., Any]:
    return app.task(name="add", queue="sums", priority=2)(lambda a, b: a + b)  # type: ignore[no-any-return]


def test_delay_gives_all_keyword_arguments_to_the_task(add: Task[..., Any], sent: Sent) -> None:
    add.delay(1, queue="theirs", countdown=5, task_id="x", link="y")
    assert (sent.message.args, sent.message.kwargs) == (
        [1],
        {"queue": "theirs", "countdown": 5, "task_id": "x", "link": "y"},
    )
    assert (sent.last.queue, sent.last.priority, sent.last.delay_ms) == ("sums", 2, None)


def test_apply_async_says_all_of_one_call(add: Task[..., Any], sent: Sent) -> None:
    result = add.apply_async(
        [1],
        {"b": 2},
        countdown=1.5,
        queue="other",
        priority=9,
        task_id="mine",
        expires=timedelta(minutes=1),
        soft_time_limit=1,
        time_limit=2,
        max_retries=None,
        default_retry_delay=0,
        headers={"user": 7},
    )
    assert result.id == "mine"
    new, message = sent.last, sent.message
    assert (new.id, new.queue, new.priority, new.delay_ms, new.due_ms) == ("mine", "other", 9, 1500, None)
    assert (message.args, message.kwargs, message.headers) == ([1], {"b": 2}, {"user": 7})
    assert (message.soft_limit_s, message.hard_limit_s) == (1, 2)
    assert (message.max_retries, message.retry_delay_s) == (-1, 0)
    assert (message.expires_ms, message.expires_in_ms, new.expires_in_ms) == (0, 60_000, 60_000)
    now_ms = time.time() * 1000
    assert now_ms < message.due_ms < now_ms + 2000


async def test_the_asynchronous_twin_says_the_same(app: StreamTasks, add: Task[..., Any]) -> None:
    found = []

    class Asynchronous:
        async def enqueue(self, messages: Sequence[NewMessage], retry_time_s: float | None = None) -> list[bool]:
            found.append((messages[0], retry_time_s))
            return [True]

    vars(app.owner)["async_store"] = Asynchronous()
    await add.aapply_async([1, 2], queue="other", retry=False)
    await add.adelay(3, 4)
    assert [(new.queue, patience) for new, patience in found] == [("other", 0), ("sums", None)]


@pytest.mark.parametrize("zone", ["naive", "aware"])
def test_an_eta_is_a_moment_and_a_naive_one_local_time(add: Task[..., Any], sent: Sent, zone: str) -> None:
    when = datetime.now(UTC) + timedelta(hours=1)
    eta = when if zone == "aware" else when.astimezone().replace(tzinfo=None)
    add.apply_async([1, 2], eta=eta, expires=eta)
    due_ms = sent.last.due_ms
    assert due_ms is not None
    assert 0 <= due_ms - when.timestamp() * 1000 < 1
    assert abs(sent.message.expires_ms - when.timestamp() * 1000) < 1
    assert sent.message.due_ms == due_ms


def test_a_call_says_more_than_its_task(add: Task[..., Any], sent: Sent) -> None:
    later = add.using(run_after=timedelta(seconds=60), expires=100, max_retries=7)
    later.apply_async([1, 2], eta=datetime(2030, 1, 1, tzinfo=UTC))
    assert (sent.last.delay_ms, sent.last.due_ms) == (None, 1_893_456_000_000)
    later.apply_async([1, 2], max_retries=1, countdown=1)
    assert (sent.last.delay_ms, sent.message.max_retries) == (1000, 1)
    later.delay(1, 2)
    assert (sent.last.delay_ms, sent.message.max_retries) == (60_000, 7)


def test_publish_retries_reach_the_store(add: Task[..., Any], sent: Sent) -> None:
    add.apply_async([1, 2])
    add.apply_async([1, 2], retry=False)
    policy = {"max_retries": 3, "interval_start": 0, "interval_step": 0.2, "interval_max": 0.2}
    add.apply_async([1, 2], retry=True, retry_policy=policy)
    assert sent.patience == [None, 0.0, pytest.approx(0.4)]


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"conutdown": 1}, "Did you mean 'countdown'"),
        ({"countdown": -1}, "countdown is -1"),
        ({"args": "ab"}, "args is 'ab'"),
        ({"kwargs": [1]}, r"kwargs is \[1\]"),
        ({"link": {"task": "x"}}, "link is"),
        ({"backend": "redis"}, "backend is 'redis'"),
        ({"time_limit": 3}, "soft_time_limit would be 5 s and time_limit 3 s"),
    ],
)
def test_a_wrong_option_is_named(app: StreamTasks, sent: Sent, options: dict[str, Any], named: str) -> None:
    task: Any = app.task(name="t", soft_time_limit=5)(print)
    with pytest.raises(InvalidTask, match=named):
        task.apply_async(**options)
    assert sent.messages == []


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"default_retry_delay": -1}, "default_retry_delay is -1"),
        ({"time_limit": 0}, "time_limit is 0"),
        ({"soft_time_limit": 5, "time_limit": 5}, "soft_time_limit is 5"),
        ({"max_retries": -1}, "max_retries is -1"),
        ({"retry_backoff": -1}, "retry_backoff is -1"),
        ({"autoretry_for": "ValueError"}, "autoretry_for is 'ValueError'"),
        ({"retry_jitter": 1}, "retry_jitter is 1"),
        ({"executor": "threads"}, "executor is 'threads'; it must be 'inline'"),
        ({"bind": "yes"}, "bind is 'yes'"),
        ({"time_limit": 5, "time_limit_s": 5}, "are the same option"),
        ({"max_retry": 5}, "max_retry"),
    ],
)
def test_a_wrong_option_of_a_task_is_named(app: StreamTasks, options: dict[str, Any], named: str) -> None:
    make: Any = app.task
    with pytest.raises(InvalidTask, match=named):
        make(**options)(print)
    task = make(name="good")(print)
    with pytest.raises(InvalidTask, match=rf"{named}|belongs to the definition"):
        task.using(**options)


def test_executor_inline_is_for_plain_functions(app: StreamTasks) -> None:
    async def later() -> None:
        pass

    assert app.task(name="plain", executor="inline")(lambda: None).options.executor == "inline"
    with pytest.raises(InvalidTask, match=r"executor is 'inline', but .*later is a coroutine function"):
        app.task(executor="inline")(later)


def test_what_belongs_to_the_definition_cannot_be_changed_later(add: Task[..., Any]) -> None:
    with pytest.raises(InvalidTask, match="autoretry_for belongs to the definition"):
        add.using(autoretry_for=(KeyError,))  # type: ignore[call-arg]


def test_documented_options_are_understood(app: StreamTasks) -> None:
    task: Any = app.task(
        max_retries=5,
        default_retry_delay=7,
        retry_backoff=True,
        retry_backoff_max=timedelta(minutes=1),
        retry_jitter=False,
        autoretry_for=[ValueError, KeyError],
        dont_autoretry_for=KeyError,
        soft_time_limit=1,
        time_limit=2,
    )(print)
    options = task.run_options
    assert (options.max_retries, options.retry_delay_s, options.retry_backoff_s) == (5, 7, 1)
    assert (options.retry_backoff_max_s, options.retry_jitter) == (60, False)
    assert (options.autoretry_for, options.dont_autoretry_for) == ((ValueError, KeyError), (KeyError,))
    assert (options.soft_time_limit_s, options.time_limit_s) == (1, 2)


class TestLinks:
    def test_one_task_is_followed_by_at_most_100(self, add: Task[..., Any], sent: Sent) -> None:
        add.apply_async([1, 2], link=[add.s(3)] * 100)
        assert len(sent.message.links) == 100
        for name in ("link", "link_error"):
            many: dict[str, Any] = {name: [add.s(3)] * 101}
            with pytest.raises(InvalidTask, match=rf"{name} holds 101 .*{name}=group\("):
                add.s(1, 2).set(**many)

    def test_linked_signatures_live_on_the_shard_of_what_they_follow(
        self, app: StreamTasks, add: Task[..., Any], sent: Sent
    ) -> None:
        other: Any = app.task(name="other", queue="o")(print)
        for _ in range(4):
            add.apply_async([1, 2], link=[add.s(3), other.si()], link_error=other.s("x").set(link=add.s(4)))
            message, tags = sent.message, app.settings.tags
            home = tag_of(message.id, tags)
            assert [link["task"] for link in message.links] == ["add", "other"]
            assert [(link["queue"], link["priority"]) for link in message.links] == [("sums", 2), ("o", 0)]
            [handler] = message.error_links
            assert {tag_of(link["id"], tags) for link in (*message.links, handler, *handler["ok"])} == {home}

    def test_a_task_may_follow_one_that_is_enqueued_already(self, add: Task[..., Any], sent: Sent) -> None:
        for tag in ("u0", "qp"):
            first = "0" * 32 + "-" + tag
            add.apply_async([1, 2], link=first)
            assert (sent.last.after, sent.last.id[33:]) == (first, tag)
            assert (sent.message.parent_id, sent.message.root_id) == (first, first)

    def test_nothing_that_is_linked_lives_elsewhere(self, add: Task[..., Any]) -> None:
        with pytest.raises(InvalidTask, match=r"task_id .* another shard"):
            add.apply_async([1, 2], task_id="1" * 32 + "-u0", link="2" * 32 + "-qp")
        with pytest.raises(InvalidTask, match=r"task_id is .* another shard"):
            add.apply_async([1, 2], task_id="1" * 32 + "-u0", link=add.s(1).set(task_id="2" * 32 + "-qp"))
        other = StreamTasks().task(name="other")(print)
        with pytest.raises(InvalidTask, match="belongs to another app"):
            add.apply_async([1, 2], link=other.s())

    def test_a_link_with_arguments_that_json_cannot_carry_is_refused_at_once(self, add: Task[..., Any]) -> None:
        with pytest.raises(InvalidTask, match="JSON cannot carry"):
            add.apply_async([1, 2], link=add.s(object()))


def test_what_a_running_task_enqueues_knows_where_it_comes_from(add: Task[..., Any], sent: Sent) -> None:
    with entered(Attempt(Message(id="p", task="t"), 1, "w", 0, 0, 0)):
        add.delay(1, 2)
        assert (sent.message.parent_id, sent.message.root_id) == ("p", "p")
    with entered(Attempt(Message(id="p", task="t", root_id="r"), 1, "w", 0, 0, 0)):
        add.delay(1, 2)
        assert (sent.message.parent_id, sent.message.root_id) == ("p", "r")
    add.delay(1, 2)
    assert (sent.message.parent_id, sent.message.root_id) == ("", "")


def test_a_signature_enqueues_with_what_it_was_set_to(add: Task[..., Any], sent: Sent) -> None:
    add.using(queue="base").s(2).set(priority=7).apply_async([1], countdown=1)
    assert (sent.message.args, sent.last.queue, sent.last.priority, sent.last.delay_ms) == ([1, 2], "base", 7, 1000)
    add.s(2).set(max_retries=None, link="1" * 32 + "-u0").delay(1)
    assert (sent.message.args, sent.message.max_retries, sent.last.after) == ([1, 2], -1, "1" * 32 + "-u0")


def test_a_call_says_that_its_result_is_ignored(app: StreamTasks, sent: Sent) -> None:
    quiet: Any = app.task(name="quiet", ignore_result=True)(print)
    quiet.enqueue()
    assert sent.message.ignore_result is None, "the worker knows"
    quiet.apply_async(ignore_result=False)
    assert sent.message.ignore_result is False
    with pytest.raises(InvalidTask, match="ignore_result is 'no'"):
        quiet.apply_async(ignore_result="no")
    with pytest.raises(InvalidTask, match="ignore_result is 1"):
        app.task(name="wrong", ignore_result=1)(print)  # pyright: ignore[reportArgumentType]
