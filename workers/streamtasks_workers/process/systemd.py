"""Tell systemd that the worker is ready, lives, and stops: `sd_notify`, for units of ``Type=notify``."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping, MutableMapping
from contextlib import suppress

__all__ = ["SystemdNotifier"]


class SystemdNotifier:
    """Sends what systemd waits for; does nothing if this process is no such service.

    Args:
        environment: ``NOTIFY_SOCKET`` and ``WATCHDOG_USEC`` (microseconds), as systemd sets them. They are taken out
            of it, so that nothing that a task starts uses them.
    """

    def __init__(self, environment: MutableMapping[str, str] | None = None) -> None:
        variables = os.environ if environment is None else environment
        self._address = variables.pop("NOTIFY_SOCKET", "")
        self._every_s = _watchdog_s(variables) / 2
        variables.pop("WATCHDOG_USEC", None)
        variables.pop("WATCHDOG_PID", None)
        self._is_ready = False
        self._alive_at = 0.0

    def tell(self, *, ready: bool, alive: bool) -> None:
        """Tell once that the worker has started, and then that it works. Call it several times a second.

        Args:
            ready: whether it has started; systemd may not listen at once, then it is told again.
            alive: whether it works; systemd is told as often as its watchdog wants it.
        """
        if ready and not self._is_ready:
            self._is_ready = self._send("READY=1")
        now = time.monotonic()
        if alive and self._every_s and now - self._alive_at >= self._every_s:
            self._alive_at = now
            self._send("WATCHDOG=1")

    def stopping(self) -> None:
        """Tell that the worker has begun to stop."""
        self._send("STOPPING=1")

    def _send(self, text: str) -> bool:
        """Send a text; return False if it must be sent again."""
        if not self._address:
            return True
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as line:
            line.setblocking(False)
            line.sendto(text.encode(), address)
            return True
        return False


def _watchdog_s(variables: Mapping[str, str]) -> float:
    """Return within which time systemd wants a sign of life of this process, seconds; 0: it wants none."""
    text = variables.get("WATCHDOG_USEC", "")
    pid = variables.get("WATCHDOG_PID", "")
    return int(text) / 1e6 if text.isdigit() and pid in ("", str(os.getpid())) else 0.0
