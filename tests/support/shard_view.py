"""One shard of a real server: read its keys, and set up situations in it."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

from streamtasks import StoreSettings
from streamtasks.protocol.keys import Keys, stream_name
from tests.support.server_dump import dump, entries_of, text

MANY_DEAD = 1000
REVOKED_MS = 950_000
SETTINGS = StoreSettings(failure_expires_s=REVOKED_MS / 1000, max_dead_letters=MANY_DEAD)


class Record(NamedTuple):
    """The record of a finished message. ``times``: finished, first started, started."""

    state: str
    token: str
    times: tuple[int, int, int]
    attempt: int
    body: bytes
    result: bytes
    reports: list[dict[str, Any]]


@dataclass
class ShardView:
    """One shard. ``client`` does not decode replies."""

    client: Any
    tag: str = "u0"
    prefix: str = "t:"
    settings: StoreSettings = SETTINGS

    def __post_init__(self) -> None:
        self.keys = Keys(self.prefix, self.tag)
        self.now = 0

    # -- seeing --------------------------------------------------------------------------------------

    def dump(self) -> dict[str, Any]:
        return dump(self.client, f"{self.prefix}{{{self.tag}}}:")

    def entry(self, task_id: str, queue: str = "default", priority: int = 0) -> str:
        """The id of the entry of a message in its stream."""
        rows = entries_of(self.client, self.stream(queue, priority))
        found = [entry for entry, fields in rows if fields == {"id": task_id}]
        assert len(found) == 1, f"{task_id} has {len(found)} entries"
        return found[0]

    def stream(self, queue: str = "default", priority: int = 0) -> str:
        """The key of a stream."""
        return self.keys.stream(stream_name(queue, priority))

    def line(self, task_id: str) -> str | None:
        """The state line of a message."""
        found: str | None = text(self.client.hget(self.keys.state, task_id))
        return found

    def token_in(self, key: str) -> bool:
        """Whether a wake list holds its token; never more than one."""
        tokens = self.client.lrange(key, 0, -1)
        assert tokens in ([], [b"1"])
        return bool(tokens)

    def take_tokens(self) -> None:
        """Empty every wake list, as children that were woken do."""
        rung = [key for key in self.client.keys("*") if b"}:wake" in key]
        if rung:
            self.client.delete(*rung)

    def history(self, task_id: str) -> list[dict[str, Any]]:
        """Reports of a message's earlier attempts; every line must be JSON."""
        lines = self.client.hget(self.keys.history, task_id)
        if lines is None:
            return []
        assert lines.endswith(b"\n")
        return [json.loads(line) for line in lines.splitlines()]

    def record(self, task_id: str) -> Record:
        """The record of a finished message."""
        head, _, rest = self.client.get(self.keys.record(task_id)).partition(b"\n")
        version, finished, state, token, first, started, attempt, body, result = head.decode().split(" ")
        assert version == "1"
        body_end, result_end = int(body), int(body) + int(result)
        reports = [json.loads(line) for line in rest[result_end:].splitlines()]
        times = (int(finished), int(first), int(started))
        return Record(state, token, times, int(attempt), rest[:body_end], rest[body_end:result_end], reports)

    def totals(self) -> dict[str, int]:
        """The counts of all time, without the time that attempts took."""
        return {text(k): int(v) for k, v in self.client.hgetall(self.keys.totals).items() if k != b"ms"}

    def server_ms(self) -> int:
        seconds, micros = self.client.time()
        return int(seconds) * 1000 + int(micros) // 1000

    def hour(self) -> int:
        """The hour in which the server will be for at least another second."""
        while self.server_ms() % 3_600_000 > 3_599_000:
            time.sleep(0.05)
        return self.server_ms() // 3_600_000

    # -- making situations ---------------------------------------------------------------------------

    def expire_leases(self, *tokens: str) -> None:
        """End the leases of these claims, while workers keep beating."""
        for place, token in enumerate(tokens):
            assert self.client.zadd(self.keys.leases, {token: 1 + place}, xx=True, ch=True) == 1
        self.client.set(self.keys.beat, f"{self.server_ms()} 0")

    def make_due(self, *ids: str) -> None:
        """Make delayed messages due, in this order."""
        for place, task_id in enumerate(ids):
            assert self.client.zadd(self.keys.delayed, {task_id: 1 + place}, xx=True, ch=True) == 1

    def listen(self, channel: str) -> Listener:
        return Listener(self.client, channel)


class Listener:
    """Listens to one sharded channel; a context manager."""

    def __init__(self, client: Any, channel: str) -> None:
        self._connection = client.connection_pool.make_connection()
        self._channel = channel

    def __enter__(self) -> Self:
        self._connection.connect()
        self._connection.send_command("SSUBSCRIBE", self._channel)
        self._connection.read_response()
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.disconnect()

    def heard(self) -> list[str]:
        """The messages since the last call, without records."""
        return [text.partition(" \n")[0] for text in self.texts()]

    def texts(self) -> list[str]:
        """The messages since the last call: all of them, because the server answers in order."""
        self._connection.send_command("PING", check_health=False)
        told: list[str] = []
        while True:
            reply = self._connection.read_response(push_request=True)
            if reply in (b"PONG", [b"pong", b""]):
                return told
            assert reply[0] == b"smessage"
            told.append(reply[2].decode())
