"""Measure where a server's time for a task goes: enqueue, claim and settle, each command inside them, and the rest.

Real scripts get real payloads, by calls of 1, 16 and 64 messages: all are enqueued, then all claimed, then all settled,
and the server's own statistics are read between (``INFO commandstats``, ``INFO cpu``). Per message, in us:

- a command's own time, and how often it is called;
- *Lua and calls*: of the script beside its commands, which is what runs in Lua and the way from there to a command;
- *network*: of the server's processor time beside the scripts: reading, parsing, writing.

With ``--checkout`` other checkouts take turns with this one in the same run. Shown is the least of the rounds, because
what else the machine does only adds; quick commands are timed in whole us by the server, so sums of thousands count.

    uv run python benchmarks/script_profile.py [--tasks 6400] [--rounds 5] [--bytes 200] [--server redis-server]
        [--checkout ../before]
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import redis

HERE = Path(__file__).resolve().parent
CALLS = (1, 16, 64)
PHASES = ("enqueue", "claim", "settle")
KEEP_MS = 86_400_000
OWN = ("config|resetstat", "info", "evalsha", "script|load", "hello", "client|setinfo", "auth", "select")


class Clock:
    """The server's own statistics since the last look."""

    def __init__(self, client: redis.Redis) -> None:
        self._client = client
        self._us = 0.0

    def start(self) -> None:
        """Forget what was."""
        self._client.config_resetstat()
        self._us = self._cpu_us()

    def read(self, tasks: int) -> dict[str, float]:
        """Return us and calls of a task, by command; ``script``: of EVALSHA; ``server``: processor time of all."""
        used = self._cpu_us() - self._us
        found = {"server": used / tasks}
        stats: Any = self._client.info("commandstats")
        for name, of in stats.items():
            command = name.removeprefix("cmdstat_")
            if command == "evalsha":
                found["script"] = of["usec"] / tasks
            elif command not in OWN:
                found[command] = of["usec"] / tasks
                found[f"{command} calls"] = of["calls"] / tasks
        return found

    def _cpu_us(self) -> float:
        info: Any = self._client.info("cpu")
        return float(info["used_cpu_user_main_thread"] + info["used_cpu_sys_main_thread"]) * 1e6


def turn(url: str, tasks: int, size: int) -> dict[str, dict[str, float]]:
    """Return what one turn measures, by ``"<phase> <messages a call>"``."""
    from streamtasks import StreamTasks
    from streamtasks.protocol.message import Message
    from streamtasks.protocol.shards import new_id
    from streamtasks.stores.redis.store import RedisStore
    from streamtasks.stores.types import ClaimRequest, Filter, NewMessage, Outcome

    client = redis.Redis.from_url(url, protocol=2)
    clock = Clock(client)
    found: dict[str, dict[str, float]] = {}
    for each in CALLS:
        client.execute_command("FLUSHALL", "SYNC")
        app = StreamTasks(url)
        store = app.store
        assert isinstance(store, RedisStore)
        ids = [new_id(store.tags) for _ in range(tasks)]
        news = [
            NewMessage(one, "default", 0, Message(id=one, task="shop.tasks.send", args=["x" * size]).encode(10**6))
            for one in ids
        ]
        store.enqueue(news[:1])  # loads the script, makes the stream
        channel = store.channel(store.tags[0], "worker-1f3a-1", Filter())
        channel.send([], ClaimRequest(1, 1, alone=True))
        first = channel.receive().claimed
        first += channel.receive().claimed if not first else []
        channel.send([Outcome.of(one, "SUCCESS", 1, result=b'{"r":null}', keep_ms=KEEP_MS) for one in first], None)
        channel.receive()

        clock.start()
        for at in range(1, tasks, each):
            store.enqueue(news[at : at + each])
        found[f"enqueue {each}"] = clock.read(tasks - 1)
        found[f"enqueue {each}"]["bytes queued"] = _bytes(client) / tasks
        held: list[Any] = []
        sequence, now_ms = 1, 0
        clock.start()
        while len(held) < tasks - 1:
            sequence += 1
            channel.send([], ClaimRequest(sequence, each, alone=True))
            exchange = channel.receive()
            held += exchange.claimed
            now_ms = exchange.now_ms
        found[f"claim {each}"] = clock.read(tasks - 1)
        clock.start()
        for at in range(0, len(held), each):
            outcomes = [
                Outcome.of(one, "SUCCESS", now_ms, result=b'{"r":null}', keep_ms=KEEP_MS)
                for one in held[at : at + each]
            ]
            channel.send(outcomes, None)
            channel.receive()
        found[f"settle {each}"] = clock.read(tasks - 1)
        found[f"settle {each}"]["bytes finished"] = _bytes(client) / tasks
        channel.close()
    return found


