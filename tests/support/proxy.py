"""A TCP proxy that loses replies: the server executes a request, and the client never hears of it."""

from __future__ import annotations

import os
import select
import signal
import socket
import threading
from contextlib import ExitStack, closing, contextmanager
from typing import TYPE_CHECKING, Self

import psutil

if TYPE_CHECKING:
    from collections.abc import Generator

_PONG = b"+PONG\r\n"


class LossyProxy:
    """Stands between clients and a server; a context manager.

    `lose` says what is to be lost. When such a request comes, it is passed on, the server executes it (a PING
    behind it proves that), and then the client's connection is closed without a byte of the reply.
    """

    def __init__(self, port: int) -> None:
        self._server = ("127.0.0.1", port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._marker = b""
        self._to_lose = 0
        self._lock = threading.Lock()
        self._stopping = False
        self._threads: list[threading.Thread] = []
        self.lost = 0

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self._listener.getsockname()[1]}/0"

    def lose(self, times: int, marker: bytes = b"EVALSHA") -> None:
        """Lose the replies to the next requests that hold ``marker``."""
        with self._lock:
            self._marker, self._to_lose = marker, times

    def refuses(self, request: bytes, client: socket.socket) -> bool:
        """Whether a request shall not even reach the server."""
        return False

    def has_lost(self, client: socket.socket) -> None:
        """Hear of a client whose request was executed, and whose reply is lost."""

    def __enter__(self) -> Self:
        self._start(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping = True
        for thread in self._threads:
            thread.join(5)
        self._listener.close()

    def _start(self, target: object, *arguments: object) -> None:
        thread = threading.Thread(target=target, args=arguments, daemon=True)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while not self._stopping:
            if select.select([self._listener], [], [], 0.02)[0]:
                self._start(self._serve, self._listener.accept()[0])

    def _is_to_be_lost(self, request: bytes) -> bool:
        with self._lock:
            if self._to_lose == 0 or self._marker not in request:
                return False
            self._to_lose -= 1
            self.lost += 1
            return True

    def _serve(self, client: socket.socket) -> None:
        with ExitStack() as stack:
            stack.enter_context(closing(client))
            server = stack.enter_context(closing(socket.create_connection(self._server)))
            request = b""
            while not self._stopping:
                for ready in select.select([client, server], [], [], 0.02)[0]:
                    try:
                        data = ready.recv(1 << 20)
                    except ConnectionError:
                        return
                    if not data:
                        return
                    if ready is server:
                        client.sendall(data)
                        continue
                    request += data
                    if not _is_whole(request):
                        continue
                    if self.refuses(request, client):
                        return
                    server.sendall(request)
                    if self._is_to_be_lost(request):
                        _drain(server)
                        self.has_lost(client)
                        return
                    request = b""


class StrikingProxy(LossyProxy):
    """Kills the process that sends a certain request: right before the server gets it, or right after."""

    def __init__(self, port: int) -> None:
        super().__init__(port)
        self._kills_before = False
        self._turns = 0
        self.struck = 0

    def strike(self, marker: bytes, turn: int, *, before: bool) -> None:
        """Strike at the ``turn``-th request from now on that holds ``marker``."""
        with self._lock:
            self._marker, self._turns, self._kills_before, self.struck = marker, turn, before, 0

    def refuses(self, request: bytes, client: socket.socket) -> bool:
        """See `LossyProxy.refuses`."""
        with self._lock:
            if not self._turns or self._marker not in request:
                return False
            self._turns -= 1
            if self._turns:
                return False
            if not self._kills_before:
                self._to_lose = 1
                return False
        self.has_lost(client)
        return True

    def has_lost(self, client: socket.socket) -> None:
        """Kill who is at the other end."""
        port = client.getpeername()[1]
        [pid] = {one.pid for one in psutil.net_connections("tcp4") if one.laddr and one.laddr.port == port and one.pid}
        os.kill(pid, signal.SIGKILL)
        self.struck += 1


def _is_whole(request: bytes) -> bool:
    """Whether this ends where a command ends (RESP: an array of strings, each with its length)."""
    at = 0
    while at < len(request):
        end = request.find(b"\r\n", at)
        if end < 0:
            return False
        words, at = int(request[at + 1 : end]), end + 2
        for _ in range(words):
            end = request.find(b"\r\n", at)
            if end < 0:
                return False
            at = end + 2 + int(request[at + 1 : end]) + 2
            if at > len(request):
                return False
    return True


def _drain(server: socket.socket) -> None:
    """Return when the server has executed all it was sent."""
    server.settimeout(5)
    server.sendall(b"PING\r\n")
    tail = b""
    while not tail.endswith(_PONG):
        tail = (tail + server.recv(1 << 20))[-len(_PONG) :]


@contextmanager
def black_hole() -> Generator[str]:
    """Yield the URL of a server that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"redis://127.0.0.1:{listener.getsockname()[1]}/0"


@contextmanager
def closed_port() -> Generator[str]:
    """Yield the URL of a port that refuses connections, and which nobody else gets meanwhile."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield f"redis://127.0.0.1:{bound.getsockname()[1]}/0"
