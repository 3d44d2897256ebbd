"""Ports for servers that a test starts."""

from __future__ import annotations

import random
import socket

# Below what the kernel gives to connections, and apart from what `EmbeddedServer` chooses.
_PORTS = range(22_500, 24_900)
# Not the module's own generator: tests seed that one, and two processes would try the same ports.
_RANDOM = random.SystemRandom()


def free_port() -> int:
    """Return a port of this host on which nobody listens."""
    for port in _RANDOM.sample(_PORTS, 100):
        with socket.socket() as probe:
            # As servers do: a port that was in use a moment ago is free.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise AssertionError("none of a hundred ports is free")
