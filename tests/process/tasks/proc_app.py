"""Tasks of the process tests, which write down each execution in a file before and after it.

Both sides use it: a test makes an app with `make`, a worker imports ``app``, whose server, settings and file
the environment names. It is one long file because a worker imports it by its name alone, from the directory that it is
started in, and finds nothing beside it that is imported as part of the tests.
"""

from __future__ import annotations

import asyncio
import ctypes
import fcntl
import hashlib
import json
import os
import queue
import resource
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import wraps
from inspect import iscoroutinefunction
from pathlib import Path
from typing import Any

from streamtasks import (
    Attempt,
    AttemptOutcome,
    ClassTask,
    Ignore,
    Middleware,
    Retry,
    State,
    StreamTasks,
    current_attempt,
)
from streamtasks.exceptions import SoftTimeLimitExceeded, TimeLimitExceeded
from streamtasks.tasks.class_task import ErrorInfo
from streamtasks.tasks.task import Task

URL_VARIABLE = "PROC_APP_URL"
SETTINGS_VARIABLE = "PROC_APP_SETTINGS"
WITHOUT_VARIABLE = "PROC_APP_WITHOUT"  # names of tasks that this worker does not know
RECORD_VARIABLE = "PROC_APP_RECORD"

_grown: list[bytearray] = []


def note(kind: str, more: str = "") -> None:
    """Append one line to the record: kind, id, attempt, pid, monotonic ns, wall clock ns, and what else there is."""
    attempt = current_attempt()
    line = f"{kind} {attempt.id} {attempt.number} {os.getpid()} {time.monotonic_ns()} {time.time_ns()} {more}\n"
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


def print_and_nap(text: str, seconds: float) -> None:
    print(text)
    time.sleep(seconds)


async def anap(seconds: float) -> float:
    await asyncio.sleep(seconds)
    return seconds


async def longest_gap(seconds: float) -> float:
    """Return for how long, at most, other work on the loop has kept this task from going on."""
    end, last, longest = time.monotonic() + seconds, time.monotonic(), 0.0
    while last < end:
        await asyncio.sleep(0.01)
        now = time.monotonic()
        longest, last = max(longest, now - last), now
    return longest


def hold_gil(seconds: float, first: float = 0.0) -> float:
    """Keep the interpreter's lock for so long: no other thread of this process runs. ``first``: nap so long before."""
    time.sleep(first)
    ctypes.PyDLL(None).usleep(int(seconds * 1e6))
    return seconds


def nap_until(gate: str, rest_s: float = 0.0) -> str:
    """Nap until this file exists, see ``tests/support/gate.py``, and so long after that."""
    while not Path(gate).exists():
        time.sleep(0.005)
    time.sleep(rest_s)
    return "opened"


async def anap_until(gate: str) -> str:
    while not Path(gate).exists():  # noqa: ASYNC110, ASYNC240 - another process makes it, a look takes microseconds
        await asyncio.sleep(0.005)
    return "opened"


def hold_gil_until(gate: str, first: str = "") -> str:
    """Keep the interpreter's lock until the gate's own lock is free. ``first``: nap until this gate is open."""
    if first:
        nap_until(first)
    fd = os.open(f"{gate}.lock", os.O_RDWR)
    try:
        ctypes.PyDLL(None).flock(fd, fcntl.LOCK_EX)
    finally:
        os.close(fd)
    return "opened"


def burn(_seconds: float) -> int:
    """Hold the interpreter's lock in C for ages, deaf to signals."""
    return sum(range(10**12))


def burn_free(_seconds: float) -> int:
    """Work in C for ages without holding the lock, deaf to signals."""
    return len(hashlib.pbkdf2_hmac("sha256", b"x", b"y", 10**9))


async def aburn(_seconds: float) -> int:
    return sum(range(10**12))


def stubborn(seconds: float) -> float:
    """Nap, whatever is raised."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with suppress(BaseException):
            time.sleep(0.01)
    return seconds


async def astubborn(seconds: float) -> float:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with suppress(BaseException):
            await asyncio.sleep(0.01)
    return seconds


def wait_in(how: str) -> str:
    """Wait for a long time, and tell how the wait ended."""
    lock, readable = threading.Lock(), os.pipe()[0]
    lock.acquire()
    waits: dict[str, Callable[[], Any]] = {
        "sleep": lambda: time.sleep(60),
        "select": lambda: select.select([readable], [], [], 60),
        "lock": lambda: lock.acquire(timeout=60),
        "queue": lambda: queue.Queue[int]().get(timeout=60),
        "read": lambda: os.read(readable, 1),
        "loop": lambda: [None for _ in iter(int, 1)],
        "process": lambda: subprocess.run(["sleep", "60"], check=True),
    }
    try:
        waits[how]()
    except SoftTimeLimitExceeded:
        return "tidied up"
    finally:
        os.close(readable)
    return "not interrupted"


class Slow:
    """An object that takes its time to go."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def __del__(self) -> None:
        time.sleep(self.seconds)


