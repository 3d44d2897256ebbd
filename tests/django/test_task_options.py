"""The documented options of tasks and calls, as the store gets them; no worker runs."""

from __future__ import annotations

import copy
import pickle
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.tasks.exceptions import InvalidTask
from django.test import override_settings
from django.utils import timezone

from contract.app import documented
from contract.app import tasks as contract_tasks
from streamtasks import Message, TaskIdInUse
from streamtasks.stores.types import NewMessage
from streamtasks_django import Task, task
from streamtasks_django.tasks.stream_task import StreamTask

tasks: Any = contract_tasks  # Django's stubs do not know what our task class adds

pytestmark = pytest.mark.usefixtures("site")


def message_of(new: NewMessage) -> Message:
    return Message.decode(new.envelope)


def test_all_documented_options_are_kept_and_run() -> None:
    robust: Any = documented.robust
    options = robust.run_options()
    assert (options.max_retries, options.retry_delay_s) == (2, 0.05)
    assert (options.time_limit_s, options.soft_time_limit_s) == (300, 240)
    urgent: Any = documented.urgent
    assert (urgent.queue_name, urgent.priority, urgent.name) == ("high_priority", 3, "urgent")
    automatic: Any = documented.automatic
    options = automatic.run_options()
    assert (options.autoretry_for, options.retry_backoff_s, options.max_retries) == ((KeyError,), 0.01, 1)


def test_callers_do_not_see_whether_a_task_is_bound() -> None:
    robust: Any = documented.robust
    for found in (robust(0, word="x"), robust.call(0, word="x")):
        assert (found["args"], found["kwargs"], found["retries"], found["id"]) == ([0], {"word": "x"}, 0, "")
    with pytest.raises(ValueError, match="failure 0"):
        robust(1)


@pytest.mark.parametrize("name", ["robust", "urgent", "with_a_name"])
def test_tasks_can_be_copied_pickled_and_hashed(name: str) -> None:
    one = getattr(documented, name)
    for changed in (one, one.using(priority=7, max_retries=9)):
        for again in (pickle.loads(pickle.dumps(changed)), copy.deepcopy(changed)):
            assert again == changed
            assert hash(again) == hash(changed)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"max_retries": -1}, "max_retries is -1"),
        ({"default_retry_delay": "x"}, "default_retry_delay is 'x'"),
        ({"time_limit": -3}, "time_limit is -3"),
        ({"soft_time_limit": 3, "time_limit": 2}, "soft_time_limit is 3"),
        ({"rate_limit": "10/fortnight"}, "rate_limit is '10/fortnight'"),
        ({"rate_limit_burst": 0, "rate_limit": 1}, "rate_limit_burst is 0"),
        ({"autoretry_for": [5]}, "autoretry_for is"),
        ({"bind": 1}, "bind is 1"),
        ({"executor": "process"}, "executor is 'process'; it must be 'inline'"),
        ({"expires": -1}, "expires is -1"),
        ({"queue": "no spaces"}, "no spaces"),
        ({"name": 5}, "name is 5"),
        ({"bind": True, "takes_context": True}, "bind and takes_context exclude each other"),
    ],
)
def test_a_wrong_option_is_named_at_decoration(options: dict[str, Any], named: str) -> None:
    make: Any = task
    with pytest.raises(InvalidTask, match=named):
        make(**options)(tasks.context_of.func)


def test_queue_is_said_once() -> None:
    mail: Any = tasks.mail
    named = "queue is 'a' and queue_name is 'b'; they mean the same"
    with pytest.raises(InvalidTask, match=named):
        task(queue="a", queue_name="b")(mail.func)
    with pytest.raises(InvalidTask, match=named):
        mail.using(queue="a", queue_name="b")
    twice: Any = task(queue="a", queue_name="a")(mail.func)
    assert (twice.queue_name, mail.using(queue="a", queue_name="a").queue_name) == ("a", "a")


def test_executor_inline_is_for_plain_functions() -> None:
    make: Any = task
    plain = make(executor="inline")(tasks.context_of.func)
    assert (plain.executor, plain.run_options().executor) == ("inline", "inline")
    with pytest.raises(InvalidTask, match="executor is 'inline', but aadd is a coroutine function"):
        make(executor="inline")(tasks.aadd.func)


