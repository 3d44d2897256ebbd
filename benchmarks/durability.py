"""Kill or replace a master under load at each durability level, and count what was acknowledged and is gone.

    uv run python benchmarks/durability.py [--kind redis] [--level replicated] [--load]

It prints a table in Markdown: how many were lost of how many, and the longest pause of a producer. Each cell has one
master, two replicas and three Sentinels of its own; a thread and an event loop enqueue all the time. With `--load` four
producers enqueue 20,000 tasks of 2 ms, which a worker with four children runs.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import redis

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from streamtasks import StreamTasks
from streamtasks.protocol.durability import AOF, LEVELS, Durability
from streamtasks_workers.testing.embedded import EmbeddedServer
from tests.support.failover_load import Load
from tests.support.fleet import Fleet
from tests.support.producers import Producers
from tests.support.sentinel_trio import SentinelTrio
from tests.support.servers import server_kinds
from tests.support.waiting import wait_until

STALL_S: Final = 0.8
"""Shorter than Sentinels take to call a server dead."""

ARGUMENT: Final = "x" * 4000
"""Large enough that what stalled replicas have not read does not fit into the buffers of their sockets."""

AFTER: Final = 200
"""How many more messages each producer enqueues after the fault."""


def kill(trio: SentinelTrio, old: EmbeddedServer) -> None:
    """The master's process dies; a replica is promoted, and it comes back as one."""
    old.kill()
    trio.wait_other_master(old)
    old.start()


def stall_and_kill(trio: SentinelTrio, old: EmbeddedServer) -> None:
    """The replicas stall, then the master's process dies."""
    replicas = [server for server in trio.servers if server is not old]
    for server in replicas:
        server.pause()
    time.sleep(STALL_S)
    old.kill()
    for server in replicas:
        server.resume()
    trio.wait_other_master(old)
    old.start()


def fail_over(trio: SentinelTrio, old: EmbeddedServer) -> None:  # noqa: ARG001
    """An operator has a replica promoted."""
    trio.fail_over()


def restart(trio: SentinelTrio, old: EmbeddedServer) -> None:  # noqa: ARG001
    """The master's process dies and is back before Sentinels call it dead, with its file if it has one."""
    old.kill()
    old.start()


FAULTS: Final[dict[str, tuple[Callable[[SentinelTrio, EmbeddedServer], None], bool]]] = {
    "kill -9 of the master, a replica is promoted": (kill, False),
    f"replicas stall for {STALL_S} s, then kill -9": (stall_and_kill, False),
    "planned `SENTINEL FAILOVER`": (fail_over, False),
    "kill -9, restarted at once, with its file (everysec)": (restart, True),
    "kill -9, restarted at once, without a file": (restart, False),
}
"""What happens, and whether the servers have files at every level."""

UNDER_LOAD: Final = ("kill -9 of the master, a replica is promoted", "planned `SENTINEL FAILOVER`")

TASKS: Final = 20_000


def has_replicas(client: redis.Redis) -> bool:
    """Whether both replicas follow a master again."""
    info: Any = client.info("replication")
    return bool(info["role"] == "master" and info["connected_slaves"] == 2)


def lost(kind: str, level: Durability, fault: str) -> str:
    """Return how many messages were lost of how many, and the longest pause of a producer."""
    happens, has_files = FAULTS[fault]
    if level == AOF and fault.endswith("without a file"):
        return "refused"
    arguments = ("--appendonly", "yes") if has_files or level == AOF else ()
    with SentinelTrio(kind, server_args=arguments) as trio:
        app = StreamTasks(trio.url, timeout_s=60.0, enqueue_timeout_s=60.0, durability=level, durability_timeout_s=3.0)
        app.task(name="nothing")(len)
        with Producers(app, "nothing", (ARGUMENT,), pause_s=0.001) as producers:
            producers.wait_for_more(20 if level == AOF else 1000)
            happens(trio, trio.master())
            client = trio.client(trio.master())
            wait_until(lambda: has_replicas(client), "it has both replicas again")
            producers.wait_for_more(5 if level == AOF else AFTER)
        acknowledged = [one.id for one in producers.all]
        gone = sum(one is None for one in app.store.read(acknowledged))
        return f"{gone} of {len(acknowledged):,}, {max(producers.longest_pauses_s):.1f} s"


def lost_under_load(kind: str, level: Durability, fault: str) -> str:
    """Return the same of a load that a worker carries, and how many executions it took."""
    happens, _ = FAULTS[fault]
    arguments = ("--appendonly", "yes") if level == AOF else ()
    with TemporaryDirectory() as directory, SentinelTrio(kind, server_args=arguments) as trio:
        fleet = Fleet(trio.url, Path(directory))
        try:
            with Load(fleet, level) as load:
                load.wait_for(TASKS // 4)
                happens(trio, trio.master())
                load.wait_for(TASKS)
                return str(load.end())
        finally:
            fleet.close()


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kind", default="valkey", choices=server_kinds(), help="of the servers")
    parser.add_argument("--level", action="append", choices=LEVELS, help="default: all that the servers have")
    parser.add_argument("--load", action="store_true", help="20,000 tasks that a worker runs, instead")
    options = parser.parse_args()
    levels = options.level or (LEVELS[:2] if options.load else LEVELS)
    measure, faults = (lost_under_load, UNDER_LOAD) if options.load else (lost, tuple(FAULTS))
    print("| fault |", " | ".join(f"`{level}`" for level in levels), "|")
    print("|---" * (len(levels) + 1) + "|")
    for fault in faults:
        print(f"| {fault} |", " | ".join(measure(options.kind, level, fault) for level in levels), "|", flush=True)


if __name__ == "__main__":
    main()
