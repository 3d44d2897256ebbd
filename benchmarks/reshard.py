"""Move the busiest slot of a Cluster while it is full and at work, and measure who waits, for how long.

    uv run python benchmarks/reshard.py [--tasks 1000000] [--shards 16,64] [--server redis-server] [--replicas]

For each number of shards: three masters, a worker with two children that runs tasks of 5 ms, a producer for a shard
that moves and for two that do not; then the fullest slot is moved key by key, as ``redis-cli --cluster reshard``
does, and moved back by the servers themselves where they can (Valkey 9). Printed are: how many tasks the slot has; how
long calls for it are refused; the longest wait of any client of the source, the target and a third server (what the
machine itself takes away); of producers of other shards and of this one; the longest pause of a child.

``--costs`` measures instead what shards cost: commands and processor time of an idle worker, and the drain of no-ops.
"""

from __future__ import annotations

import argparse
import itertools
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

sys.path.insert(0, str(Path(__file__).parent.parent))

from redis.crc import key_slot
from slot_move import Masters, Moved, waits

from streamtasks_workers.testing.embedded import BINARY_VARIABLE
from tests.support.appended_file import whole_lines
from tests.support.servers import REDIS_VARIABLE, SLOTS, Cluster

TASK_S = 0.005
ARGUMENT = "x" * 120
"""With it, an envelope has about 200 bytes."""


