"""Bodies that change descriptors, limits and other settings of the process and of the interpreter."""

from __future__ import annotations

import builtins
import contextvars
import decimal
import gc
import locale
import logging
import os
import random
import resource
import socket
import sys
import tempfile
import threading
import time
import warnings
from typing import Any, TextIO, cast

from tests.process.tasks import proc_app

from .body import KEPT, Bodies

__all__ = ["BODIES"]

BODIES = hostile = Bodies()

LEAKED: contextvars.ContextVar[str] = contextvars.ContextVar("LEAKED", default="")


def _refuse(*_: Any, **__: Any) -> Any:
    raise RuntimeError("refused")


# -- descriptors --------------------------------------------------------------------------------------


@hostile()
def close_stdout() -> str:
    """Close stdout, and its descriptor."""
    sys.stdout.close()
    os.close(1)
    return "closed"


@hostile()
def close_stderr() -> str:
    """Close stderr, and its descriptor."""
    sys.stderr.close()
    os.close(2)
    return "closed"


@hostile()
def close_stdin() -> str:
    """Close stdin's descriptor, whose number the next file gets."""
    os.close(0)
    return "closed"


class _Broken:
    def __getattr__(self, name: str) -> Any:
        raise RuntimeError(name)


@hostile()
def break_the_streams() -> str:
    """Replace stdout and stderr by objects of which every attribute raises."""
    sys.stdout = sys.stderr = cast("TextIO", _Broken())
    return "broken"


@hostile(ends="child")
def close_everything() -> str:
    """Close every descriptor but stdin, stdout and stderr."""
    os.closerange(3, 4096)
    return "closed"


@hostile(fails=("FAILURE OSError",))
def leak_descriptors() -> str:
    """Open sockets until there are no more descriptors, and keep them."""
    while True:
        try:
            KEPT.append(socket.socket())
        except OSError:
            return "leaked"


@hostile(fails=("FAILURE OSError",))
def limit_descriptors() -> str:
    """Set the limit of open files to 3."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, 3))
    return "limited"


@hostile(fails=("FAILURE MemoryError", "FAILURE RuntimeError"))  # the latter: its own thread cannot start
def use_up_its_memory() -> None:
    """Set the limit of memory, and use it up."""
    size = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()  # noqa: PTH123, SIM115
    resource.setrlimit(resource.RLIMIT_AS, (size + (64 << 20), resource.RLIM_INFINITY))
    held = [bytearray(1 << 20) for _ in range(500)]
    del held


@hostile(fails=("FAILURE OSError",))
def limit_file_sizes() -> str:
    """Set the limit of a file's size to 0."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
    return "limited"


# -- settings that are restored -----------------------------------------------------------------------


@hostile()
def change_directory() -> str:
    """Change to a directory and remove it."""
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
    return "gone"


@hostile()
def change_the_mask() -> str:
    """Set the umask to 0777."""
    os.umask(0o777)
    return "changed"


@hostile()
def leak_context() -> str:
    """Set a context variable and the precision of decimals."""
    LEAKED.set("leaked")
    decimal.getcontext().prec = 1
    return "set"


# -- settings of the interpreter ----------------------------------------------------------------------


@hostile()
def empty_the_environment() -> str:
    """Empty `os.environ` and `sys.path`, and change the time zone."""
    kept = os.environ[proc_app.RECORD_VARIABLE]  # the innocents' record is the measurement's own
    os.environ.clear()
    os.environ[proc_app.RECORD_VARIABLE] = kept
    os.environ["TZ"] = "Pacific/Kiritimati"
    time.tzset()
    sys.path.clear()
    return "emptied"


@hostile()
def set_a_socket_timeout() -> str:
    """Set the default time-out of sockets to 0.1 ms."""
    socket.setdefaulttimeout(0.0001)
    return "set"


@hostile()
def stop_collecting() -> str:
    """Switch off the garbage collection, and set the switch interval to 10 s."""
    gc.disable()
    sys.setswitchinterval(10)
    return "stopped"


@hostile()
def limit_recursion() -> str:
    """Set the recursion limit to 60."""
    sys.setrecursionlimit(60)
    return "limited"


@hostile()
def lift_recursion() -> None:
    """Set the recursion limit to a million, and recurse for ever in Python."""
    sys.setrecursionlimit(1_000_000)

    def deeper() -> None:
        deeper()

    deeper()


@hostile()
def turn_warnings_into_errors() -> str:
    """Make every warning an error."""
    warnings.simplefilter("error")
    return "turned"


@hostile()
def change_locale_and_seed() -> str:
    """Set the locale and the seed of `random`."""
    locale.setlocale(locale.LC_ALL, "C")
    random.seed(1)
    return "changed"


class _Raising(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        raise RuntimeError("refused")


@hostile()
def break_logging() -> str:
    """Give the root logger a handler that raises, and change something that is logged."""
    logging.getLogger().addHandler(_Raising())
    os.umask(0o77)
    return "broken"


@hostile()
def replace_hooks() -> str:
    """Replace the hooks for exceptions by ones that raise."""
    sys.excepthook = sys.unraisablehook = threading.excepthook = _refuse
    thread = threading.Thread(target=_refuse)
    thread.start()
    thread.join()
    return "replaced"


@hostile()
def trace_and_raise() -> str:
    """Trace every call, and raise in the trace function after the task."""
    sys.settrace(_refuse)
    return "traced"


@hostile()
def profile_and_raise() -> str:
    """Profile every call, and raise in the profile function."""
    sys.setprofile(_refuse)
    return "profiled"


@hostile()
def forget_modules() -> str:
    """Remove json, asyncio, logging and the engine's own modules from `sys.modules`."""
    for name in [name for name in sys.modules if name.split(".")[0] in ("json", "asyncio", "logging", "streamtasks")]:
        del sys.modules[name]
    return "forgotten"


@hostile()
def replace_builtins() -> str:
    """Replace `print` and `open` by functions that raise."""
    builtins.print = builtins.open = _refuse
    return "replaced"


@hostile()
def stop_the_clock() -> str:
    """Replace `time.time`, as a library for tests does that is not undone."""
    time.time = lambda: 0.0
    return "stopped"
