"""A Django project's tasks, right and wrong: each line that a checker has to refuse says so in a comment."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, assert_type

from django.tasks import TaskContext
from django.utils import timezone
from streamtasks import BoundTask, GroupResult, Signature
from streamtasks.tasks.step import AnyChain
from streamtasks_django import TaskContext as MetadataContext
from streamtasks_django import StreamTask, StreamTaskResult, Task, chain, chord, get_task_backend, group, task
from streamtasks_django.schedules import crontab, every


@task
def add(a: int, b: int = 0) -> int:
    return a + b


@task(queue_name="mail", max_retries=5, autoretry_for=(OSError,), retry_backoff=True, rate_limit="10/m", time_limit=30)
def greet(name: str) -> str:
    return f"Hello {name}"


@task
async def fetch(url: str) -> bytes:
    return url.encode()


@task(bind=True, default_retry_delay=timedelta(minutes=1))
def bound(self: BoundTask, page: int) -> str:
    if self.request.retries < 2:
        raise self.retry(countdown=1)
    self.update_state(meta={"page": page})
    return self.request.id


@task(takes_context=True, backend="default")
def with_context(context: TaskContext[Any, Any], page: int) -> list[int]:
    return [context.attempt, page]


@task(takes_context=True)
async def coroutine_with_context(context: TaskContext[Any, Any], page: int) -> float:
    return page / context.attempt


@task(schedule=crontab(hour=3), name="nightly", queue="low")
def nightly() -> None: ...


class Import(Task):
    name = "import"
    max_retries = 1

    def run(self, path: str) -> int:
        return len(path)


def backoff(exception: BaseException, task_result: StreamTaskResult[Any]) -> float | None:
    return None if task_result.attempts > 5 else 2.0**task_result.attempts


@task(max_attempts=10, backoff=backoff)
def call_api(page: int) -> int:
    return page


@task(takes_context=True)
def with_metadata(context: MetadataContext, page: int) -> str:
    context.metadata["page"] = page
    context.save_metadata()
    return str(context.metadata_modified)


@task(takes_context=True)
async def coroutine_with_metadata(context: MetadataContext) -> int:
    await context.asave_metadata()
    return context.attempt


import_task = Import()


def results() -> None:
    assert_type(add.enqueue(1, b=2), StreamTaskResult[int])
    assert_type(add.delay(1), StreamTaskResult[int])
    assert_type(add.delay(1).get(timeout=5), int)
    assert_type(add.delay(1).return_value, int)
    assert_type(add.call(1), int)
    assert_type(add(1, 2), int)
    assert_type(add.using(priority=5, queue="low", run_after=timedelta(hours=1)).enqueue(1).get(), int)
    assert_type(greet.apply_async(["Ada"], countdown=3, expires=60, link=add.si(1)).get(), str)
    assert_type(add.using(durability="aof").apply_async((1,), durability="replicated").get(), int)
    assert_type(greet.apply_async(kwargs={"name": "Ada"}, queue_name="low", run_after=timezone.now()).get(), str)
    assert_type(fetch.enqueue("/").get(), bytes)
    assert_type(fetch.call("/"), bytes)
    assert_type(bound.enqueue(7).get(), str)
    assert_type(with_context.enqueue(7).get(), list[int])
    assert_type(with_metadata.using(metadata={"trace_id": "a"}).enqueue(7).get(), str)
    assert_type(with_metadata.enqueue(7).metadata, dict[str, Any])
    assert_type(coroutine_with_metadata.enqueue().get(), int)
    assert_type(coroutine_with_context.enqueue(page=7).get(), float)
    assert_type(add.get_result("an-id").get(), int)
    assert_type(add.delay(1).ready(), bool)
    import_task.delay("a.csv").get()
    import_task.apply_async(["a.csv"], priority=3)
    nightly.enqueue()


async def twins() -> None:
    assert_type(await add.aenqueue(1), StreamTaskResult[int])
    assert_type(await (await add.adelay(1)).aget(), int)
    assert_type(await (await fetch.aapply_async(("/",), countdown=1)).aget(timeout=3), bytes)
    assert_type(await fetch.acall("/"), bytes)
    assert_type(await (await add.aget_result("an-id")).aget(), int)


def workflows() -> None:
    assert_type(add.s(1), Signature)
    assert_type(add.s(1) | greet.s(), AnyChain)
    assert_type(group(add.s(n) for n in range(3)).apply_async(countdown=2), GroupResult)
    chain(add.s(1), greet.s()).set(link_error=nightly.si())()
    chord([add.s(1), add.s(2)], greet.s()).apply_async(queue="low")


def backend() -> None:
    found = get_task_backend()
    found.revoke("an-id", terminate=True)
    assert_type(found.get_result("an-id").ready(), bool)
    assert_type(found.get_group("an-id").completed_count(), int)
    found.schedules.create("a", add, every(timedelta(hours=1)), args=[1, 2], queue="low")
    found.schedules.update("a", schedule=crontab(minute="*/5"), args=[3])
    found.enqueue_many([(add, [1], {})])


def passed_on(one: StreamTask[[int], str], result: StreamTaskResult[str]) -> str:
    return result.get() + one.enqueue(1).get()


def wrong() -> None:
    add.enqueue("1")  # expect-error
    add.enqueue()  # expect-error
    add.delay(1, c=2)  # expect-error
    add.call(None)  # expect-error
    fetch.enqueue(1)  # expect-error
    bound.enqueue()  # expect-error
    with_context.enqueue("7")  # expect-error
    coroutine_with_context.delay()  # expect-error
    add.apply_async((1,), prioritty=3)  # expect-error
    add.apply_async((1,), priority="high")  # expect-error
    add.apply_async((1,), durability="disk")  # expect-error
    add.using(durability="disk")  # expect-error
    add.apply_async((1,), run_after="soon")  # expect-error
    add.apply_async((1,), link=add)  # expect-error
    add.using(autoretry_for=OSError)  # expect-error
    add.using(colour="red")  # expect-error
    add.using(metadata="red")  # expect-error
    task(max_retires=3)  # expect-error
    task(time_limit="10")  # expect-error
    task(backoff=30)  # expect-error
    call_api.using(max_attempts=3)  # expect-error
    task(run_after=timedelta(1))  # expect-error
    text: str = add.delay(1).get()  # expect-error
    number: int = fetch.delay("/").get()  # expect-error
    add.s(1) | 7  # expect-error
    passed_on(add, greet.delay("Ada"))  # expect-error
    passed_on(greet, greet.delay("Ada"))  # expect-error
    get_task_backend().revoke(7)  # expect-error


async def wrong_twins() -> None:
    await add.aenqueue("1")  # expect-error
    await add.aapply_async((1,), prioritty=3)  # expect-error
    text: str = await (await add.adelay(1)).aget()  # expect-error


@task(bind=True)  # expect-error
def not_bound(page: int) -> None: ...
