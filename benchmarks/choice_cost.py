"""What it costs a child to choose the shard of its next claim: CPU time, without a server.

    uv run python benchmarks/choice_cost.py [--turns 2000] [--rounds 9]

It prints a table in Markdown. A turn is all that a child does for one claim: it asks whether something is known to be
ready, chooses the shard, and takes in the answer; the permit to run a suspect is measured apart. Each figure is the
least of several rounds, because everything else only adds to it. An app with one shard has no such choice.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from streamtasks.stores.types import Claimed, Exchange
from streamtasks_workers.executor.shard_choice import ShardChoice
from streamtasks_workers.process.doorbell import Doorbell
from streamtasks_workers.process.shard_table import ShardTable, priority_code
from streamtasks_workers.process.suspect_permit import SuspectPermit

SHARDS: Final = (3, 16, 64)
CLAIMED: Final = Claimed("m", "w#1", "0:default", "1-0", 1, 0, 0, b"1 {}")
LEAVES_MORE: Final = Exchange([], [CLAIMED], 1, False, False, False, False, left=0)
LEAVES_NOTHING: Final = LEAVES_MORE._replace(left=None)
CLAIMS_OF_A_LOOK: Final = 8
"""A child with a backlog claims every 5 ms, the keeper looks every 40."""

Turns = Callable[[ShardChoice | None, ShardTable, int], None]


def one_turn(choice: ShardChoice, answer: Exchange) -> None:
    """Do what a child does for one claim."""
    choice.knows_of_nothing()
    choice.next_tag()
    _ = choice.least
    choice.took(answer)


def backlog(choice: ShardChoice | None, table: ShardTable, turns: int) -> None:
    """Claim while something is ready on every shard."""
    code = priority_code(0)
    for turn in range(turns):
        if turn % CLAIMS_OF_A_LOOK == 0:
            now = time.monotonic_ns()
            for shard in range(table.shards):
                table.set_best(shard, code, now)
        if choice is not None:
            one_turn(choice, LEAVES_MORE)


def one_by_one(choice: ShardChoice | None, table: ShardTable, turns: int) -> None:
    """Claim one message after the other, each on a shard on which nothing was ready."""
    places = random.Random(1).choices(range(table.shards), k=turns)
    for place in places:
        table.set_rung(place)
        if choice is not None:
            one_turn(choice, LEAVES_NOTHING)


def nothing_new(choice: ShardChoice | None, _: ShardTable, turns: int) -> None:
    """Claim on one shard, while nothing changes on the others."""
    for _turn in range(turns):
        if choice is not None:
            one_turn(choice, LEAVES_MORE)


SITUATIONS: Final[dict[str, Turns]] = {
    "a backlog on every shard": backlog,
    "one message after the other": one_by_one,
    "nothing changes elsewhere": nothing_new,
}


def cpu_us(call: Callable[[], object], turns: int) -> float:
    """Return the CPU time of a call of so many turns, us a turn."""
    begun = time.process_time_ns()
    call()
    return (time.process_time_ns() - begun) / turns / 1e3


def measure(shards: int, situation: Turns, turns: int, rounds: int) -> float:
    """Return what the choice costs, us a claim."""
    table = ShardTable(shards)
    choice = ShardChoice([f"u{shard}" for shard in range(shards)], table, Doorbell(), SuspectPermit(), 0)
    with_choice = min(cpu_us(lambda: situation(choice, table, turns), turns) for _ in range(rounds))
    without = min(cpu_us(lambda: situation(None, table, turns), turns) for _ in range(rounds))
    return with_choice - without


def permit_us(turns: int, rounds: int) -> float:
    """Return what it costs to take the permit to run a suspect and to give it back, us."""
    permit = SuspectPermit()

    def take_and_give_back() -> None:
        for _ in range(turns):
            permit.take()
            permit.give_back()

    return min(cpu_us(take_and_give_back, turns) for _ in range(rounds))


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=2000, help="in a round")
    parser.add_argument("--rounds", type=int, default=9)
    given = parser.parse_args()
    print("| CPU time of a claim, us | " + " | ".join(f"{shards} shards" for shards in SHARDS) + " |")
    print("|---|" + "---|" * len(SHARDS))
    for name, situation in SITUATIONS.items():
        row = [measure(shards, situation, given.turns, given.rounds) for shards in SHARDS]
        print(f"| {name} | " + " | ".join(f"{cost:.1f}" for cost in row) + " |", flush=True)
    print(f"the permit to run a suspect: {permit_us(given.turns, given.rounds):.1f}")


if __name__ == "__main__":
    main()