def test_what_belongs_to_the_definition_cannot_be_changed_later() -> None:
    robust: Any = documented.robust
    with pytest.raises(InvalidTask, match="autoretry_for belongs to the definition"):
        robust.using(autoretry_for=(KeyError,))
    with pytest.raises(TypeError, match="unexpected keyword argument 'colour'"):
        robust.using(colour="red")
    with pytest.raises(InvalidTask, match="max_retries is -1"):
        robust.using(max_retries=-1)
    with pytest.raises(InvalidTask, match="first argument"):
        task(bind=True)(tasks.ignore.func)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("max_retires", r"StreamTask\(\) got an unexpected keyword argument 'max_retires'. Did you mean 'max_retries'"),
        ("acks_late", "argument 'acks_late'. A task is acknowledged after it has run, always"),
        ("colour", "argument 'colour'. Known: autoretry_for, "),
    ],
)
def test_an_unknown_option_of_the_decorator_names_a_similar_one(name: str, text: str) -> None:
    make: Any = task
    with pytest.raises(TypeError, match=text):
        make(**{name: 1})(tasks.ignore.func)


def test_an_unknown_option_of_a_class_or_of_using_names_a_similar_one() -> None:
    class Import(Task):
        def run(self) -> None: ...

    with pytest.raises(TypeError, match=r"Import\(\) got an .* 'time_limt'. Did you mean 'time_limit'"):
        Import(time_limt=3)
    changed: Any = documented.robust
    with pytest.raises(TypeError, match=r"using\(\) got an .* 'prority'. Did you mean 'priority'"):
        changed.using(prority=3)


def test_two_tasks_with_one_name_are_told_apart() -> None:
    make: Any = task
    with pytest.raises(InvalidTask, match=r"shop.by-name.*documented.with_a_name and contract.app.tasks.add"):
        make(name="shop.by-name")(tasks.add.func)


def test_delay_gives_all_keyword_arguments_to_the_task(sent: list[NewMessage]) -> None:
    follower: Any = documented.follower
    given = {"queue": 1, "countdown": 2, "priority": 3, "self": 4, "task": 5, "backend": 6, "args": 7, "options": 8}
    result = follower.delay("x", **given)
    assert message_of(sent[0]).kwargs == given == result.kwargs
    assert (sent[0].queue, sent[0].priority, sent[0].delay_ms) == ("default", 0, None)


def test_apply_async_says_all_of_one_call(sent: list[NewMessage], patience: list[Any]) -> None:
    robust: Any = documented.robust
    before = timezone.now()
    result = robust.apply_async(
        args=[0],
        kwargs={"word": "x"},
        countdown=10,
        priority=5,
        queue="mail",
        expires=60,
        task_id="my-id",
        headers={"user": 7},
        soft_time_limit=1,
        time_limit=2,
        max_retries=None,
        default_retry_delay=3,
        retry=True,
        retry_policy={"max_retries": 3, "interval_start": 0, "interval_step": 0.2, "interval_max": 0.2},
    )
    [new] = sent
    message = message_of(new)
    assert (new.id, new.queue, new.priority, new.delay_ms, new.due_ms) == ("my-id", "mail", 5, 10_000, None)
    assert new.limit is not None
    assert (new.limit.name, new.limit.interval_us) == ("contract.app.documented.robust", 1000)
    assert (message.soft_limit_s, message.hard_limit_s, message.max_retries, message.retry_delay_s) == (1, 2, -1, 3)
    assert message.headers["user"] == 7
    assert (message.expires_ms, message.expires_in_ms) == (0, 60_000)
    assert patience == [pytest.approx(0.4)]
    assert (result.id, result.task.queue_name, result.task.priority) == ("my-id", "mail", 5)
    assert timedelta(seconds=9) < result.task.run_after - before < timedelta(seconds=15)
    read = robust.get_result("my-id")
    assert (read.task.queue_name, read.task.priority, read.task.run_after) == ("mail", 5, result.task.run_after)
    # The same call with the same id again: nothing happens.
    assert robust.apply_async([0], {"word": "x"}, task_id="my-id").id == "my-id"
    with pytest.raises(TaskIdInUse, match="with other arguments"):
        robust.apply_async([1], task_id="my-id")
    assert robust.get_result("my-id").args == [0]


async def test_the_asynchronous_twins_do_the_same() -> None:
    robust: Any = documented.robust
    for _ in range(2):
        await robust.aapply_async([0], task_id="own")
    with pytest.raises(TaskIdInUse, match="with other arguments"):
        await robust.aapply_async([1], task_id="own")
    result = await robust.aapply_async([0], queue="mail", countdown=60)
    read = await robust.aget_result(result.id)
    assert (read.task.queue_name, read.state) == ("mail", "DELAYED")
    assert (await robust.adelay(0, word="y")).kwargs == {"word": "y"}


