"""Plain Python, right and wrong: each line that a checker has to refuse says so in a comment."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, assert_type

from streamtasks import BoundTask, ClassTask, GroupResult, Result, Signature, StreamTasks, chain, chord, group, wait_for
from streamtasks.schedules import crontab, every
from streamtasks.tasks.step import AnyChain

app = StreamTasks("memory://types")


@app.task
def add(a: int, b: int = 0) -> int:
    return a + b


@app.task(queue="mail", max_retries=5, autoretry_for=(OSError,), retry_backoff=1, rate_limit="10/m", time_limit=30)
def greet(name: str) -> str:
    return f"Hello {name}"


@app.task
async def fetch(url: str) -> bytes:
    return url.encode()


@app.task(bind=True, default_retry_delay=timedelta(minutes=1))
def bound(self: BoundTask, page: int) -> str:
    if self.request.retries < 2:
        raise self.retry(countdown=1)
    self.update_state(meta={"page": page})
    return self.request.id


@app.task(bind=True)
async def bound_coroutine(self: BoundTask, page: int) -> list[int]:
    return [page, self.request.attempt]


@app.task(schedule=crontab(hour=3), name="nightly")
def nightly() -> None: ...


class Import(ClassTask):
    name = "import"
    max_retries = 1

    def run(self, path: str) -> int:
        return len(path)


import_task = app.register(Import(), schedule=every(60))


def results() -> None:
    assert_type(add.enqueue(1, b=2), Result[int])
    assert_type(add.delay(1), Result[int])
    assert_type(add.enqueue(1).get(timeout=5), int)
    assert_type(add(1, 2), int)
    assert_type(greet.using(queue="low", priority=5, run_after=timedelta(hours=1)).enqueue("Ada").get(), str)
    assert_type(greet.apply_async(["Ada"], countdown=3, expires=60, link=add.si(1)).get(), str)
    assert_type(add.using(durability="aof").apply_async((1,), durability="replicated").get(), int)
    assert_type(greet.apply_async(kwargs={"name": "Ada"}, link="an-id", headers={"user": 7}, priority=9), Result[str])
    assert_type(fetch.enqueue("/").get(), bytes)
    assert_type(bound.enqueue(7).get(), str)
    assert_type(bound_coroutine.enqueue(7).get(), list[int])
    assert_type(add.enqueue_many([(1, 2), {"a": 1}]), list[Result[int]])
    assert_type(wait_for([add.enqueue(1), add.enqueue(2)], timeout=5), bool)
    import_task.enqueue("a.csv").get()
    nightly.enqueue()


async def twins() -> None:
    assert_type(await add.aenqueue(1), Result[int])
    assert_type(await (await add.adelay(1)).aget(), int)
    assert_type(await (await fetch.aapply_async(("/",), countdown=1)).aget(timeout=3), bytes)
    assert_type(await fetch("/"), bytes)


def workflows() -> None:
    assert_type(add.s(1), Signature)
    assert_type(add.si(1, 2).set(queue="low", immutable=True), Signature)
    assert_type(add.s(1) | greet.s(), AnyChain)
    assert_type(add.s(1) | group(add.s(2), add.s(3)) | greet.s(), AnyChain)
    assert_type(group(add.s(n) for n in range(3)).apply_async(countdown=2), GroupResult)
    one: AnyChain = chain(add.s(1), greet.s()).set(link_error=nightly.si())
    one()
    chord([add.s(1), add.s(2)], greet.s()).apply_async(queue="low")
    chord(group(add.s(1)))(greet.s())
    (add.s(1) | add.s(2)).delay()


def schedules() -> None:
    app.schedules.create("a", add, every(timedelta(hours=1)), args=[1, 2], queue="low", misfire="skip")
    app.schedules.create("b", "nightly", "0 3 * * *")
    app.schedules.update("a", schedule=crontab(minute="*/5"), args=[3], priority=3)
    for schedule in app.schedules.list():
        assert_type(schedule.name, str)


def wrong() -> None:
    add.enqueue("1")  # expect-error
    add.enqueue()  # expect-error
    add.delay(1, c=2)  # expect-error
    add(None)  # expect-error
    fetch.enqueue(1)  # expect-error
    bound.enqueue()  # expect-error
    bound.delay("7")  # expect-error
    greet.enqueue_many("Ada", "Eve")  # expect-error
    add.apply_async((1,), prioritty=3)  # expect-error
    add.apply_async((1,), priority="high")  # expect-error
    add.apply_async((1,), durability="disk")  # expect-error
    add.using(durability="disk")  # expect-error
    add.apply_async((1,), countdown="soon")  # expect-error
    add.apply_async((1,), link=add)  # expect-error
    add.using(autoretry_for=OSError)  # expect-error
    add.using(queue=7)  # expect-error
    app.task(max_retires=3)  # expect-error
    app.task(time_limit="10")  # expect-error
    app.task(schedule=["daily"])  # expect-error
    text: str = add.enqueue(1).get()  # expect-error
    number: int = fetch.enqueue("/").get()  # expect-error
    add.s(1) | 7  # expect-error
    add.s(1).set(colour="red")  # expect-error
    group(add.s(1)).apply_async(queue_name="low")  # expect-error
    app.schedules.create("a", add, [1])  # expect-error
    app.schedules.create("a", add, every(5), colour="red")  # expect-error
    app.schedules.update("a", misfires="skip")  # expect-error


async def wrong_twins() -> None:
    await add.aenqueue("1")  # expect-error
    await add.aapply_async((1,), prioritty=3)  # expect-error
    text: str = await (await add.aenqueue(1)).aget()  # expect-error
    fetch("/").decode()  # expect-error


@app.task(bind=True)  # expect-error
def not_bound(page: int) -> None: ...


def untyped(value: Any) -> None:
    add.enqueue(value)
    greet.apply_async(value, **value)
