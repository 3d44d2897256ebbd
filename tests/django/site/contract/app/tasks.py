"""The tasks of the contract tests."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

from django.db import connection
from django.tasks import TaskContext, task

from contract import notes
from streamtasks import Ignore, Retry, current_attempt
from streamtasks_django import StreamTaskResult
from streamtasks_django import TaskContext as MetadataContext
from streamtasks_django import task as typed_task


@task
def echo(*args: Any, **kwargs: Any) -> list[Any]:
    return [list(args), kwargs]


@task
def add(a: int, b: int) -> int:
    return a + b


@task
def enqueue_adds(count: int) -> list[str]:
    return [add.enqueue(n, 1).id for n in range(count)]


@task
async def aadd(a: int, b: int) -> int:
    await asyncio.sleep(0)
    return a + b


@task
def sleep(seconds: float) -> float:
    time.sleep(seconds)
    return seconds


@task
async def asleep(seconds: float) -> float:
    await asyncio.sleep(seconds)
    return seconds


@task
def note(word: Any) -> None:
    """Leave a word behind, in the order of execution."""
    logging.getLogger("contract").info("noted %s", word)
    notes.leave(str(word))


class ShopError(Exception):
    """An error class of the project."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(f"{code}: {text}")


@task
def fail(kind: str) -> None:
    if kind == "project":
        raise ShopError(7, "out of stock")
    if kind == "local":

        class Hidden(Exception):
            pass

        raise Hidden("not importable")
    if kind == "cause":
        try:
            raise KeyError("inner")
        except KeyError as error:
            raise ValueError("outer") from error
    raise ValueError(f"bad {kind}")


@task
async def afail() -> None:
    await asyncio.sleep(0)
    raise ShopError(8, "async")


@task
def leave(how: str) -> None:
    """End in ways that are no ordinary exception."""
    if how == "sys.exit":
        sys.exit(3)
    if how == "KeyboardInterrupt":
        raise KeyboardInterrupt
    if how == "GeneratorExit":
        raise GeneratorExit


@task
def give(kind: str) -> Any:
    """Return values at the border of JSON."""
    return {
        "set": {1},
        "object": object(),
        "bytes": b"caf\xc3\xa9",
        "bad bytes": b"\xff",
        "tuple": (1, (2,)),
        "range": range(3),
        "keys": {1: "one", None: "none", 2.5: "half"},
        "nan": float("nan"),
        "big": 2**70,
        "surrogate": "\ud800",
        "zero": "a\x00b",
        "none": None,
        "nested": {"a": [1, {"b": None}], "c": 1.5},
    }[kind]


@task
async def agive(kind: str) -> Any:
    return {1} if kind == "set" else (1,)


@task(takes_context=True)
def context_of(context: TaskContext[Any, Any], word: str) -> dict[str, Any]:
    result = context.task_result
    return {
        "word": word,
        "attempt": context.attempt,
        "id": result.id,
        "status": str(result.status),
        "args": result.args,
        "worker_ids": result.worker_ids,
        "task": result.task.module_path,
        "queue": result.task.queue_name,
        "priority": result.task.priority,
        "errors": [error.exception_class_path for error in result.errors],
    }


@task(takes_context=True)
async def acontext_of(context: TaskContext[Any, Any]) -> int:
    return context.attempt


@task(takes_context=True)
def try_again(context: TaskContext[Any, Any], times: int, delay_s: float = 0.05) -> list[Any]:
    if context.attempt <= times:
        raise Retry(f"attempt {context.attempt}", delay_s=delay_s)
    return [context.attempt, len(context.task_result.worker_ids), [e.traceback for e in context.task_result.errors]]


@task(takes_context=True)
async def atry_again(context: TaskContext[Any, Any], times: int) -> int:
    if context.attempt <= times:
        raise Retry(delay_s=0.05)
    return context.attempt


@typed_task(takes_context=True)
def change_metadata(context: MetadataContext, then: str = "return", gate: str = "") -> dict[str, Any]:
    """Note each attempt in the metadata; then return, fail, retry once, or save before the gate opens."""
    seen = {name: value for name, value in context.metadata.items() if name != "attempts"}
    context.metadata.setdefault("attempts", []).append(context.attempt)
    context.metadata["_own"] = "is not stored"
    if then == "save":
        context.save_metadata()
        while not Path(gate).exists():
            time.sleep(0.005)
        context.metadata["end"] = True
    if then == "fail":
        raise ValueError(then)
    if then == "retry" and context.attempt == 1:
        raise Retry(delay_s=0)
    if then == "object":
        context.metadata["bad"] = object()
    return seen


@typed_task(takes_context=True)
async def achange_metadata(context: MetadataContext, then: str = "return") -> bool:
    context.metadata["first"] = context.attempt
    await context.asave_metadata()
    context.metadata["second"] = context.attempt
    if then == "fail":
        raise ValueError(then)
    return context.metadata_modified


def backoff(exception: BaseException, task_result: StreamTaskResult[Any]) -> float | None:
    """Retry at once, but not ValueErrors; leave what it was given in the log."""
    last = task_result.errors[-1].exception_class_path
    print(f"backoff {task_result.id} {exception!r} {task_result.status} {task_result.attempts} {last}", flush=True)
    return None if isinstance(exception, ValueError) else 0.01


@typed_task(max_attempts=3, backoff=backoff)
def attempted(kind: str) -> int:
    """Fail with this kind of error in every attempt but the third."""
    number = current_attempt().number
    if number < 3 or kind != "third":
        raise {"value": ValueError(kind)}.get(kind, OSError(kind))
    return number


@task
def ignore() -> None:
    raise Ignore


@task
def kill_the_child() -> int:
    """Die once, then succeed."""
    if current_attempt().number == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return current_attempt().number


@task
def always_kill_the_child() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@task
def select(number: int) -> list[int]:
    """Use the database; return the row and which connection object it was."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT %s", [number])
        row = cursor.fetchone()
    return [row[0], id(connection.connection), os.getpid()]


@task
def pid() -> int:
    return os.getpid()


def plainly(word: str) -> str:
    return f"plain {word}"


under_another_name = task(plainly)


class Holder:
    """A module-level class: Django accepts functions of it."""

    @staticmethod  # pyright: ignore[reportArgumentType]
    @task
    def method(word: str) -> str:
        return f"method {word}"


@task(priority=7, queue_name="mail")
def mail(word: str) -> str:
    return word


@task(backend="strict")
def strictly(word: str) -> str:
    return word
