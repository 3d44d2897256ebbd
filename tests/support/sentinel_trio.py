"""A master, its replicas and the Sentinels that watch them: real processes on the loopback interface."""

from __future__ import annotations

from contextlib import ExitStack, suppress
from typing import Any, Self

import redis

from streamtasks_workers.testing.embedded import EmbeddedServer
from tests.support.servers import find_redis
from tests.support.waiting import wait_until

SERVICE = "main"
DOWN_AFTER_MS = 1500
"""Short, and long enough for a busy machine."""


class SentinelTrio:
    """One master, two replicas and three Sentinels; a context manager.

    Args:
        kind: of the servers and the Sentinels, ``"valkey"`` or ``"redis"``.
        server_args: further arguments of the servers.
        sentinel_lines: further lines in the configuration of the Sentinels.
        password: that the servers ask for, and ask each other for.
    """

    def __init__(
        self, kind: str, *, server_args: tuple[str, ...] = (), sentinel_lines: str = "", password: str = ""
    ) -> None:
        binary = find_redis() if kind == "redis" else None
        self.password = password
        arguments = ["--repl-diskless-sync-delay", "0", "--repl-ping-replica-period", "1", *server_args]
        if password:
            arguments += ["--requirepass", password, "--masterauth", password]
        self.servers = [EmbeddedServer(binary, extra_args=arguments) for _ in range(3)]
        self.sentinels: list[EmbeddedServer] = []
        self._binary, self._sentinel_lines = binary, sentinel_lines
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            for server in self.servers:
                stack.enter_context(server)
            master = self.servers[0]
            for server in self.servers[1:]:
                self.client(server).replicaof("127.0.0.1", master.port)
            for server in self.servers[1:]:
                wait_until(lambda server=server: self._follows(server), "the replicas follow")  # type: ignore[misc]
            config = [
                f"sentinel monitor {SERVICE} 127.0.0.1 {master.port} 2",
                f"sentinel down-after-milliseconds {SERVICE} {DOWN_AFTER_MS}",
                f"sentinel failover-timeout {SERVICE} 5000",
            ]
            if self.password:
                config.append(f"sentinel auth-pass {SERVICE} {self.password}")
            text = "\n".join([*config, self._sentinel_lines, ""])
            self.sentinels = [EmbeddedServer(self._binary, config=text, extra_args=["--sentinel"]) for _ in range(3)]
            for sentinel in self.sentinels:
                stack.enter_context(sentinel)
            wait_until(self._complete, "all Sentinels know each other and the replicas")
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def url(self) -> str:
        """Where a client finds the master."""
        account = f":{self.password}@" if self.password else ""
        hosts = ",".join(f"127.0.0.1:{sentinel.port}" for sentinel in self.sentinels)
        return f"redis+sentinel://{account}{hosts}/{SERVICE}/0"

    def client(self, server: EmbeddedServer) -> redis.Redis:
        """Return a client of one of the processes, closed with the trio."""
        password = self.password if server in self.servers else None
        made: redis.Redis = redis.Redis(
            port=server.port, password=password or None, decode_responses=True, socket_timeout=5.0
        )
        self._stack.callback(made.close)
        return made

    def master(self, of: EmbeddedServer | None = None) -> EmbeddedServer:
        """Return the server that a Sentinel (the first that runs) names as the master."""
        for sentinel in [of] if of else self.sentinels:
            with suppress(redis.RedisError):
                _, port = self._ask(sentinel, "GET-MASTER-ADDR-BY-NAME")
                return next(server for server in self.servers if server.port == int(port))
        raise AssertionError("no Sentinel answers")

    def master_client(self) -> redis.Redis:
        """Return a client of the present master."""
        return self.client(self.master())

    def fail_over(self) -> EmbeddedServer:
        """Let Sentinels promote a replica, as an operator would; return the new master as soon as it is named."""
        before = self.master()
        wait_until(self._accepts_failover, "a Sentinel starts the failover")
        return self.wait_other_master(before)

    def wait_other_master(self, before: EmbeddedServer) -> EmbeddedServer:
        """Return the new master as soon as every Sentinel that runs names it."""

        def others() -> list[EmbeddedServer]:
            named = set()
            for sentinel in self.sentinels:
                with suppress(redis.RedisError):
                    named.add(self.master(sentinel))
            return [] if len(named) != 1 or before in named else list(named)

        return wait_until(others, "all Sentinels name another master")[0]

    def replicate(self) -> int:
        """Wait until the replicas that run have what the master has; return how many they are."""
        return int(self.master_client().wait(2, 10_000))

    def _accepts_failover(self) -> bool:
        for sentinel in self.sentinels:
            try:
                self.client(sentinel).execute_command("SENTINEL", "FAILOVER", SERVICE)
            except redis.ConnectionError:
                continue
            except redis.ResponseError:
                return False  # one is under way, or replicas are not known yet
            return True
        raise AssertionError("no Sentinel answers")

    def _follows(self, server: EmbeddedServer) -> bool:
        info: Any = self.client(server).info("replication")
        return bool(info.get("master_link_status") == "up")

    def _complete(self) -> bool:
        for sentinel in self.sentinels:
            flat = self._ask(sentinel, "MASTER")
            state = flat if isinstance(flat, dict) else dict(zip(flat[::2], flat[1::2], strict=False))
            if int(state["num-slaves"]) != 2 or int(state["num-other-sentinels"]) != 2:
                return False
        return True

    def _ask(self, sentinel: EmbeddedServer, what: str) -> Any:
        return self.client(sentinel).execute_command("SENTINEL", what, SERVICE)
