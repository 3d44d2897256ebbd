"""Measure bulk operations: dead letters are planned and replayed by filter by a worker that drains a queue meanwhile.

Prints how long the plan and its application took, what the drain beside it did, and the longest call of a script that
the server's slow log has seen. With ``--check`` it fails if more than 10 s went by, or a call took longer than 5 ms.

    uv run python benchmarks/bulk.py [--letters 100000] [--drain 200000] [--check]
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import redis

from streamtasks import StreamTasks
from streamtasks.operations import bulk
from streamtasks.operations.filters import TaskFilter
from streamtasks.stores.bulk_types import BulkState
from streamtasks.stores.types import ClaimRequest, Filter, Outcome
from streamtasks_workers.testing.embedded import EmbeddedServer

APP = """
import os
from streamtasks import StreamTasks
app = StreamTasks(os.environ["BULK_URL"], max_dead_letters=1_000_000)

@app.task(name="pack", queue="letters")
def pack(number, gift): ...

@app.task(name="noop")
def noop(): ...
"""


def make_letters(app: StreamTasks, count: int) -> None:
    """Let so many tasks of a filter, and a tenth more of others, become dead letters."""
    pack = app.task(name="pack", queue="letters")(print)
    channel = app.store.channel("u0", "benchmark", Filter())
    sequence = made = 0
    wanted = count + count // 10
    while made < wanted:
        some = min(1000, wanted - made)
        pack.enqueue_many([{"number": number, "gift": number < count} for number in range(made, made + some)])
        made += some
        while True:
            sequence += 1
            channel.send([], ClaimRequest(sequence, 100, alone=True))
            held = channel.receive().claimed
            if not held:
                break
            channel.send([Outcome.of(one, "DEAD", 1, b"{}", "crashed", keep_ms=900_000) for one in held], None)
            channel.receive()
    channel.close()


def wait(app: StreamTasks, bulk_id: str) -> bulk.Bulk:
    """Wait until a bulk operation is finished."""
    while (found := bulk.find(app.owner, bulk_id)).state is BulkState.APPLYING:
        time.sleep(0.05)
    return found


def finished(client: redis.Redis) -> int:
    """Return how many tasks have succeeded."""
    raw: Any = client.hget("streamtasks:{u0}:totals", "SUCCESS")
    return int(raw or 0)


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--letters", type=int, default=100_000)
    parser.add_argument("--drain", type=int, default=200_000)
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    with EmbeddedServer() as server, tempfile.TemporaryDirectory() as folder:
        Path(folder, "bulk_app.py").write_text(APP)
        client = redis.Redis.from_url(server.url)
        app = StreamTasks(server.url, max_dead_letters=1_000_000, timeout_s=60.0)
        print(f"making {options.letters} dead letters", flush=True)
        make_letters(app, options.letters)
        app.store.pause("letters", "benchmark", "")  # what is replayed waits, and does not compete with the drain
        noop = app.task(name="noop")(print)
        for start in range(0, options.drain, 1000):
            noop.enqueue_many([()] * min(1000, options.drain - start))
        client.config_set("slowlog-log-slower-than", 1000)
        client.config_set("slowlog-max-len", 10_000)
        client.slowlog_reset()
        environment = {**os.environ, "BULK_URL": server.url, "PYTHONPATH": folder}
        words = [sys.executable, "-m", "streamtasks_workers", "--app", "bulk_app:app", "--concurrency", "1"]
        with subprocess.Popen(words, env=environment, cwd=folder, stderr=Path(folder, "log").open("wb")) as worker:
            try:
                while finished(client) < 1000:
                    if worker.poll() is not None:
                        sys.exit(f"the worker has ended: {Path(folder, 'log').read_text()}")
                    time.sleep(0.05)
                alone = rate(client, 2.0)
                begun = time.monotonic()
                where = TaskFilter(task="pack", args={"gift": True})
                planned = bulk.plan(app.owner, "replay", where, actor="benchmark", reason="figure")
                plan_s = time.monotonic() - begun
                first = finished(client)
                bulk.apply(app.owner, planned.id, actor="benchmark", reason="figure")
                done = wait(app, planned.id)
                took_s = time.monotonic() - begun
                beside = (finished(client) - first) / (took_s - plan_s)
            finally:
                worker.terminate()
        slow: Any = client.slowlog_get(10_000)
        longest_ms = max((one["duration"] / 1000 for one in slow), default=0.0)
        print(f"counts: {done.counts}")
        print(f"plan {plan_s:.2f} s, applied {took_s - plan_s:.2f} s, together {took_s:.2f} s")
        print(
            f"drain alone {alone:.0f}/s, beside it {beside:.0f}/s; longest call {longest_ms:.1f} ms, {len(slow)} > 1 ms"
        )
        if options.check:
            assert done.counts.applied == options.letters
            assert took_s <= 10, took_s
            assert longest_ms <= 5, longest_ms


def rate(client: redis.Redis, for_s: float) -> float:
    """Return how many tasks a second succeed."""
    first, begun = finished(client), time.monotonic()
    time.sleep(for_s)
    return (finished(client) - first) / (time.monotonic() - begun)


if __name__ == "__main__":
    main()