def finalise(seconds: float) -> str:
    """Spend the first seconds in a finaliser; tell how the wait after it ended."""
    try:
        Slow(seconds)
        time.sleep(60)
    except SoftTimeLimitExceeded:
        return "tidied up"
    return "not interrupted"


async def await_in(how: str) -> str:
    waits: dict[str, Callable[[], Any]] = {
        "sleep": lambda: asyncio.sleep(60),
        "event": lambda: asyncio.Event().wait(),
        "timeout": lambda: asyncio.wait_for(asyncio.sleep(60), 60),
        "gather": lambda: asyncio.gather(asyncio.sleep(60), asyncio.sleep(60)),
        "thread": lambda: asyncio.to_thread(time.sleep, 4),
        "shield": lambda: asyncio.shield(asyncio.sleep(4)),
    }
    try:
        await waits[how]()
    except SoftTimeLimitExceeded:
        await asyncio.sleep(0.01)  # a clean-up may wait, too
        return "tidied up"
    return "not interrupted"


def spin_in_bytecode(_seconds: float) -> None:
    while True:
        pass


def slow_first(seconds: float) -> int:
    """Take long at the first attempt; return the attempt's number."""
    number = current_attempt().number
    if number == 1:
        time.sleep(seconds)
    return number


def steps(count: int, seconds: float) -> int:
    """Note each of many short steps, and show it as progress."""
    for step in range(count):
        current_attempt().set_progress(step=step, of=count)
        note("P")
        time.sleep(seconds)
    return count


def report(count: int, seconds: float, rest_s: float) -> float:
    """Report so often within so many seconds, then rest; return which share of that time the reports took."""
    attempt, spent, began = current_attempt(), 0, time.monotonic()
    for step in range(count):
        before = time.thread_time_ns()  # not the time that other processes take
        attempt.update_state("COUNTING", {"step": step, "at": time.monotonic()})
        spent += time.thread_time_ns() - before
        while time.monotonic() < began + seconds * step / count:
            pass
    time.sleep(rest_s)
    return spent / 1e9 / seconds


def run_a_loop() -> list[bool]:
    """Return whether this is the main thread, and whether an event loop of its own runs."""

    async def running() -> bool:
        return asyncio.get_running_loop().is_running()

    return [threading.current_thread() is threading.main_thread(), asyncio.run(running())]


def die_by_signal() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def die_with_worker() -> None:
    """End the supervisor, as a kernel does that kills a whole container."""
    os.kill(os.getppid(), signal.SIGKILL)
    time.sleep(5)


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