def _bytes(client: redis.Redis) -> float:
    info: Any = client.info("memory")
    return float(info["used_memory_dataset"])


def least(turns: list[dict[str, dict[str, float]]]) -> dict[str, dict[str, float]]:
    """Return the least of each figure."""
    return {
        what: {name: min(one[what].get(name, 0.0) for one in turns) for name in turns[0][what]} for what in turns[0]
    }


def table(rows: dict[str, dict[str, float]]) -> list[str]:
    """Return the lines of a Markdown table of one checkout."""
    lines = [
        "| us a message | " + " | ".join(f"{each} a call" for each in CALLS) + " |",
        "|---|" + "---|" * len(CALLS),
    ]

    def line(name: str, values: list[float]) -> None:
        lines.append(f"| {name} | " + " | ".join(f"{value:.2f}" for value in values) + " |")

    for phase in PHASES:
        of = [rows[f"{phase} {each}"] for each in CALLS]
        line(f"**{phase}: server** ", [one["server"] for one in of])
        line(f"{phase}: network", [one["server"] - one["script"] for one in of])
        commands = [
            name
            for name in sorted(of[0], key=lambda name: -of[0][name])
            if name not in ("server", "script") and not name.endswith(" calls") and not name.startswith("bytes")
        ]
        inside = [sum(one.get(name, 0.0) for name in commands) for one in of]
        line(f"{phase}: Lua and calls", [one["script"] - within for one, within in zip(of, inside, strict=True)])
        for name in commands:
            calls = "/".join(f"{one.get(f'{name} calls', 0.0):.2g}" for one in of)
            line(f"{phase}: {name.upper().replace('|', ' ')} ({calls} calls)", [one.get(name, 0.0) for one in of])
    line("**claim and settle: server**", [rows[f"claim {e}"]["server"] + rows[f"settle {e}"]["server"] for e in CALLS])
    line("bytes of a queued task", [rows[f"enqueue {e}"]["bytes queued"] for e in CALLS])
    line("bytes of a finished task", [rows[f"settle {e}"]["bytes finished"] for e in CALLS])
    return lines


def run_turn(checkout: Path, url: str, tasks: int, size: int) -> dict[str, dict[str, float]]:
    """Run one turn with the code of a checkout, in a process of its own."""
    roots = [checkout, checkout / "lua", checkout / "workers"]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, roots))}
    command = [sys.executable, str(HERE / Path(__file__).name), "--turn", url]
    done = subprocess.run(
        [*command, "--tasks", str(tasks), "--bytes", str(size)],
        check=False,
        env=environment,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise SystemExit(f"a turn with {checkout} has failed:\n{done.stderr}")
    found: dict[str, dict[str, float]] = json.loads(done.stdout)
    return found


def main() -> None:
    """Measure, and print a table for each checkout."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", type=int, default=6400)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--bytes", type=int, default=200)
    parser.add_argument("--server", help="a redis-server or valkey-server binary; default: the embedded one")
    parser.add_argument("--checkout", action="append", default=[], help="another checkout, which takes turns")
    parser.add_argument("--turn", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.turn:
        print(json.dumps(turn(given.turn, given.tasks, given.bytes)))
        return
    from streamtasks_workers.testing.embedded import EmbeddedServer

    checkouts = [Path(one).resolve() for one in given.checkout] + [HERE.parent]
    turns: dict[Path, list[Any]] = {checkout: [] for checkout in checkouts}
    with EmbeddedServer(binary=given.server) as server:
        for number in range(given.rounds):
            for checkout in checkouts if number % 2 == 0 else reversed(checkouts):
                turns[checkout].append(run_turn(checkout, server.url, given.tasks, given.bytes))
    for checkout, of in turns.items():
        print(f"\n{checkout.name}\n" if len(checkouts) > 1 else "")
        print("\n".join(table(least(of))))


if __name__ == "__main__":
    main()
