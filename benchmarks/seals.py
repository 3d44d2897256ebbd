"""What signatures and encryption cost: CPU time of a task in all of its processes together, without the server.

    uv run python benchmarks/seals.py [--tasks 2000] [--rounds 15]

It prints a table in Markdown. A task is: its call encoded, decoded and run by a worker, its result encoded, decoded by
a reader. Each cell is the least of several rounds, in turns, because everything else only adds to it.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any, Final

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from streamtasks import Message, StreamTasks
from streamtasks.protocol.state import Snapshot, State
from streamtasks.stores.types import Claimed
from streamtasks_workers.executor.runner import Runner

SECRET: Final = "a secret that is only good for measuring"
WAYS: Final[dict[str, dict[str, Any]]] = {
    "plain": {},
    "signed": {"signing_keys": (SECRET,), "require_signed": True},
    "encrypted": {"encryption_keys": (SECRET,), "require_signed": True},
}
SIZES: Final = (20, 200, 4_000, 100_000)
"""Characters in the one argument, which comes back as the result."""

ID: Final = "01890000000000000000000000000000-u0"


class Way:
    """One app with tasks of its own settings."""

    def __init__(self, settings: dict[str, Any]) -> None:
        app = StreamTasks(**settings)
        app.task(name="echo")(lambda value: value)
        self.settings = app.settings
        self.runner = Runner(app, "w")

    def task(self, text: str) -> int:
        """Do all that a task takes; return how many bytes are stored of its call and its result."""
        wire = self.settings.wire
        envelope = Message(id=ID, task="echo", args=[text]).encode(1 << 30, wire)
        held = Claimed(ID, "w#1", "0:default", "1-0", 1, 0, 0, b"1 " + envelope)
        outcome = self.runner.run(self.runner.prepare(held, 1, lambda _: None))
        found = Snapshot(ID, State.SUCCESS, envelope, 0, result=outcome.result, wire=wire).outcome()
        assert found["r"] == text
        return len(envelope) + len(outcome.result)


def measure(tasks: int, rounds: int) -> dict[tuple[str, int], tuple[float, int]]:
    """Return us and bytes of a task by way and size."""
    ways = {name: Way(settings) for name, settings in WAYS.items()}
    found: dict[tuple[str, int], tuple[float, int]] = {}
    for _ in range(rounds):
        for size in SIZES:
            text = "x" * size
            count = max(20, min(tasks, tasks * 1000 // size))
            for name, way in ways.items():
                began = time.process_time_ns()
                for _ in range(count):
                    stored = way.task(text)
                spent_us = (time.process_time_ns() - began) / count / 1000
                found[name, size] = (min(spent_us, found.get((name, size), (spent_us, 0))[0]), stored)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    found = measure(options.tasks, options.rounds)
    print("| characters in the argument | plain, us | signed: us more | encrypted: us more | bytes more, of each |")
    print("|---|---|---|---|---|")
    for size in SIZES:
        plain, stored = found["plain", size]
        signed, encrypted = found["signed", size], found["encrypted", size]
        more = f"{signed[1] - stored} / {encrypted[1] - stored}"
        print(f"| {size:,} | {plain:.1f} | {signed[0] - plain:.1f} | {encrypted[0] - plain:.1f} | {more} |")


if __name__ == "__main__":
    main()