class HostileText(Exception):
    """One whose text raises what ends a process."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def __str__(self) -> str:
        raise self.error


def _raise_hostile(kind: str) -> None:
    match kind:
        case "retry delay":
            raise Retry(delay_s=1e306)
        case "retry with a hostile text":
            raise Retry(exc=HostileText(SystemExit(3)), delay_s=0.01, max_retries=1)
        case "text raises GeneratorExit":
            raise HostileText(GeneratorExit())
        case "text raises SystemExit":
            raise HostileText(SystemExit(3))
        case other:
            raise AssertionError(other)


def raise_hostile(kind: str) -> None:
    _raise_hostile(kind)


async def araise_hostile(kind: str) -> None:
    await asyncio.sleep(0)
    _raise_hostile(kind)


def close_descriptors(result_bytes: int = 0) -> str:
    """Close everything that the child has open but stdin, stdout and stderr."""
    os.closerange(3, 4096)
    return "x" * result_bytes or "closed"


_FILES: list[Any] = []


def keep_files_open(count: int) -> int:
    """Open so many files and keep them open; return how many are."""
    while len(_FILES) < count:
        _FILES.append(Path(os.devnull).open("rb"))  # noqa: SIM115 - a leak is the purpose
    return len(_FILES)


def use_up_descriptors() -> None:
    """Let the process have no further descriptor, from a moment after this task has ended."""
    limits = (8, resource.getrlimit(resource.RLIMIT_NOFILE)[1])
    threading.Timer(0.3, resource.setrlimit, (resource.RLIMIT_NOFILE, limits)).start()


async def aclose_descriptors() -> str:
    return close_descriptors()


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


def show_and_fail(text: str, gate: str) -> None:
    """Show a text as progress until a gate opens, then fail with it."""
    current_attempt().set_progress(text=text)
    nap_until(gate)
    raise ValueError(text)


def give_back(value: Any = None) -> Any:
    """Return what it gets."""
    return value


def give_back_in_turn(value: Any = None) -> Any:
    return value


def give_back_later(value: Any = None) -> Any:
    """Return what it gets, in the second attempt."""
    if current_attempt().retries < 1:
        raise Retry("later", delay_s=0.01)
    return value


TASKS: tuple[Callable[..., Any], ...] = (
    add, aadd, fail, afail, again, ignore, large, nap, anap, hold_gil, steps,
    nap_until, anap_until, hold_gil_until, die_by_signal, die_by_exit, leave,
    die_with_worker, print_and_nap,
    raise_odd, araise_odd, raise_hostile, araise_hostile, close_descriptors, aclose_descriptors, exhaust_memory,
    keep_files_open, use_up_descriptors,
    grow, show_and_fail,
    burn, burn_free, aburn, stubborn, astubborn, wait_in, await_in, finalise, spin_in_bytecode, report,
    give_back, give_back_later, longest_gap,
)  # fmt: skip


WITH_OPTIONS: dict[str, tuple[Callable[..., Any], dict[str, Any]]] = {
    "give_back_in_turn": (give_back_in_turn, {"rate_limit": "500/s"}),
    "slow_first": (
        slow_first,
        {"time_limit_s": 0.3, "autoretry_for": (TimeLimitExceeded,), "retry_delay_s": 0.05},
    ),
    "nap_alone": (nap, {"executor": "inline"}),
    "burn_alone": (burn, {"executor": "inline"}),
    "stubborn_alone": (stubborn, {"executor": "inline"}),
    "wait_in_alone": (wait_in, {"executor": "inline"}),
    "die_alone": (die_by_signal, {"executor": "inline"}),
    "loop_alone": (run_a_loop, {"executor": "inline"}),
}


def make(url: str, **settings: Any) -> StreamTasks:
    """Return an app with all tasks; their names are those of the functions."""
    patience_s = settings.get("timeout_s", 10.0)  # tests take servers away for longer than a producer waits
    made = StreamTasks(url, label="proc", **{"enqueue_timeout_s": patience_s, **settings})
    for function in TASKS:
        made.task(name=function.__name__)(recorded(function))
    for name, (function, options) in WITH_OPTIONS.items():
        register: Any = made.task(name=name, **options)
        register(recorded(function))
    return made


class Notes(Middleware):
    """Notes of which outcomes it is told."""

    def after_outcome(self, attempt: Attempt, outcome: AttemptOutcome) -> None:
        note("M", outcome.state)


class Hooked(Task[Any, Any]):
    """A task whose hooks note that they were called."""

    def before_start(self, attempt: Attempt) -> None:
        note("B")

    def after(self, attempt: Attempt, outcome: AttemptOutcome) -> None:
        note("H", outcome.state)


class Told(ClassTask):
    """A class-based task whose hooks note that they were called, with what its run has left on it."""

    name = "told"

    def run(self, seconds: float, fails: bool = False) -> float:
        note("S")
        self.slept = seconds
        time.sleep(seconds)
        note("E")
        if fails:
            raise ValueError("no")
        return seconds

    def on_success(self, retval: Any, task_id: str, args: list[Any], kwargs: dict[str, Any]) -> None:
        assert self.slept == retval
        self.told = True

    def on_retry(
        self, exc: BaseException | None, task_id: str, args: list[Any], kwargs: dict[str, Any], einfo: ErrorInfo
    ) -> None:
        note("H", f"on_retry {type(exc).__name__}")

    def after_return(
        self,
        status: str,
        retval: Any,
        task_id: str,
        args: list[Any],
        kwargs: dict[str, Any],
        einfo: ErrorInfo | None,
    ) -> None:
        if status != State.SUCCESS or self.told:
            note("H", status)


class ToldAgain(Told):
    """One that is ended by its limit and run again."""

    name = "told_again"
    time_limit = 0.1
    autoretry_for = (TimeLimitExceeded,)
    max_retries = 1
    default_retry_delay = 0.02


class ToldLimited(Told):
    """One that is ended by its limit."""

    name = "told_limited"
    time_limit = 0.1


HOOKED: dict[str, tuple[Callable[..., Any], dict[str, Any]]] = {
    "nap": (nap, {}),
    "anap": (anap, {}),
    "fail": (fail, {}),
    "retried": (fail, {"autoretry_for": (ValueError,), "max_retries": 2, "retry_delay_s": 0.02}),
    "limited": (nap, {"time_limit_s": 0.1}),
    "die_by_signal": (die_by_signal, {}),
}


def make_hooked(url: str, **settings: Any) -> StreamTasks:
    """Return an app whose outcomes are told to middleware and hooks."""
    made = StreamTasks(url, label="hooked", middleware=[Notes()], **settings)
    for name, (function, options) in HOOKED.items():
        register: Any = made.task(name=name, has_hooks=True, **options)  # type: ignore[call-overload]
        plain = register(recorded(function))
        made.tasks[name] = Hooked(made.pipeline, plain.function, name, plain.options)
    made.register(Told())
    made.register(ToldLimited())
    made.register(ToldAgain())
    return made


if URL_VARIABLE in os.environ:
    _settings: dict[str, Any] = json.loads(os.environ.get(SETTINGS_VARIABLE, "{}"))
    app = make(os.environ[URL_VARIABLE], **_settings)
    for _name in os.environ.get(WITHOUT_VARIABLE, "").split():
        del app.tasks[_name]
    hooked = make_hooked(os.environ[URL_VARIABLE], **_settings)
