"""A master with replicas, as real servers."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

import redis

from streamtasks.protocol.keys import Keys
from streamtasks_workers.testing.embedded import EmbeddedServer
from tests.support.servers import find_redis
from tests.support.waiting import wait_until

KEYS = Keys("streamtasks:", "u0")


class Replicated:
    """A master and two replicas."""

    def __init__(self, kind: str, *arguments: str) -> None:
        binary = find_redis() if kind == "redis" else None
        arguments = ("--repl-diskless-sync-delay", "0", "--repl-timeout", "300", *arguments)
        self.kind = kind
        self.master, *self.replicas = (EmbeddedServer(binary, extra_args=arguments) for _ in range(3))
        self._stack = ExitStack()

    def __enter__(self) -> Replicated:
        for server in (self.master, *self.replicas):
            self._stack.enter_context(server)
        self.attach()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def url(self) -> str:
        return self.master.url

    def client(self, server: EmbeddedServer) -> redis.Redis:
        made: redis.Redis = redis.Redis(port=server.port, decode_responses=True)
        self._stack.callback(made.close)
        return made

    def attach(self) -> None:
        """Let both follow, from an empty start."""
        self.client(self.master).flushall()
        for server in self.replicas:
            self.follow(server)

    def follow(self, server: EmbeddedServer) -> None:
        client = self.client(server)
        client.replicaof("127.0.0.1", self.master.port)

        def follows() -> bool:
            info: Any = client.info("replication")
            return bool(info.get("master_link_status") == "up")

        wait_until(follows, "the replica follows")

    def has(self, server: EmbeddedServer, task_id: str) -> bool:
        return bool(self.client(server).hexists(KEYS.messages, task_id))
