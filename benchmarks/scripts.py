"""Measure how long enqueue, claim and settle occupy the server, for calls of 100 messages with bodies of several sizes.

The times come from the server's slow log, so clients do not count. Calls are cut at 512 KiB: with large messages they
carry fewer than 100.

    uv run python benchmarks/scripts.py [--rounds 100] [--sizes 200,1000,10000,100000] [--server redis-server]
"""

from __future__ import annotations

import argparse
from typing import Any

import redis

from streamtasks import StreamTasks
from streamtasks.stores.redis.scripts import script
from streamtasks.stores.redis.store import RedisStore
from streamtasks.stores.types import Claimed, ClaimRequest, Filter, Outcome

SCRIPTS = ("enqueue", "claim", "settle")
ENVELOPE_BYTES = 110
SHORT_US = 50
"""The slow log leaves out what takes less: it also notes the commands inside scripts, and that costs time."""


def rounds(url: str, size: int, count: int) -> dict[str, list[int]]:
    """Return the us of each script, call by call, for ``count`` rounds of 100 messages."""
    client = redis.Redis.from_url(url, protocol=2)
    client.flushall()
    client.config_set("slowlog-log-slower-than", SHORT_US)
    app = StreamTasks(url)

    @app.task
    def take(text: str) -> None:
        """Do nothing."""

    store = app.store
    assert isinstance(store, RedisStore)
    channel = store.channel(store.tags[0], "benchmark", Filter())
    took: dict[str, list[int]] = {name: [] for name in SCRIPTS}

    def note(name: str) -> None:
        entries: Any = client.slowlog_get(50)
        ours = f"EVALSHA {script(name).sha}".encode()
        took[name] += (entry["duration"] for entry in entries if entry["command"].startswith(ours))
        client.slowlog_reset()

    sequence = 0
    for _ in range(count):
        client.slowlog_reset()
        take.enqueue_many([("x" * max(0, size - ENVELOPE_BYTES),)] * 100)
        note("enqueue")
        while True:
            sequence += 1
            channel.send([], ClaimRequest(sequence, 100, alone=True))
            exchange = channel.receive()
            if not exchange.claimed:
                break
            note("claim")
            channel.send([_success(claimed, exchange.now_ms) for claimed in exchange.claimed], None)
            channel.receive()
            note("settle")
    channel.close()
    return took


def _success(c: Claimed, now_ms: int) -> Outcome:
    return Outcome(
        c.id, c.token, c.stream, c.entry, c.attempt, 0, now_ms, "SUCCESS", b'{"r":null}', "", 86_400_000, 0, c.body
    )


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--sizes", default="200,1000,10000,100000")
    parser.add_argument("--server", help="a redis-server or valkey-server binary; default: the embedded one")
    given = parser.parse_args()
    from streamtasks_workers.testing.embedded import EmbeddedServer

    with EmbeddedServer(binary=given.server) as server:
        for size in map(int, given.sizes.split(",")):
            for name, values in rounds(server.url, size, given.rounds).items():
                values.sort()
                at = [values[int(len(values) * share)] / 1000 for share in (0.5, 0.99)]
                print(
                    f"{size:7} bytes {name:8} {100 * given.rounds / len(values):5.1f} messages a call: "
                    f"p50 {at[0]:.2f} ms, p99 {at[1]:.2f}, max {values[-1] / 1000:.2f}"
                )


if __name__ == "__main__":
    main()
