"""A TCP proxy between clients and a server. Its variants lose replies, kill clients, change the server or go silent."""

from __future__ import annotations

import selectors
import socket
import threading
import traceback
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from tests.support.waiting import DEADLINE_S

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_CHUNK = 1 << 20


@dataclass(slots=True)
class Link:
    """One client's connection and, once it is open, the connection to the server that belongs to it."""

    client: socket.socket
    address: tuple[str, int]
    """The client's own end."""
    server_port: int
    server: socket.socket


class Proxy:
    """Passes bytes between clients and a server; a context manager.

    Each connection is served by a thread. A thread that raises fails the test, with its traceback, at the next
    `check()` or when the proxy is left.

    Args:
        port: the server's port on this host.
    """

    def __init__(self, port: int) -> None:
        self.server_port = port
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.address: tuple[str, int] = self._listener.getsockname()
        # All threads wait for this end, too: it becomes readable when the other one is closed.
        self._stopped, self._stop = socket.socketpair()
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []
        self._open: set[socket.socket] = set()
        self._errors: list[str] = []
        self.accepted = 0

    @property
    def url(self) -> str:
        """The address of the proxy as a URL of a server."""
        return f"redis://127.0.0.1:{self.address[1]}/0"

    def link(self, client: socket.socket, address: tuple[str, int]) -> Link:
        """Return the link for a connection just accepted; its server's end is connected later."""
        return Link(client, address, self.server_port, socket.socket())

    def serve(self, link: Link) -> None:
        """Serve a connection until this returns or raises `ConnectionError`; here: pass everything on."""
        for source, data in self.received(link.client, link.server):
            (link.server if source is link.client else link.client).sendall(data)

    def received(self, *sources: socket.socket) -> Iterator[tuple[socket.socket, bytes]]:
        """Yield what comes on any of the sockets, until one of them is closed by its peer or the proxy stops."""
        # poll(), which knows no highest descriptor as select() does, and needs none of its own as epoll does.
        with selectors.PollSelector() as selector:
            for source in (self._stopped, *sources):
                selector.register(source, selectors.EVENT_READ)
            while True:
                ready: list[Any] = [key.fileobj for key, _ in selector.select()]
                if self._stopped in ready:
                    return
                for source in ready:
                    data = source.recv(_CHUNK)
                    if not data:
                        return
                    yield source, data

    def check(self) -> None:
        """Raise an `AssertionError` if a thread has failed."""
        with self._lock:
            if self._errors:
                raise AssertionError("a thread of the proxy failed:\n" + "\n".join(self._errors))

    def __enter__(self) -> Self:
        self._start(self._accept)
        return self

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        self._stop.close()
        with self._lock:
            for end in self._open:
                # Ends a send to a client that reads no more.
                with suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
        # The first thread starts the others, and is joined first.
        for thread in self._threads:
            thread.join(DEADLINE_S)
            if thread.is_alive():
                self._errors.append(f"{thread.name} did not stop within {DEADLINE_S} s")
        self._listener.close()
        self._stopped.close()
        if error is None:
            self.check()
        elif self._errors:
            error.add_note("a thread of the proxy failed:\n" + "\n".join(self._errors))

    def _start(self, target: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=self._guarded, args=(target, *arguments), daemon=True)
        self._threads.append(thread)
        thread.start()

    def _guarded(self, target: Callable[..., None], *arguments: object) -> None:
        try:
            target(*arguments)
        except BaseException:
            with self._lock:
                self._errors.append(traceback.format_exc())

    def _accept(self) -> None:
        self._listener.setblocking(False)
        with selectors.PollSelector() as selector:
            for source in (self._stopped, self._listener):
                selector.register(source, selectors.EVENT_READ)
            while self._stopped not in [key.fileobj for key, _ in selector.select()]:
                try:
                    client, address = self._listener.accept()
                except (BlockingIOError, ConnectionError):
                    continue  # the client has left already
                client.setblocking(True)
                self.accepted += 1
                self._start(self._serve, self.link(client, address))

    def _serve(self, link: Link) -> None:
        with ExitStack() as stack:
            for end in (link.client, link.server):
                stack.enter_context(end)
                stack.callback(self._forget, end)
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                with self._lock:
                    self._open.add(end)
            # Either end may close at any time: that ends the other one, and is no error.
            with suppress(ConnectionError):
                link.server.connect(("127.0.0.1", link.server_port))
                self.serve(link)

    def _forget(self, end: socket.socket) -> None:
        with self._lock:
            self._open.discard(end)
