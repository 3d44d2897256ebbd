"""Start workers quickly: forked from a process that has imported already what they begin with.

A worker imports for a third of a second of processor time before it does anything, and the tests start hundreds. What
such a process does from its first line on is the same: its arguments, environment, directory, search path, descriptors
and session are those of a new one. With the variable ``STREAMTASKS_TEST_STARTS=exec`` they start anew, as for users.

This file is also the program of that server: it has one thread, and ends with the process that started it.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import os
import runpy
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Final

__all__ = ["ForkedProcess", "Process", "start"]

VARIABLE: Final = "STREAMTASKS_TEST_STARTS"
MODULES: Final = ("streamtasks_workers.cli.worker", "streamtasks_workers.supervisor.worker", "streamtasks.stores.redis")
"""What every worker imports before it has a task to run."""

_MOST_BYTES: Final = 65_536


class ForkedProcess:
    """A process of the fork server, in the manner of `subprocess.Popen`."""

    def __init__(self, server: _Server, pid: int) -> None:
        self._server = server
        self.pid = pid
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """Return its exit status, negative for the signal that ended it; None: it runs."""
        if self.returncode is None:
            status = self._server.ask({"wait": self.pid})["status"]
            self.returncode = None if status is None else os.waitstatus_to_exitcode(status)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Return its exit status when it has ended."""
        deadline = None if timeout is None else time.monotonic() + timeout
        pause_s = 0.0005
        while (status := self.poll()) is None:
            if deadline is not None and time.monotonic() > deadline:
                raise subprocess.TimeoutExpired(str(self.pid), timeout or 0.0)
            pause_s = min(2 * pause_s, 0.02)
            time.sleep(pause_s)
        return status

    def send_signal(self, number: int) -> None:
        """Send a signal, if it has not been found ended."""
        if self.poll() is None:
            os.kill(self.pid, number)


type Process = ForkedProcess | subprocess.Popen[bytes]


def start(
    words: Sequence[str], *, cwd: Path, environment: Mapping[str, str], output: IO[bytes], anew: bool = False
) -> Process:
    """Start ``python -m`` in a session of its own; its outputs go to a file, its input is empty.

    Args:
        words: module and arguments.
        cwd: its directory.
        environment: all of its environment.
        output: the file.
        anew: never fork it: the test looks at what the system knows of its command line or environment.
    """
    if not anew and _is_forked(environment):
        return _Server.started().start(words, cwd, environment, output)
    return subprocess.Popen(
        [sys.executable, "-m", *words],
        cwd=cwd,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        start_new_session=True,
    )


def _is_forked(environment: Mapping[str, str]) -> bool:
    """Whether a process may come from the server: Python reads its own variables once, when it starts."""
    if sys.platform != "linux" or os.environ.get(VARIABLE) == "exec":
        return False
    names = {name for name in (*os.environ, *environment) if name.startswith("PYTHON")} - {"PYTHONPATH"}
    return all(environment.get(name) == os.environ.get(name) for name in names)


class _Server:
    """The fork server of this process."""

    _only: _Server | None = None

    @classmethod
    def started(cls) -> _Server:
        """Return it; it is started at the first need."""
        cls._only = cls._only or cls()
        return cls._only

    def __init__(self) -> None:
        from tests.support.child_path import python_path

        self._lock = threading.Lock()
        self._socket, theirs = socket.socketpair()
        paths = python_path(sys.path).split(os.pathsep)
        with theirs:
            # A process shows what it does in place of its arguments, for which these leave enough room.
            self._process = subprocess.Popen(
                [sys.executable, __file__, str(theirs.fileno()), json.dumps(paths)],
                env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
            )
        atexit.register(self._close)

    def start(
        self, words: Sequence[str], cwd: Path, environment: Mapping[str, str], output: IO[bytes]
    ) -> ForkedProcess:
        """Fork a process."""
        request = {"words": [*words], "cwd": str(cwd), "environment": {**environment}}
        return ForkedProcess(self, self.ask(request, output.fileno())["pid"])

    def ask(self, request: Mapping[str, Any], *descriptors: int) -> dict[str, Any]:
        """Send one request; return the answer to it."""
        with self._lock:
            text = json.dumps(request).encode() + b"\n"
            sent = socket.send_fds(self._socket, [text], descriptors) if descriptors else 0
            self._socket.sendall(text[sent:])
            answer = _whole_line(self._socket)
        assert answer, "the fork server has ended"
        return dict(json.loads(answer))

    def _close(self) -> None:
        self._socket.close()
        self._process.wait()


def _whole_line(connection: socket.socket, begun: bytes = b"") -> bytes:
    while not begun.endswith(b"\n"):
        more = connection.recv(_MOST_BYTES)
        if not more:
            return b""
        begun += more
    return begun


def _serve(connection: socket.socket, paths: Sequence[str]) -> list[str]:
    """Answer requests; return in a forked process, with its words."""
    own_path = [*sys.path]
    sys.path[:0] = paths
    for name in MODULES:
        importlib.import_module(name)
    gc.freeze()  # so that no collection writes to the memory of all that is imported
    while True:
        begun, descriptors, _, _ = socket.recv_fds(connection, _MOST_BYTES, 1)
        line = _whole_line(connection, begun) if begun else b""
        if not line:
            os._exit(0)
        request = json.loads(line)
        if "wait" in request:
            pid, status = os.waitpid(request["wait"], os.WNOHANG)
            answer = {"status": status if pid else None}
        elif pid := os.fork():
            os.close(descriptors[0])
            answer = {"pid": pid}
        else:
            connection.close()
            _become(request, descriptors[0], own_path)
            return list(request["words"])
        connection.sendall(json.dumps(answer).encode() + b"\n")


def _become(request: Mapping[str, Any], output: int, own_path: Sequence[str]) -> None:
    """Be as a process that was just started for this request."""
    os.setsid()
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["environment"])
    time.tzset()
    paths = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    sys.path[:] = [request["cwd"], *filter(None, paths), *own_path]


def _run(words: Sequence[str]) -> None:
    """As ``python -m``."""
    sys.orig_argv = [sys.executable, "-m", *words]
    sys.argv = ["-m", *words[1:]]
    runpy.run_module(words[0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    del sys.path[0]  # the folder of this file
    _run(_serve(socket.socket(fileno=int(sys.argv[1])), json.loads(sys.argv[2])))
