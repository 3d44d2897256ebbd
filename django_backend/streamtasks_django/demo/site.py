"""Serve the example site on the loopback interface, in threads of this process."""

from __future__ import annotations

import socket
import threading
from collections.abc import Generator
from contextlib import contextmanager

from django.core.servers.basehttp import ThreadedWSGIServer, WSGIRequestHandler

from streamtasks import ConfigurationError

__all__ = ["HOST", "check_port", "served"]

HOST = "127.0.0.1"


def check_port(port: int) -> None:
    """Check that the port is free before anything is started.

    Raises:
        ConfigurationError: the port is in use.
    """
    try:
        socket.create_server((HOST, port)).close()
    except (OSError, OverflowError) as error:
        raise _taken(port, error) from error


def _taken(port: int, error: Exception) -> ConfigurationError:
    return ConfigurationError(f"Port {port} of {HOST} cannot be had ({error}); give another --port.")


@contextmanager
def served(port: int) -> Generator[str]:
    """Serve until the block ends; yield the address.

    Args:
        port: the port; 0 chooses a free one.

    Raises:
        ConfigurationError: the port is in use.
    """
    from .wsgi import application

    try:
        server = ThreadedWSGIServer((HOST, port), WSGIRequestHandler)
    except (OSError, OverflowError) as error:
        raise _taken(port, error) from error
    server.set_app(application)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield f"http://{HOST}:{server.server_port}/"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