def test_a_naive_eta_is_in_the_current_time_zone(sent: list[NewMessage]) -> None:
    when = datetime(2030, 6, 1, 12, 0)  # noqa: DTZ001
    for zone in ("Asia/Kathmandu", "America/New_York"):
        with timezone.override(zone):
            tasks.add.apply_async([1, 2], eta=when, expires=when)
        due = when.replace(tzinfo=ZoneInfo(zone)).timestamp() * 1000
        assert sent[-1].due_ms == due
        assert message_of(sent[-1]).expires_ms == due
    aware = datetime(2030, 6, 1, 12, 0, tzinfo=UTC)
    result = tasks.add.apply_async([1, 2], eta=aware)
    assert sent[-1].due_ms == aware.timestamp() * 1000
    assert result.task.run_after == aware


def test_an_eta_without_time_zones_in_the_project() -> None:
    with override_settings(USE_TZ=False):
        when = datetime.now() + timedelta(hours=1)  # noqa: DTZ005
        result = tasks.add.apply_async([1, 2], eta=when)
        assert result.task.run_after == when
        assert tasks.add.get_result(result.id).task.run_after == when


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"countdwon": 1}, "'countdwon' is no option of a call. Did you mean 'countdown'"),
        ({"countdown": -1}, "countdown is -1"),
        ({"eta": "tomorrow"}, "eta is 'tomorrow'"),
        ({"countdown": 1, "eta": datetime(2030, 1, 1, tzinfo=UTC)}, "give one of them"),
        ({"run_after": timedelta(1), "countdown": 5}, "run_after is .* and countdown is 5"),
        ({"priority": 101}, "priority is 101"),
        ({"queue": "no spaces"}, "no spaces"),
        ({"backend": "nowhere"}, r"backend is 'nowhere'; it must be an alias of the setting TASKS \(default, strict\)"),
        ({"backend": "strict", "queue": "other"}, "not valid for backend"),
        ({"task_id": "a b"}, "cannot be a task's id"),
        ({"link": 5}, "link is 5"),
        ({"link": "a b"}, "link: 'a b'"),
        ({"link_error": "id"}, "link_error is 'id'"),
        ({"link": documented.follower.s().set(backend="strict")}, "goes to the backend 'strict'"),
        ({"link": tasks.strictly.s()}, "goes to the backend 'strict'"),
        ({"args": "text"}, "args is 'text'"),
        ({"kwargs": [1]}, "kwargs is"),
        ({"time_limit": 200}, "soft_time_limit would be 240 s and time_limit 200 s"),
        ({"retry_policy": {"x": 1}}, "retry_policy has the unknown key 'x'"),
    ],
)
def test_a_wrong_option_of_a_call_is_named(sent: list[NewMessage], options: dict[str, Any], named: str) -> None:
    robust: Any = documented.robust
    with pytest.raises(InvalidTask, match=named):
        robust.apply_async(**{"args": [0], **options})
    assert sent == []


def test_links_travel_with_all_that_a_worker_needs(sent: list[NewMessage]) -> None:
    follower: Any = documented.follower
    told: Any = documented.told
    tasks.add.apply_async([1, 2], link=[follower.s("own"), tasks.mail.si("x")], link_error=told.s("own"))
    message = message_of(sent[0])
    assert [(one["task"], one["args"], one["queue"], one["priority"]) for one in message.links] == [
        ("contract.app.documented.follower", ["own"], "default", 0),
        ("contract.app.tasks.mail", ["x"], "mail", 7),
    ]
    assert [one["task"] for one in message.error_links] == ["contract.app.documented.told"]
    first = tasks.add.enqueue(1, 2)
    follower.apply_async(link=first.id)
    assert (sent[-1].after, message_of(sent[-1]).parent_id) == (first.id, first.id)


def test_using_says_what_a_worker_cannot_know(sent: list[NewMessage]) -> None:
    robust: Any = documented.robust
    robust.using(max_retries=7, time_limit=500, rate_limit="5/m", expires=10).enqueue(0)
    message = message_of(sent[0])
    assert (message.max_retries, message.hard_limit_s, message.soft_limit_s) == (7, 500, None)
    assert sent[0].limit is not None
    assert sent[0].limit.interval_us == 12_000_000
    assert message.expires_in_ms == 10_000
    robust.using(max_retries=None).apply_async([0], default_retry_delay=1)
    message = message_of(sent[1])
    assert (message.max_retries, message.retry_delay_s) == (-1, 1)


def test_a_task_with_a_name_is_called_by_it(sent: list[NewMessage]) -> None:
    with_a_name: Any = documented.with_a_name
    result = with_a_name.enqueue()
    assert message_of(sent[0]).task == "shop.by-name"
    read = with_a_name.get_result(result.id)
    assert read.task == with_a_name
    assert isinstance(with_a_name, StreamTask)
