"""Tasks that harm the process they run in, for ``benchmarks/hostile.py``: one function for each way."""

from __future__ import annotations

import asyncio
import ctypes
import gc
import json
import multiprocessing
import os
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

from streamtasks import Retry, StreamTasks, current_attempt
from tests.process.tasks import proc_app

_kept: list[Any] = []


# -- processes ----------------------------------------------------------------------------------------


def fork_and_run_on() -> str:
    """Both processes return, as code does that forgets to leave the copy."""
    return "copy" if os.fork() == 0 else "parent"


def fork_and_exit() -> str:
    if os.fork() == 0:
        sys.exit(0)
    return "parent"


def terminate_a_process() -> str:
    process = multiprocessing.get_context("fork").Process(target=time.sleep, args=(30,))
    process.start()
    time.sleep(0.2)
    process.terminate()
    process.join(5)
    ended = not process.is_alive()
    process.kill()
    return "ended" if ended else "not ended"


def use_a_process_pool() -> int:
    with ProcessPoolExecutor(2, multiprocessing.get_context("fork")) as pool:
        return sum(pool.map(int, range(10)))


def use_a_pool() -> int:
    """Leaving a pool sends SIGTERM to its processes, some of which have only just been forked."""
    total = 0
    for _ in range(5):
        with multiprocessing.get_context("fork").Pool(3) as pool:
            total += sum(pool.map(int, range(4)))
    return total


async def fork_and_wait() -> str:
    """The copy goes on awaiting, on a loop that it has in common with others' coroutines."""
    pid = os.fork()
    await asyncio.sleep(0.05)
    return "parent" if pid else "copy"


def fork_and_report() -> str:
    if os.fork() == 0:
        current_attempt().set_progress(step="copy")
        os._exit(0)
    time.sleep(0.2)
    return "parent"


def start_a_program() -> bool:
    """Tell whether a program that it starts can be interrupted."""
    code = "import signal; print(signal.getsignal(signal.SIGINT) == signal.default_int_handler)"
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout == "True\n"


def kill_its_child() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def kill_the_supervisor() -> None:
    os.kill(os.getppid(), signal.SIGKILL)
    time.sleep(5)


def leave_at_once() -> None:
    os._exit(0)


def crash_in_c() -> None:
    ctypes.string_at(1)


def leave_a_thread() -> str:
    threading.Thread(target=time.sleep, args=(600,), daemon=False).start()
    return "left"


# -- exceptions ---------------------------------------------------------------------------------------


def exit_the_interpreter() -> None:
    sys.exit(3)


def interrupt_itself() -> None:
    raise KeyboardInterrupt


def pretend_to_be_cancelled() -> None:
    raise asyncio.CancelledError


def retry_in_ages() -> None:
    raise Retry("later", delay_s=1e306)


class _Unspeakable(Exception):
    def __init__(self, ending: type[BaseException]) -> None:
        self._ending = ending

    def __str__(self) -> str:
        raise self._ending


def raise_what_exits_when_shown() -> None:
    raise _Unspeakable(SystemExit)


def raise_what_ends_a_generator_when_shown() -> None:
    raise _Unspeakable(GeneratorExit)


def recurse_for_ever() -> None:
    recurse_for_ever()


def return_what_is_no_json() -> Any:
    return object()


# -- event loops --------------------------------------------------------------------------------------


async def stop_the_loop() -> str:
    asyncio.get_running_loop().stop()
    await asyncio.sleep(0.05)
    return "went on"


async def exit_in_the_background() -> str:
    async def leave() -> None:
        sys.exit(1)

    _kept.append(asyncio.get_running_loop().create_task(leave()))
    await asyncio.sleep(0.05)
    return "went on"


async def cancel_everything() -> str:
    for task in asyncio.all_tasks():
        task.cancel()
    await asyncio.sleep(0.05)
    return "went on"


async def cancel_itself() -> None:
    task = asyncio.current_task()
    assert task is not None
    task.cancel()
    await asyncio.sleep(1)


async def use_timeouts() -> str:
    """No harm, but what rests on cancelling: time-outs and groups of asyncio."""
    with suppress(TimeoutError):
        async with asyncio.timeout(0.01):
            await asyncio.sleep(1)
    with suppress(ExceptionGroup):
        async with asyncio.TaskGroup() as group:
            group.create_task(asyncio.sleep(1))
            group.create_task(asyncio.wait_for(asyncio.sleep(1), 0.01))
    return "in time"


async def block_the_loop() -> str:
    time.sleep(2)  # noqa: ASYNC251 (that is the harm)
    return "went on"


