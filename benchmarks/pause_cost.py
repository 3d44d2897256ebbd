"""Measure what the check for pauses costs who never pauses: server time of a message, before it and now, in turns.

Each round enqueues, claims and settles messages one by one on an empty queue, the worst case: every message makes its
stream ready, which is when pauses are looked at. The commit before pauses is unpacked from git.

    uv run python benchmarks/pause_cost.py [--before 71a5adb] [--messages 20000] [--rounds 5]
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import redis

_MEASURE = "--measure"


def measure(url: str, count: int) -> float:
    """Return us of server time for a message."""
    from streamtasks import StreamTasks
    from streamtasks.stores.types import ClaimRequest, Filter, Outcome

    client = redis.Redis.from_url(url)
    client.flushall()
    app = StreamTasks(url)
    task = app.task(name="t")(lambda: None)
    channel = app.store.channel("u0", "benchmark", Filter())

    def cpu_s() -> float:
        info: Any = client.info("cpu")
        return float(info["used_cpu_user_main_thread"]) + float(info["used_cpu_sys_main_thread"])

    def cycle(sequence: int) -> None:
        task.enqueue()
        channel.send([], ClaimRequest(sequence, 1, alone=True))
        [claimed] = channel.receive().claimed
        channel.send([Outcome.of(claimed, "SUCCESS", claimed.first_started_ms, b'{"r":null}', keep_ms=900_000)], None)
        channel.receive()

    for sequence in range(1, 501):
        cycle(sequence)
    before = cpu_s()
    for sequence in range(501, 501 + count):
        cycle(sequence)
    return (cpu_s() - before) / count * 1_000_000


def _in(folder: Path, url: str, count: int) -> float:
    path = os.pathsep.join([str(folder), str(folder / "lua")])
    words = [sys.executable, __file__, _MEASURE, url, "--messages", str(count)]
    done = subprocess.run(words, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, check=True)
    return float(done.stdout)


def main() -> None:
    """Measure both in turns, and print each round and the medians."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--before", default="71a5adb", help="the commit to compare with")
    parser.add_argument("--messages", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(_MEASURE, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.measure:
        print(measure(given.measure, given.messages))
        return
    from streamtasks_workers.testing.embedded import EmbeddedServer

    now = Path(__file__).resolve().parent.parent
    with tempfile.TemporaryDirectory() as unpacked, EmbeddedServer() as server:
        archive = subprocess.run(
            ["git", "archive", given.before, "streamtasks", "lua"], cwd=now, capture_output=True, check=True
        ).stdout
        subprocess.run(["tar", "-x", "-C", unpacked], input=archive, check=True)
        found: dict[str, list[float]] = {"before": [], "now": []}
        for _ in range(given.rounds):
            for name, folder in (("before", Path(unpacked)), ("now", now)):
                found[name].append(_in(folder, server.url, given.messages))
                print(f"{name:6} {found[name][-1]:6.2f} us of server time a message", flush=True)
    before, after = (statistics.median(found[name]) for name in ("before", "now"))
    print(f"medians: {before:.2f} us before, {after:.2f} us now, {after / before:.3f} x")


if __name__ == "__main__":
    main()
