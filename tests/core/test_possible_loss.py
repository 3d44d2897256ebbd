"""What would be lost if the master died now, measured on real servers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, closing
from typing import Any

import pytest
import redis

from streamtasks import StreamTasks
from streamtasks.protocol.keys import Keys
from streamtasks.stores.redis.possible_loss import BYTES_OF_TASK, PossibleLoss, loss_now
from streamtasks_workers.testing.embedded import EmbeddedServer
from tests.support.servers import find_redis, server_kinds
from tests.support.waiting import wait_until

KEYS = Keys("streamtasks:", "u0")
LARGE = "x" * 4000
ARGUMENTS = ("--repl-diskless-sync-delay", "0", "--repl-timeout", "300")


@pytest.fixture(params=server_kinds())
def servers(request: pytest.FixtureRequest) -> Iterator[tuple[EmbeddedServer, ...]]:
    """A master with a file, and its replica."""
    binary = find_redis() if request.param == "redis" else None
    master = EmbeddedServer(binary, append_only=True, extra_args=ARGUMENTS)
    replica = EmbeddedServer(binary, extra_args=ARGUMENTS)
    with master, replica, closing(redis.Redis(port=replica.port, decode_responses=True)) as client:
        client.replicaof("127.0.0.1", master.port)
        wait_until(lambda: info(client)["master_link_status"] == "up", "the replica follows")
        yield master, replica
        replica.resume()


def info(client: redis.Redis) -> dict[str, Any]:
    found: Any = client.info("replication")
    return dict(found)


def measure(server: EmbeddedServer, *refused: str) -> PossibleLoss:
    """Measure over a connection that refuses these commands."""
    with ExitStack() as stack:
        client = stack.enter_context(closing(redis.Redis(port=server.port, single_connection_client=True)))

        def ask(*words: Any) -> Any:
            if words[0] in refused:
                return PermissionError(f"no right to {words[0]}")
            connection: Any = client.connection
            connection.send_command(*words)
            try:
                reply = connection.read_response()
            except redis.ResponseError as error:
                return error
            return reply.decode() if isinstance(reply, bytes) else reply

        client.ping()
        return loss_now(ask, KEYS)


def test_nothing_is_missing_where_a_replica_follows(servers: tuple[EmbeddedServer, ...]) -> None:
    master, replica = servers
    app = StreamTasks(master.url, timeout_s=60.0)
    task = app.task(name="nothing")(print)
    for _ in range(50):
        task.enqueue(LARGE)
    found = measure(master)
    assert [one.address for one in found.replicas] == [f"127.0.0.1:{replica.port}"]
    assert (found.missing_bytes, found.missing_tasks) == (0, 0)
    assert found.replication_ms is not None
    assert found.has_file
    has_waitaof = "WAITAOF" not in found.refused
    assert (found.file_ms is not None) == has_waitaof


def test_a_stalled_replica_lacks_what_was_written_since(servers: tuple[EmbeddedServer, ...]) -> None:
    master, replica = servers
    task = StreamTasks(master.url, timeout_s=60.0).task(name="nothing")(print)
    task.enqueue()
    assert measure(master).missing_bytes == 0
    replica.pause()
    with closing(redis.Redis(port=master.port)) as client:
        before = info(client)["master_repl_offset"]
        for _ in range(50):
            task.enqueue()
        per_task = (info(client)["master_repl_offset"] - before) / 50
    assert per_task >= BYTES_OF_TASK
    found = measure(master)
    assert found.replication_ms is None
    assert found.missing_bytes is not None
    assert found.missing_bytes >= 50 * per_task
    assert found.missing_tasks is not None
    assert found.missing_tasks >= 50
    replica.resume()
    assert measure(master).missing_bytes == 0


def test_what_is_refused_is_named(servers: tuple[EmbeddedServer, ...]) -> None:
    master, replica = servers
    assert set(measure(master, "INFO").refused) == {"INFO"}
    found = measure(master, "WAIT", "WAITAOF")
    assert {"WAIT", "WAITAOF"} >= set(found.refused) >= {"WAIT"}
    assert (found.replication_ms, found.file_ms) == (None, None)
    assert len(found.replicas) == 1
    alone = measure(replica)  # nobody follows it
    assert (alone.missing_bytes, alone.missing_tasks, alone.replication_ms) == (None, None, None)
    assert alone.has_file is False