def close_the_loop() -> str:
    loop = asyncio.new_event_loop()
    try:
        loop = asyncio.get_event_loop_policy().get_event_loop()  # pyright: ignore[reportDeprecated]
    except RuntimeError:
        asyncio.set_event_loop(loop)
    loop.close()
    return "closed"


# -- signals ------------------------------------------------------------------------------------------


def arm_an_alarm() -> str:
    signal.alarm(1)
    return "armed"


def arm_a_timer() -> str:
    signal.setitimer(signal.ITIMER_REAL, 0.3, 0.3)
    return "armed"


def arm_timers_of_the_processor() -> str:
    signal.setitimer(signal.ITIMER_VIRTUAL, 0.2)
    signal.setitimer(signal.ITIMER_PROF, 0.2)
    return "armed"


def replace_handlers() -> str:
    """Only the main thread may; elsewhere this is an error, which is an end too."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGALRM):
        signal.signal(number, signal.SIG_IGN)
    signal.set_wakeup_fd(-1)
    return "replaced"


def block_signals() -> str:
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    return "blocked"


def terminate_itself() -> str:
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(0.1)
    return "lived"


def interrupt_by_signal() -> str:
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(0.1)
    return "lived"


# -- descriptors and settings of the process ----------------------------------------------------------


def close_stdout() -> str:
    sys.stdout.close()
    os.close(1)
    return "closed"


def close_everything() -> str:
    os.closerange(3, 4096)
    return "closed"


def leak_descriptors() -> int:
    while True:
        try:
            _kept.append(socket.socket())
        except OSError:
            return len(_kept)


def limit_descriptors() -> str:
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, 3))
    return "limited"


def change_directory() -> str:
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
    return "gone"


def change_the_mask() -> str:
    os.umask(0o777)
    return "changed"


def empty_the_environment() -> str:
    kept = os.environ[proc_app.RECORD_VARIABLE]  # the innocents' record is the measurement's own
    os.environ.clear()
    os.environ[proc_app.RECORD_VARIABLE] = kept
    sys.path.clear()
    return "emptied"


def set_a_socket_timeout() -> str:
    socket.setdefaulttimeout(0.0001)
    return "set"


def hold_the_interpreter() -> str:
    ctypes.PyDLL(None).usleep(2_000_000)
    return "held"


def stop_collecting() -> str:
    gc.disable()
    sys.setswitchinterval(10)
    return "stopped"


BODIES: tuple[Callable[..., Any], ...] = (
    fork_and_run_on, fork_and_exit, terminate_a_process, use_a_process_pool, use_a_pool, fork_and_wait,
    fork_and_report, start_a_program, kill_its_child, kill_the_supervisor,
    leave_at_once, crash_in_c, leave_a_thread, exit_the_interpreter, interrupt_itself, pretend_to_be_cancelled,
    retry_in_ages, raise_what_exits_when_shown, raise_what_ends_a_generator_when_shown, recurse_for_ever,
    return_what_is_no_json, stop_the_loop, exit_in_the_background, cancel_everything, cancel_itself, use_timeouts,
    block_the_loop, close_the_loop,
    arm_an_alarm, arm_a_timer, arm_timers_of_the_processor, replace_handlers, block_signals, terminate_itself,
    interrupt_by_signal, close_stdout,
    close_everything, leak_descriptors, limit_descriptors, change_directory, change_the_mask, empty_the_environment,
    set_a_socket_timeout, hold_the_interpreter, stop_collecting,
)  # fmt: skip


def settings_of_process() -> list[Any]:
    """What a task finds in its process; an innocent one."""
    umask = os.umask(0o22)
    os.umask(umask)
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    return [
        str(Path.cwd()),
        umask,
        [signal.getitimer(timer)[0] for timer in (signal.ITIMER_REAL, signal.ITIMER_VIRTUAL, signal.ITIMER_PROF)],
        repr(signal.getsignal(signal.SIGTERM)),
        len(mask),
    ]


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
    settings_of_process, leave_a_helper, ignore_sigterm_in_c, ignore_sigterm_for, close_outputs, print_something,
)  # fmt: skip


def make(url: str, **settings: Any) -> StreamTasks:
    """Return the app of the process tests with all hostile tasks in it; their names are those of the functions."""
    made = proc_app.make(url, **settings)
    for body in BODIES:
        made.task(name=body.__name__)(body)
    for body in INNOCENT_OR_WITH_ARGUMENTS:
        made.task(name=body.__name__)(body)
    return made


if proc_app.URL_VARIABLE in os.environ:
    app = make(os.environ[proc_app.URL_VARIABLE], **json.loads(os.environ.get(proc_app.SETTINGS_VARIABLE, "{}")))
