"""Bodies that start processes, and that end them."""

from __future__ import annotations

import asyncio
import ctypes
import multiprocessing
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from streamtasks import current_attempt

from .body import Bodies

__all__ = ["BODIES"]

BODIES = hostile = Bodies()


@hostile()
def fork_and_run_on() -> str:
    """Fork; both processes return from the task."""
    return "copy" if os.fork() == 0 else "parent"


@hostile()
def fork_and_exit() -> str:
    """Fork; the copy calls `sys.exit`."""
    if os.fork() == 0:
        sys.exit(0)
    return "parent"


@hostile()
async def fork_and_wait() -> str:
    """Fork in a coroutine; the copy goes on awaiting."""
    pid = os.fork()
    await asyncio.sleep(0.05)
    return "parent" if pid else "copy"


@hostile()
def fork_and_report() -> str:
    """Fork; the copy reports progress, then calls `os._exit`."""
    if os.fork() == 0:
        current_attempt().set_progress(step="copy")
        os._exit(0)
    time.sleep(0.2)
    return "parent"


@hostile()
def fork_a_crowd() -> str:
    """Fork 40 copies, each of which forks; all return from the task."""
    for _ in range(40):
        if os.fork() == 0:
            os.fork()
            return "copy"
    return "parent"


@hostile()
def terminate_a_process() -> str:
    """Start a `multiprocessing.Process` and terminate it."""
    process = multiprocessing.get_context("fork").Process(target=time.sleep, args=(30,))
    process.start()
    time.sleep(0.2)
    process.terminate()
    process.join(5)
    ended = not process.is_alive()
    process.kill()
    return "ended" if ended else "not ended"


@hostile()
def use_a_process_pool() -> int:
    """Use a `ProcessPoolExecutor` that forks."""
    with ProcessPoolExecutor(2, multiprocessing.get_context("fork")) as pool:
        return sum(pool.map(int, range(10)))


@hostile()
def use_a_pool() -> int:
    """Use a `multiprocessing.Pool` that forks, five times."""
    total = 0
    for _ in range(5):
        with multiprocessing.get_context("fork").Pool(3) as pool:
            total += sum(pool.map(int, range(4)))  # leaving it terminates processes that were only just forked
    return total


@hostile()
def use_a_spawned_pool() -> int:
    """Use a `multiprocessing.Pool` that spawns."""
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        return sum(pool.map(int, range(4)))


@hostile()
def use_a_fork_server() -> int:
    """Use a `multiprocessing.Pool` with a fork server."""
    with multiprocessing.get_context("forkserver").Pool(2) as pool:
        return sum(pool.map(int, range(4)))


@hostile()
def start_a_program() -> bool:
    """Start a program, which can be interrupted."""
    code = "import signal; print(signal.getsignal(signal.SIGINT) == signal.default_int_handler)"
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout == "True\n"


@hostile()
def leave_a_program() -> str:
    """Start a program that runs for 10 minutes, and return."""
    subprocess.Popen(["sleep", "600"])
    return "left"


@hostile()
def reap_everything() -> str:
    """Reap any process that has ended, as a signal handler does that is not its own."""
    subprocess.Popen(["true"])
    time.sleep(0.1)
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass
    return "reaped"


@hostile(ends="child")
def kill_its_process() -> None:
    """Send SIGKILL to its own process."""
    os.kill(os.getpid(), signal.SIGKILL)


@hostile(ends="child")
def exit_at_once() -> None:
    """Call `os._exit(0)`."""
    os._exit(0)


@hostile(ends="child")
def abort() -> None:
    """Call `os.abort`."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.abort()


@hostile(ends="child")
def read_address_one() -> None:
    """Crash in C: read from an invalid address."""
    ctypes.string_at(1)


@hostile(ends="child")
def overflow_the_stack_in_c() -> None:
    """Crash in C: recurse until the stack is used up."""
    nested: Iterator[int] = iter([1])
    for _ in range(1_000_000):
        nested = filter(None, nested)
    next(nested)


@hostile(ends="child", options={"time_limit_s": 0.5})
def stop_its_process() -> None:
    """Send SIGSTOP to its own process, with a time limit of 0.5 s."""
    os.kill(os.getpid(), signal.SIGSTOP)


@hostile()
def kill_the_keeper() -> str:
    """Send SIGKILL to the keeper of its worker."""
    children = Path(f"/proc/{os.getppid()}/task/{os.getppid()}/children").read_text().split()
    os.kill(min(map(int, children)), signal.SIGKILL)  # the supervisor's first fork
    time.sleep(0.5)
    return "killed"


@hostile(ends="worker")
def kill_the_supervisor() -> None:
    """Send SIGKILL to the supervisor of its worker."""
    os.kill(os.getppid(), signal.SIGKILL)
    time.sleep(5)


@hostile(ends="child")
def kill_its_group() -> None:
    """Send SIGKILL to its process group."""
    os.killpg(0, signal.SIGKILL)


@hostile()
def terminate_its_group() -> str:
    """Send SIGTERM to its process group."""
    os.killpg(0, signal.SIGTERM)
    time.sleep(0.1)
    return "lived"


@hostile(ends="worker")
def terminate_the_supervisor() -> str:
    """Send SIGTERM to its parent: the worker stops gracefully."""
    os.kill(os.getppid(), signal.SIGTERM)
    time.sleep(0.1)
    return "lived"
