"""Bodies that use signals, timers and threads."""

from __future__ import annotations

import _thread
import atexit
import ctypes
import os
import signal
import sys
import threading
import time

from .body import Bodies

__all__ = ["BODIES"]

BODIES = hostile = Bodies()


@hostile()
def arm_an_alarm() -> str:
    """Call `signal.alarm(1)`."""
    signal.alarm(1)
    return "armed"


@hostile()
def arm_a_timer() -> str:
    """Let SIGALRM arrive every 0.3 s."""
    signal.setitimer(signal.ITIMER_REAL, 0.3, 0.3)
    return "armed"


@hostile()
def arm_timers_of_the_processor() -> str:
    """Let SIGPROF and SIGVTALRM arrive after 10 ms of CPU time."""
    signal.setitimer(signal.ITIMER_PROF, 0.01)
    signal.setitimer(signal.ITIMER_VIRTUAL, 0.01)
    return "armed"


@hostile()
def replace_handlers() -> str:
    """Ignore SIGTERM, SIGINT, SIGUSR1 and SIGALRM, and take the wake-up descriptor."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGALRM):
        signal.signal(number, signal.SIG_IGN)
    signal.set_wakeup_fd(-1)
    return "replaced"


@hostile()
def block_signals() -> str:
    """Block every signal."""
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    return "blocked"


@hostile()
def terminate_itself() -> str:
    """Send SIGTERM to its own process."""
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(0.1)
    return "lived"


@hostile()
def interrupt_by_signal() -> str:
    """Send SIGINT to its own process."""
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(0.1)
    return "lived"


@hostile()
def interrupt_the_main_thread() -> str:
    """Call `_thread.interrupt_main()`."""
    _thread.interrupt_main()
    time.sleep(0.1)
    return "lived"


@hostile()
def leave_a_thread() -> str:
    """Leave a thread that is not a daemon and sleeps for 10 minutes."""
    threading.Thread(target=time.sleep, args=(600,), daemon=False).start()
    return "left"


@hostile()
def leave_a_busy_thread() -> str:
    """Leave a daemon thread that computes for 3 s."""

    def compute() -> None:
        end = time.monotonic() + 3
        while time.monotonic() < end:
            pass

    threading.Thread(target=compute, daemon=True).start()
    return "left"


@hostile()
def exit_in_a_thread() -> str:
    """Start a thread that calls `sys.exit` and one that raises."""
    for target in (sys.exit, signal.raise_signal):  # the second one lacks its argument
        thread = threading.Thread(target=target)
        thread.start()
        thread.join()
    return "lived"


@hostile()
def hold_the_interpreter() -> str:
    """Hold the interpreter's lock for 2 s."""
    ctypes.PyDLL(None).usleep(2_000_000)
    return "held"


@hostile()
def register_at_exit() -> str:
    """Register functions with `atexit` that sleep for 10 minutes and that raise."""
    atexit.register(time.sleep, 600)
    atexit.register(sys.exit, 3)
    return "registered"


class _Finaliser:
    def __del__(self) -> None:
        raise SystemExit("finaliser")


@hostile()
def raise_in_a_finaliser() -> str:
    """Let a finaliser raise SystemExit, during the task and after it."""
    _Finaliser()
    cycle = [_Finaliser()]
    cycle.append(cycle)  # type: ignore[arg-type]
    return "raised"
