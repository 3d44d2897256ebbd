"""A TCP proxy that kills the process that sends a chosen request."""

from __future__ import annotations

import os
import signal
import socket

import psutil

from tests.support.lossy_proxy import LossyProxy
from tests.support.proxy import Link
from tests.support.waiting import wait_until

_ESTABLISHED = 1
"""TCP_ESTABLISHED of ``tcp_states.h``."""


class KillingProxy(LossyProxy):
    """Kills a client's process right before the server gets a request, or right after it has executed it."""

    def __init__(self, port: int) -> None:
        super().__init__(port)
        self._kills_before = False
        self._turn = 0
        self._kills = self._gone = 0

    def kill_at(self, marker: bytes, turn: int, *, before: bool) -> None:
        """Kill the process that sends the ``turn``-th request from now on that holds ``marker``."""
        with self._lock:
            self._marker, self._turn, self._kills_before = marker, turn, before
            self._kills = self._gone = 0

    @property
    def kills(self) -> int:
        """How many processes were killed since `kill_at`; raises if a thread of the proxy has failed."""
        self.check()
        return self._kills

    @property
    def losses(self) -> int:
        """How many requests or replies were lost since `kill_at`, with the sender killed, or gone by itself."""
        self.check()
        return self._kills + self._gone

    def is_refused(self, link: Link, request: bytes) -> bool:
        """Kill the sender if this is the request, and it is to die before the server gets it."""
        with self._lock:
            if not self._turn or self._marker not in request:
                return False
            self._turn -= 1
            if self._turn:
                return False
            if not self._kills_before:
                self._to_lose = 1
                return False
        self.on_lost(link)
        return True

    def on_lost(self, link: Link) -> None:
        """Kill the process at the other end; if it is gone already, kill the sender of the next such request.

        There may be no next one: then that the connection ended is all that happens.
        """

        pids: set[int] = set()

        def is_found() -> bool:
            pids.update(_pids_of(link.address, self.address))
            return bool(pids) or _is_closed(link.client)

        wait_until(is_found, lambda: f"the process with the connection from {link.address} is found")
        # Between the look and the signal it may have ended.
        if not [pid for pid in pids if _is_killed(pid)]:
            with self._lock:
                self._turn = 1
                self._gone += 1
            return
        self._kills += 1


def _is_killed(pid: int) -> bool:
    """Kill a process; whether it was there."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True


def _is_closed(end: socket.socket) -> bool:
    """Whether the peer has closed the connection, also if something that it has sent is not read yet."""
    return end.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] != _ESTABLISHED


def _pids_of(local: tuple[str, int], remote: tuple[str, int]) -> set[int]:
    """The processes that hold the end ``local`` of one connection.

    The port alone would not do: connections to different servers may share a local port.
    """
    try:
        found = psutil.net_connections("tcp4")
    except (psutil.Error, ProcessLookupError):
        return set()  # a process ended while its descriptors were read
    return {one.pid for one in found if (one.laddr, one.raddr) == (local, remote) and one.pid}
