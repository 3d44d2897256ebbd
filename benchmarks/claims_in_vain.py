"""Count the claims on a Cluster that find no message, with several workers beside each other.

    uv run python benchmarks/claims_in_vain.py [--workers 4] [--children 2] [--seconds 10]

Three masters, each with a replica, 64 shards. MONITOR on each master shows every claim, and whether it took something.
Printed are, while all workers are idle, at 100 short tasks a second, with half of the children busy, and with a backlog
of three priorities: claims with and without messages, and looks of the keepers, for each task and each second; and how
long such a claim and such a look keep a master busy.
"""

from __future__ import annotations

import argparse
import random
import re
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import redis

from streamtasks import StoreSettings, StreamTasks
from streamtasks.protocol.keys import Keys
from streamtasks.protocol.shards import ALL_TAGS, new_id
from streamtasks.stores.redis.operations.claim import claim_call, ready_call
from streamtasks.stores.redis.scripts import script
from streamtasks.stores.types import ClaimRequest, Filter
from tests.support.fleet import Fleet
from tests.support.servers import Cluster
from tests.support.waiting import wait_until

_LINE = re.compile(rb'^\+\S+ \[\d+ ([^\]]+)\] "([^"]+)" "([^"]*)"')

ROUNDS = 2_000
"""Of the measurement of one claim and one look."""


class Monitor:
    """Counts what one master is sent; a context manager."""

    def __init__(self, port: int, counts: Counter[str]) -> None:
        self._counts = counts
        self._connection = redis.Connection(port=port, socket_timeout=None)
        self._scripts = {script(name).sha.encode(): name for name in ("claim", "ready", "settle")}
        self._thread = threading.Thread(target=self._read, daemon=True)

    def __enter__(self) -> Self:
        self._connection.connect()
        self._connection.send_command("MONITOR")
        self._connection.read_response()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.disconnect()

    def _read(self) -> None:
        # What a script does follows its own line, and nothing comes in between.
        running = ""
        socket: Any = self._connection._sock
        try:
            with socket.makefile("rb") as lines:
                for line in lines:
                    found = _LINE.match(line)
                    if found is None:
                        continue
                    client, command, first = found.groups()
                    if client != b"lua":
                        running = self._scripts.get(first, "") if command == b"EVALSHA" else ""
                        self._counts[running] += 1
                    elif running == "claim" and command == b"SET" and b":claim:" in first:
                        self._counts["claimed"] += 1
        except (OSError, ValueError):
            return


def cost_us(cluster: Cluster, url: str) -> tuple[float, float]:
    """Return how long a claim and a look at an empty shard keep its master busy, us."""
    settings, queues = StoreSettings(url=url), Filter()
    tag = cluster.tags_at(cluster.nodes[0], ALL_TAGS)[0]
    keys, took = Keys(settings.key_prefix, tag), []
    with redis.Redis.from_url(cluster.nodes[0].url) as client:
        for name in ("claim", "ready"):
            client.script_load(script(name).source)
            calls: list[Any] = [
                claim_call(keys, "nobody-1", ClaimRequest(number, 1, True, tag, True, -100), queues, [], settings)
                if name == "claim"
                else ready_call(keys, queues)
                for number in range(1, ROUNDS + 1)
            ]
            client.config_resetstat()
            for call in calls:
                client.evalsha(call.script.sha, len(call.keys), *call.keys, *call.args)
            stats: Any = client.info("commandstats")
            took.append(float(stats["cmdstat_evalsha"]["usec_per_call"]))
        client.flushall()
    return took[0], took[1]


def measure(workers: int, children: int, seconds: float) -> None:
    """Measure all, and print it."""
    with TemporaryDirectory() as directory, Cluster(replicas=True) as cluster:
        url = cluster.url.replace("redis://", "redis+cluster://").removesuffix("/0")
        claim_us, look_us = cost_us(cluster, url)
        print(f"a claim in vain keeps a master busy for {claim_us:.1f} us, a look at a shard for {look_us:.1f} us")
        fleet = Fleet(url, Path(directory), {"timeout_s": 60.0, "enqueue_timeout_s": 60.0})
        counts: list[Counter[str]] = [Counter() for _ in cluster.nodes]
        monitors = [Monitor(node.port, own) for node, own in zip(cluster.nodes, counts, strict=True)]
        try:
            for _ in range(workers):
                fleet.start("--concurrency", str(children))
            fleet.enqueue("add", 1, 1).get(timeout=60)
            for monitor in monitors:
                monitor.__enter__()
            print(f"{workers} workers with {children} children, 64 shards, three masters with a replica each")

            def report(what: str, tasks: int, before: Counter[str], took_s: float) -> None:
                now: Counter[str] = sum(counts, Counter())
                now.subtract(before)
                vain = now["claim"] - now["claimed"]
                each = f"{vain / tasks:.2f} in vain and {now['ready'] / tasks:.2f} looks a task, " if tasks else ""
                busy = (vain * claim_us + now["ready"] * look_us) / took_s / len(cluster.nodes) / 1e4
                print(
                    f"  {what}: {tasks:,} tasks in {took_s:.1f} s, {now['claimed']:,} claims with messages; {each}"
                    f"{vain / took_s:,.0f} claims in vain and {now['ready'] / took_s:,.0f} looks a second: {busy:.2f} "
                    "% of each master's time",
                    flush=True,
                )

            def run(what: str, per_s: float, name: str, *args: Any) -> None:
                before, begun = sum(counts, Counter()), time.monotonic()
                tasks = 0
                while (passed := time.monotonic() - begun) < seconds:
                    if tasks < passed * per_s:
                        tasks += 1
                        fleet.app.tasks[name].apply_async(args, task_id=new_id(ALL_TAGS))
                    else:
                        time.sleep(0.001)
                wait_drained(fleet.app)
                report(what, tasks, before, time.monotonic() - begun)

            run("idle", 0.0, "add", 1, 1)
            run("100 tasks a second", 100.0, "add", 1, 1)
            busy_s = 0.05
            run("half of the children busy", workers * children / busy_s / 2, "nap", busy_s)
            before, begun = sum(counts, Counter()), time.monotonic()
            tasks = 0
            for _ in range(20):
                for priority in random.sample((-5, 0, 5), 3):
                    tasks += len(fleet.many("nap", [(0.005,)] * 100, priority=priority))
            wait_drained(fleet.app)
            report("a backlog of tasks of 5 ms", tasks, before, time.monotonic() - begun)
        finally:
            for monitor in monitors:
                monitor.__exit__()
            fleet.close()


def wait_drained(app: StreamTasks) -> None:
    """Wait until nothing is left to be done."""
    wait_until(lambda: app.store.statistics().unfinished == 0, "all is done", 120.0, 0.05)


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--children", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=10.0, help="of each measurement")
    given = parser.parse_args()
    measure(given.workers, given.children, given.seconds)


if __name__ == "__main__":
    main()
