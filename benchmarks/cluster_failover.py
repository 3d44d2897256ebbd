"""Kill a master of a Cluster, and see what producers with several deadlines are told.

    uv run python benchmarks/cluster_failover.py [--node-timeout 15]

Three masters, each with a replica, and a worker with two children. For each deadline (the default of
`enqueue_timeout`, and one and a half times `cluster-node-timeout` and five seconds) a thread and an event loop enqueue
all the time. Printed are: when the replica took over, for how long the shards of the killed master took nothing, and
for each deadline the calls that were refused, the longest call, and how many acknowledged tasks are gone.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from streamtasks import StreamTasks
from streamtasks.protocol.shards import ALL_TAGS
from tests.support.fleet import Fleet
from tests.support.producers import Producers
from tests.support.servers import Cluster, client_of
from tests.support.waiting import wait_until


def measure(node_timeout_s: float) -> None:
    """Measure with one `cluster-node-timeout`, and print it."""
    milliseconds = ("--cluster-node-timeout", str(round(node_timeout_s * 1000)))
    with TemporaryDirectory() as directory, Cluster(replicas=True, arguments=milliseconds) as cluster:
        url = cluster.url.replace("redis://", "redis+cluster://").removesuffix("/0")
        fleet = Fleet(url, Path(directory), {"timeout_s": 60.0})
        deadlines = {
            "default": StreamTasks(url),
            "raised": StreamTasks(url, enqueue_timeout_s=1.5 * node_timeout_s + 5.0),
        }
        for app in deadlines.values():
            app.task(name="add")(sum)
        producers = {name: Producers(app, "add", (1, 1)) for name, app in deadlines.items()}
        tags = set(cluster.tags_at(cluster.nodes[1], ALL_TAGS))
        try:
            fleet.start("--concurrency", "2")
            for some in producers.values():
                some.__enter__()
            for some in producers.values():
                some.wait_for_more(200)
            cluster.wait_replicated()
            cluster.nodes[1].kill()
            killed_at = time.monotonic()

            def is_there_again() -> float:
                every = itertools.chain.from_iterable(some.all for some in producers.values())
                its = [one.at for one in every if one.at > killed_at + 0.5 and one.id.rpartition("-")[2] in tags]
                return min(its, default=0.0)

            def has_taken_over() -> bool:
                with client_of(cluster.replicas[1].url) as client:
                    role: Any = client.info("replication")["role"]
                return bool(role == "master")

            wait_until(has_taken_over, "the replica has taken over", 120.0)
            taken_over_at = time.monotonic()
            there_at = wait_until(is_there_again, "its shards take messages again", 120.0)
            time.sleep(2.0)
        finally:
            for some in producers.values():
                some.__exit__()
        print(
            f"cluster-node-timeout {node_timeout_s:g} s: a replica took over after {taken_over_at - killed_at:.1f} s, "
            f"its shards took nothing for {there_at - killed_at:.1f} s"
        )
        for name, some in producers.items():
            deadline = deadlines[name].settings.enqueue_retry_s
            gone = sum(one is None for one in fleet.app.store.read([one.id for one in some.all]))
            print(
                f"  enqueue_timeout {deadline:g} s: {len(some.errors)} calls refused of "
                f"{len(some.all) + len(some.errors):,}, the longest {some.longest_call_s:.1f} s, {gone} lost",
                flush=True,
            )
            if some.errors:
                print(f"    {type(some.errors[0]).__name__}: {some.errors[0]}")
        fleet.close()


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--node-timeout", action="append", type=float, help="seconds; default: 15, that of the servers")
    for node_timeout_s in parser.parse_args().node_timeout or [15.0]:
        measure(node_timeout_s)


if __name__ == "__main__":
    main()
