"""The proxies of the tests: whom they kill, and what becomes of an error in their threads."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing

import pytest

from tests.support.killing_proxy import KillingProxy
from tests.support.proxy import Link, Proxy
from tests.support.waiting import wait_until

REQUEST = b"*2\r\n$4\r\nECHO\r\n$4\r\nfoul\r\n"

CLIENT = f"""
import socket, sys
with socket.socket() as client:
    client.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    client.bind(("127.0.0.1", int(sys.argv[1])))
    client.connect(("127.0.0.1", int(sys.argv[2])))
    client.sendall({REQUEST!r})
    sys.stdin.read()
"""


def start_client(local: int, remote: int) -> subprocess.Popen[bytes]:
    """Start a process that connects from one port to another."""
    return subprocess.Popen([sys.executable, "-c", CLIENT, str(local), str(remote)], stdin=subprocess.PIPE)


@pytest.fixture
def elsewhere() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
def test_two_connections_from_one_port_are_told_apart(
    embedded_url: str, elsewhere: socket.socket, before: bool
) -> None:
    port = int(embedded_url.rpartition(":")[2].partition("/")[0])
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        local = free.getsockname()[1]
    with KillingProxy(port) as proxy:
        proxy.kill_at(b"foul", 1, before=before)
        innocent = start_client(local, elsewhere.getsockname()[1])
        with closing(elsewhere.accept()[0]):
            victim = start_client(local, proxy.address[1])
            assert victim.wait(60) == -signal.SIGKILL
            wait_until(lambda: proxy.kills == 1, "it is counted")
            assert innocent.poll() is None
            innocent.communicate()
            assert innocent.returncode == 0
        assert victim.stdin is not None
        victim.stdin.close()


class Broken(Proxy):
    """Fails where it serves."""

    def serve(self, link: Link) -> None:
        raise LookupError("a fault of the proxy")


def test_an_error_in_a_thread_fails_the_test(embedded_url: str) -> None:
    port = int(embedded_url.rpartition(":")[2].partition("/")[0])

    def use() -> None:
        with Broken(port) as proxy, socket.create_connection(proxy.address) as client:
            assert client.recv(1) == b""

    with pytest.raises(AssertionError, match="a fault of the proxy"):
        use()