def spread_tags(count: int) -> tuple[str, ...]:
    """Return tags whose slots lie evenly over those of a Cluster."""
    step, letters = SLOTS // count, "abcdefghijklmnopqrstuvwxyz0123456789"
    nearest: dict[int, tuple[int, str]] = {}
    for name in map("".join, itertools.product(letters, repeat=2)):
        place, offset = divmod(key_slot(name.encode()), step)
        nearest[place] = min(nearest.get(place, (SLOTS, "")), (abs(offset - step // 2), name))
    return tuple(nearest[place][1] for place in range(count))


class Producer:
    """Enqueues on one shard again and again; notes the longest call, and what failed."""

    def __init__(self, store: Any, tag: str) -> None:
        self.longest_s, self.failed = 0.0, 0
        self._store, self._tag = store, tag
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        from bench_tasks import tick

        from streamtasks import StreamTasksError
        from streamtasks.protocol.message import Message
        from streamtasks.protocol.shards import new_id
        from streamtasks.stores.types import NewMessage

        while not self._stop.is_set():
            name = new_id((self._tag,))
            body = Message(id=name, task=tick.name, args=[os.devnull, 0.0]).encode(1 << 20)
            sent = time.perf_counter()
            try:
                self._store.enqueue([NewMessage(name, "default", -1, body)])
            except StreamTasksError:
                self.failed += 1
            self.longest_s = max(self.longest_s, time.perf_counter() - sent)
            time.sleep(0.005)


@contextmanager
def worker(children: int) -> Iterator[subprocess.Popen[bytes]]:
    """Run a worker."""
    command = [sys.executable, "-m", "streamtasks_workers", "--app", "bench_tasks:app", "--concurrency", str(children)]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parent)}
    process = subprocess.Popen([*command, "--log-level", "WARNING"], env=environment)
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()


def longest_pause_s(path: Path, since_ns: int, until_ns: int) -> float:
    """Return the longest time in which some child started nothing."""
    starts: dict[str, list[int]] = {}
    for line in whole_lines(path):
        pid, _, at = line.partition(" ")
        starts.setdefault(pid, []).append(int(at))
    longest = 0
    for times in starts.values():
        inside = [since_ns, *(at for at in times if since_ns < at < until_ns), until_ns]
        longest = max(longest, *(after - before for before, after in itertools.pairwise(inside)))
    return longest / 1e9


def measure_move(masters: Masters, urls: list[str], tags: tuple[str, ...], tasks: int, path: Path) -> None:
    """Fill the shards, move the fullest, print a line for each way."""
    from bench_tasks import app, tick

    from streamtasks.protocol.keys import Keys
    from streamtasks.stores.factory import open_store

    def client(tag: str) -> Any:
        return masters.clients[masters.holder(tag)]

    def keys(tag: str) -> Keys:
        return Keys(app.settings.key_prefix, tag)

    empty = masters.memory()
    for start in range(0, tasks, 5000):
        tick.enqueue_many([(str(path), TASK_S, ARGUMENT)] * min(5000, tasks - start))
    each = (masters.memory() - empty) / tasks
    print(f"{len(tags)} shards, {tasks:,} tasks, {each:.0f} bytes each")
    moving = max(tags, key=lambda tag: int(client(tag).hlen(keys(tag).messages)))
    at = masters.holder(moving)
    to, third = [place for place in range(3) if place != at]
    beside = [next(tag for tag in tags if tag != moving and masters.holder(tag) == place) for place in (at, to, third)]
    store = open_store(app.settings)
    with worker(2):
        while not path.exists() or len(path.read_bytes()) < 1000:
            time.sleep(0.05)
        ways: list[tuple[str, Callable[[str, int], Moved], int]] = [("MIGRATE", masters.move, to)]
        if masters.moves_atomically:
            ways.append(("atomic", masters.move_atomically, at))
        for way, move, goal in ways:
            source = masters.holder(moving)
            count = int(client(moving).hlen(keys(moving).messages))
            with (
                waits([urls[source], urls[goal], urls[third]]) as watched,
                Producer(store, moving) as own,
                Producer(store, beside[0]) as first,
                Producer(store, beside[1]) as second,
            ):
                time.sleep(1.0)
                own.longest_s = first.longest_s = second.longest_s = 0.0
                watched.reset()
                since_ns = time.monotonic_ns()
                moved = move(moving, goal)
                time.sleep(1.0)
                pause_s = longest_pause_s(path, since_ns, time.monotonic_ns())
                servers = watched.worst_ms()
            failed = own.failed + first.failed + second.failed
            print(
                f"  {way:>8}: {count:,} tasks; refused {moved.took_s:.2f} s; waits: source {servers[0]:.0f}, "
                f"target {servers[1]:.0f}, third {servers[2]:.0f} ms; producers: others "
                f"{1000 * max(first.longest_s, second.longest_s):.0f}, own {1000 * own.longest_s:.0f} ms, "
                f"{failed} failed; child {1000 * pause_s:.0f} ms {moved.error}",
                flush=True,
            )


def measure_costs(masters: Masters, tags: tuple[str, ...], tasks: int) -> None:
    """Measure an idle worker and the drain of no-ops."""
    from bench_tasks import app, noop, tick

    from streamtasks.protocol.keys import Keys

    def finished() -> int:
        totals = [Keys(app.settings.key_prefix, tag).totals for tag in tags]
        holders = places or [masters.holder(tag) for tag in tags]
        places[:] = holders
        return sum(
            int(masters.clients[place].hget(key, "SUCCESS") or 0) for place, key in zip(holders, totals, strict=True)
        )

    places: list[int] = []
    for start in range(0, tasks, 5000):
        noop.enqueue_many([()] * min(5000, tasks - start))
    with worker(2) as process:
        while not (first := finished()):
            time.sleep(0.01)
        begun, cpu = time.perf_counter(), masters.cpu_s()
        while (done := finished()) < tasks:
            time.sleep(0.05)
        spent = time.perf_counter() - begun
        drain = (done - first) / spent
        server_us = (masters.cpu_s() - cpu) / (done - first) * 1e6
        time.sleep(5)

        def over(seconds: float) -> str:
            calls, cpu, own, begun = masters.calls(), masters.cpu_s(), worker_cpu_s(process.pid), time.perf_counter()
            time.sleep(seconds)
            spent = time.perf_counter() - begun
            return (
                f"{(masters.calls() - calls) / spent:,.0f} commands/s, servers "
                f"{1000 * (masters.cpu_s() - cpu) / spent:.0f}, worker "
                f"{1000 * (worker_cpu_s(process.pid) - own) / spent:.0f} ms CPU/s"
            )

        idle = over(20)
        tick.enqueue_many([(os.devnull, 0.1)] * 400)
        time.sleep(1)
        print(
            f"{len(tags):>4} shards: drain {drain:,.0f}/s, server {server_us:.1f} us a task; idle: {idle}; "
            f"20 tasks/s: {over(15)}",
            flush=True,
        )


def worker_cpu_s(pid: int) -> float:
    """Return the processor time of a process and its living children, seconds."""
    total = 0.0
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            words = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(path.parent.name) == pid or int(words[1]) == pid:
            total += (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")
    return total


def main() -> None:
    """Run all; each layout in a process of its own, because an app is made once."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", type=int, default=1_000_000)
    parser.add_argument("--shards", default="16,64")
    parser.add_argument("--server", help="a server's program; default: the one of the tests, else the embedded one")
    parser.add_argument("--replicas", action="store_true")
    parser.add_argument("--costs", action="store_true")
    given = parser.parse_args()
    if binary := given.server or os.environ.get(REDIS_VARIABLE):
        os.environ[BINARY_VARIABLE] = binary
    for shards in given.shards.split(","):
        if os.fork() == 0:
            tags = spread_tags(int(shards))
            with Cluster(replicas=given.replicas) as cluster, tempfile.TemporaryDirectory() as directory:
                urls = [node.url for node in cluster.nodes]
                masters = Masters(urls)
                os.environ["STREAMTASKS_BENCHMARK_URL"] = urls[0].replace("redis:", "redis+cluster:").removesuffix("/0")
                os.environ["STREAMTASKS_BENCHMARK_TAGS"] = ",".join(tags)
                if given.costs:
                    measure_costs(masters, tags, given.tasks)
                else:
                    measure_move(masters, urls, tags, given.tasks, Path(directory) / "starts")
            os._exit(0)
        os.wait()


if __name__ == "__main__":
    main()
