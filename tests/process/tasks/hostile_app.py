"""The app of the process tests with tasks that harm their process, and with innocent ones."""

from __future__ import annotations

import asyncio
import ctypes
import decimal
import gc
import json
import logging
import os
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable
from contextlib import suppress
from inspect import iscoroutinefunction
from pathlib import Path
from typing import Any, Final

from streamtasks import StreamTasks
from tests.process.tasks import proc_app
from tests.process.tasks.hostile_bodies import errors, loops, processes, settings, signals
from tests.process.tasks.hostile_bodies.body import Body

GROUPS: Final = {
    "Processes": processes.BODIES,
    "Exceptions and return values": errors.BODIES,
    "Event loops": loops.BODIES,
    "Signals, timers and threads": signals.BODIES,
    "Descriptors, limits and settings": settings.BODIES,
}
BODIES: Final[dict[str, Body]] = {body.name: body for bodies in GROUPS.values() for body in bodies}


def innocent(seconds: float) -> float:
    """Nap, and rest on what every task may rest on."""
    time.sleep(seconds)
    results: list[float] = []
    thread = threading.Thread(target=results.append, args=(seconds,))
    thread.start()
    thread.join()
    with Path(os.devnull).open("rb"):
        pass
    return results[0]


async def ainnocent(seconds: float) -> float:
    """The same on an event loop."""
    reader, writer = socket.socketpair()
    with reader, writer:
        reader.setblocking(False)
        writer.send(b"x")
        loop = asyncio.get_running_loop()
        await asyncio.wait_for(loop.sock_recv(reader, 1), 60)
    await asyncio.gather(asyncio.sleep(seconds), asyncio.to_thread(time.sleep, 0.001))
    return seconds


async def sleep_only(seconds: float) -> None:
    """Nap, and need nothing else."""
    await asyncio.sleep(seconds)


def settings_of_process() -> list[Any]:
    """Return what a task finds in its process; an innocent one."""
    state = process_state()
    return [state[name] for name in ("directory", "umask", "timers", "signal handlers", "signal mask")]


def process_state() -> dict[str, Any]:
    """Return the settings of this process by name; those that no task has changed are always the same."""
    umask = os.umask(0o22)
    os.umask(umask)
    directory = ""
    with suppress(OSError):
        directory = str(Path.cwd())
    limits = ("RLIMIT_NOFILE", "RLIMIT_AS", "RLIMIT_CPU", "RLIMIT_FSIZE", "RLIMIT_CORE")
    threads = [thread.name for thread in threading.enumerate()]
    pools = ("MainThread", "streamtasks", "asyncio", "ThreadPoolExecutor", "Dummy")
    return {
        "directory": directory,
        "umask": umask,
        "timers": [signal.getitimer(n)[0] for n in (signal.ITIMER_REAL, signal.ITIMER_VIRTUAL, signal.ITIMER_PROF)],
        "signal handlers": [_name(signal.getsignal(n)) for n in (signal.SIGTERM, signal.SIGINT)],
        "signal mask": len(signal.pthread_sigmask(signal.SIG_BLOCK, ())),
        "other signals' handlers": [_name(signal.getsignal(n)) for n in (signal.SIGUSR1, signal.SIGALRM)],
        "resource limits": [list(resource.getrlimit(getattr(resource, name))) for name in limits],
        "environment": sorted(os.environ),
        "time zone": time.tzname,
        "module search path": sys.path,
        "recursion limit": sys.getrecursionlimit(),
        "garbage collection": gc.isenabled(),
        "switch interval": sys.getswitchinterval(),
        "socket time-out": socket.getdefaulttimeout(),
        "warning filters": len(warnings.filters),
        "logging handlers": len(logging.getLogger().handlers),
        "exception hooks": [repr(sys.excepthook), repr(sys.unraisablehook), repr(threading.excepthook)],
        "trace function": repr(sys.gettrace()),
        "profile function": repr(sys.getprofile()),
        "threads": sorted(name for name in threads if not name.startswith(pools)),
        "precision of decimals": decimal.getcontext().prec,
        "context variables": settings.LEAKED.get(),
        "standard streams": [is_open(fd) for fd in range(3)] + [type(sys.stdout).__name__, type(sys.stderr).__name__],
        "builtins": [open.__name__, print.__name__],
        "patched modules": time.time.__name__,
        "modules": [name in sys.modules for name in ("json", "asyncio", "logging")],
    }


def _name(handler: Any) -> str:
    return str(getattr(handler, "__qualname__", handler))


def is_open(fd: int) -> bool:
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True


def probe() -> list[Any]:
    """Return the process id and its settings."""
    time.sleep(0.02)  # long enough that all children take some
    return [os.getpid(), process_state()]


def as_coroutine(function: Callable[[], Any]) -> Callable[..., Any]:
    """Return a coroutine function that calls a plain one, on the event loop itself."""

    async def run() -> Any:
        return function()

    return function if iscoroutinefunction(function) else run


def leave_a_helper(file: str, how: str, seconds: float) -> None:
    """Start a process that lives on, write its pid to a file, and go on for some time."""
    if how == "fork":
        pid = os.fork()
        if not pid:
            time.sleep(600)
            os._exit(0)
    else:
        pid = subprocess.Popen(["sleep", "600"], start_new_session=how == "session").pid
    Path(file).write_text(str(pid))
    time.sleep(seconds)


def ignore_sigterm_in_c() -> None:
    ctypes.CDLL(None).signal(signal.SIGTERM, ctypes.c_void_p(1))


def ignore_sigterm_for(seconds: float) -> None:
    """Ignore it as code does that must not be interrupted."""
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    proc_app.note("S")
    time.sleep(seconds)
    signal.signal(signal.SIGTERM, before)


def close_outputs(how: str) -> None:
    """Close stdout and stderr: the streams, their descriptors, or both."""
    for number, stream in ((1, sys.stdout), (2, sys.stderr)):
        if how != "descriptors":
            stream.close()
        if how != "streams":
            with suppress(OSError):
                os.close(number)


def print_something(text: str) -> str:
    print(text)
    print(text, file=sys.stderr)
    return text


INNOCENT_OR_WITH_ARGUMENTS: tuple[Callable[..., Any], ...] = (
    settings_of_process, probe, sleep_only,
    leave_a_helper, ignore_sigterm_in_c, ignore_sigterm_for, close_outputs, print_something,
)  # fmt: skip


def make(url: str, **settings: Any) -> StreamTasks:
    """Return the app of the process tests with all hostile tasks in it; their names are those of the functions.

    ``on_loop.<name>`` is the same as a coroutine task.
    """
    made = proc_app.make(url, **settings)
    for function in INNOCENT_OR_WITH_ARGUMENTS:
        made.task(name=function.__name__)(function)
    for function in (innocent, ainnocent):
        made.task(name=function.__name__)(proc_app.recorded(function))
    for body in BODIES.values():
        for name, function in ((body.name, body.function), (f"on_loop.{body.name}", as_coroutine(body.function))):
            register: Any = made.task(name=name, **body.options)
            register(function)
    return made


if proc_app.URL_VARIABLE in os.environ:
    app = make(os.environ[proc_app.URL_VARIABLE], **json.loads(os.environ.get(proc_app.SETTINGS_VARIABLE, "{}")))
