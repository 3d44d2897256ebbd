"""Listen where metrics and health shall be served: before a worker starts anything, so that it can refuse."""

from __future__ import annotations

import socket

from streamtasks.exceptions import ConfigurationError

__all__ = ["listen"]


def listen(host: str, port: int) -> socket.socket:
    """Return a listening socket.

    Raises:
        ConfigurationError: another process has the port, or the address is not of this machine.
    """
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET, backlog=16)
    except OSError as error:
        raise ConfigurationError(
            f"Metrics cannot be served at {host} port {port}: {error.strerror or error}. Choose another --metrics-port "
            "(each worker on a machine needs its own) or --metrics-host."
        ) from error
