"""Tasks of the process tests, which write down each execution in a file before and after it.

Both sides use it: a test makes an app with `make`, a worker imports ``app``, whose server, settings and file
the environment names.
"""

from __future__ import annotations

import asyncio
import ctypes
import json
import os
import resource
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from functools import wraps
from inspect import iscoroutinefunction
from pathlib import Path
from typing import Any

from streamtasks import Ignore, Retry, StreamTasks, current_attempt

URL_VARIABLE = "PROC_APP_URL"
SETTINGS_VARIABLE = "PROC_APP_SETTINGS"
RECORD_VARIABLE = "PROC_APP_RECORD"

_grown: list[bytearray] = []


def note(kind: str) -> None:
    """Append one line to the record: kind, id, attempt, pid, monotonic ns, wall clock ns."""
    attempt = current_attempt()
    line = f"{kind} {attempt.id} {attempt.number} {os.getpid()} {time.monotonic_ns()} {time.time_ns()}\n"
    # Opened each time: a task may close every descriptor, and an append is atomic and outlives kill -9.
    fd = os.open(os.environ[RECORD_VARIABLE], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        os.write(fd, line.encode())
    finally:
        os.close(fd)


def recorded(function: Callable[..., Any]) -> Callable[..., Any]:
    """Note start and end of each execution."""

    @wraps(function)
    def run(*args: Any, **kwargs: Any) -> Any:
        note("S")
        try:
            return function(*args, **kwargs)
        finally:
            note("E")

    @wraps(function)
    async def arun(*args: Any, **kwargs: Any) -> Any:
        note("S")
        try:
            return await function(*args, **kwargs)
        finally:
            note("E")

    return arun if iscoroutinefunction(function) else run


def add(a: int, b: int) -> int:
    return a + b


async def aadd(a: int, b: int) -> int:
    await asyncio.sleep(0.001)
    return a + b


def fail(message: str) -> None:
    raise ValueError(message)


async def afail(message: str) -> None:
    await asyncio.sleep(0)
    raise ValueError(message)


def again(times: int, delay_s: float) -> int:
    """Ask for a retry so many times, then return the attempt's number."""
    number = current_attempt().number
    if number <= times:
        raise Retry("not yet", delay_s=delay_s)
    return number


def ignore() -> None:
    raise Ignore("nothing to do")


def large(size: int) -> str:
    return "x" * size


def nap(seconds: float) -> float:
    time.sleep(seconds)
    return seconds


async def anap(seconds: float) -> float:
    await asyncio.sleep(seconds)
    return seconds


def hold_gil(seconds: float) -> float:
    """Keep the interpreter's lock for so long: no other thread of this process runs."""
    ctypes.PyDLL(None).usleep(int(seconds * 1e6))
    return seconds


def steps(count: int, seconds: float) -> int:
    """Note each of many short steps, and show it as progress."""
    for step in range(count):
        current_attempt().set_progress(step=step, of=count)
        note("P")
        time.sleep(seconds)
    return count


def die_by_signal() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def die_by_exit(status: int) -> None:
    os._exit(status)


def leave() -> None:
    sys.exit(3)


class Odd(BaseException):
    """Neither an Exception nor one of Python's own."""


def raise_odd() -> None:
    raise Odd("an odd one")


async def araise_odd() -> None:
    await asyncio.sleep(0)
    raise Odd("an odd one")


def close_descriptors() -> str:
    """Close everything that the child has open but stdin, stdout and stderr."""
    os.closerange(3, 4096)
    return "closed"


def exhaust_memory() -> None:
    """Ask for more memory than the process may have."""
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    now = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (now + 64 * 1024 * 1024, hard))
    held: list[bytearray] = []
    try:
        while True:
            held.append(bytearray(1024 * 1024))
    finally:
        held.clear()
        with suppress(ValueError):
            resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def grow(mib: int) -> int:
    """Leak memory."""
    _grown.append(bytearray(os.urandom(1024)) * (mib * 1024))
    return len(_grown)


TASKS: tuple[Callable[..., Any], ...] = (
    add, aadd, fail, afail, again, ignore, large, nap, anap, hold_gil, steps, die_by_signal, die_by_exit, leave,
    raise_odd, araise_odd, close_descriptors, exhaust_memory, grow,
)  # fmt: skip


def make(url: str, **settings: Any) -> StreamTasks:
    """Return an app with all tasks; their names are those of the functions."""
    made = StreamTasks(url, label="proc", **settings)
    for function in TASKS:
        made.task(name=function.__name__)(recorded(function))
    return made


if URL_VARIABLE in os.environ:
    app = make(os.environ[URL_VARIABLE], **json.loads(os.environ.get(SETTINGS_VARIABLE, "{}")))
