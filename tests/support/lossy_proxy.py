"""A TCP proxy that loses replies: the server executes a request, and then the client's connection ends."""

from __future__ import annotations

import socket

from tests.support.proxy import Link, Proxy
from tests.support.waiting import DEADLINE_S

_PONG = b"+PONG\r\n"


class LossyProxy(Proxy):
    """Loses the replies to chosen requests.

    Such a request is passed on, the server executes it (a PING behind it proves that), and then the client's
    connection is closed without a byte of the reply.
    """

    def __init__(self, port: int) -> None:
        super().__init__(port)
        self._marker = b""
        self._to_lose = 0
        self.lost = 0

    def lose(self, times: int, marker: bytes = b"EVALSHA") -> None:
        """Lose the replies to the next ``times`` requests that hold ``marker``."""
        with self._lock:
            self._marker, self._to_lose = marker, times

    def is_refused(self, link: Link, request: bytes) -> bool:
        """Whether the connection ends before the server gets this request; here: never."""
        return False

    def is_lost(self, link: Link, request: bytes) -> bool:
        """Whether the connection ends after the server has executed this request."""
        with self._lock:
            if self._to_lose == 0 or self._marker not in request:
                return False
            self._to_lose -= 1
            self.lost += 1
            return True

    def on_lost(self, link: Link) -> None:
        """Act on a request that was executed and whose reply is lost, before the connection ends; here: nothing."""

    def serve(self, link: Link) -> None:
        """Pass on whole requests, and what the server sends."""
        request = b""
        for source, data in self.received(link.client, link.server):
            if source is link.server:
                link.client.sendall(data)
                continue
            request += data
            if not _is_whole(request):
                continue
            if self.is_refused(link, request):
                return
            link.server.sendall(request)
            if self.is_lost(link, request):
                _drain(link.server)
                self.on_lost(link)
                return
            request = b""


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
    """Return when the server has executed all that it was sent."""
    server.settimeout(DEADLINE_S)
    server.sendall(b"PING\r\n")
    tail = b""
    while not tail.endswith(_PONG):
        data = server.recv(1 << 20)
        if not data:
            raise ConnectionResetError("the server has closed the connection")
        tail = (tail + data)[-len(_PONG) :]
