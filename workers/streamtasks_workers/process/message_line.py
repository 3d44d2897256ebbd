"""A line of messages to another process: JSON objects, one a line, over a pair of sockets."""

from __future__ import annotations

import json
import socket
from contextlib import suppress
from typing import Any

__all__ = ["MessageLine"]


class MessageLine:
    """Our end of a line, which may be closed: then nothing is sent and nothing arrives. No call waits for a message."""

    def __init__(self) -> None:
        self._socket: socket.socket | None = None
        self._buffer = b""

    def open(self) -> socket.socket:
        """Begin a new line; return the other end, for the other process.

        Raises:
            OSError: no descriptors are left.
        """
        self.close()
        self._socket, theirs = socket.socketpair()
        self._buffer = b""
        return theirs

    def close(self) -> None:
        """Close our end."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    @property
    def fds(self) -> list[int]:
        """The descriptor that becomes readable when a message arrives, if the line is open."""
        return [] if self._socket is None else [self._socket.fileno()]

    def send(self, message: dict[str, Any]) -> None:
        """Send a message; a process that is gone does not get it."""
        if self._socket is not None:
            with suppress(OSError):
                self._socket.sendall(json.dumps(message).encode() + b"\n")

    def receive(self) -> list[dict[str, Any]]:
        """Return the messages that have arrived; close the line if the other process has ended."""
        if self._socket is None:
            return []
        try:
            data = self._socket.recv(65536, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return []
        except OSError:
            data = b""
        if not data:
            self.close()
        *lines, self._buffer = (self._buffer + data).split(b"\n")
        return [json.loads(line) for line in lines]
