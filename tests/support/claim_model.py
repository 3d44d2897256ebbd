"""A simulation of children that claim from the shards of several masters.

The choice of a child, the table and the keeper's look are the real code, on a clock that only the simulation moves;
servers, network and tasks are modelled. One event after the other, so a seed gives the same run.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable, Generator, Sequence
from types import SimpleNamespace, coroutine
from typing import Any, NamedTuple

import pytest

from streamtasks import StoreSettings
from streamtasks.protocol.shards import ALL_TAGS
from streamtasks.stores.types import Claimed, Exchange, Filter
from streamtasks_workers.executor import shard_choice
from streamtasks_workers.executor.shard_choice import ShardChoice
from streamtasks_workers.process import shard_table
from streamtasks_workers.process.board import Board
from streamtasks_workers.process.doorbell import Doorbell
from streamtasks_workers.process.options import WorkerOptions
from streamtasks_workers.process.ready import ready
from streamtasks_workers.process.shard_table import ShardTable
from streamtasks_workers.process.suspect_permit import SuspectPermit
from streamtasks_workers.roles import ready_watch
from streamtasks_workers.roles.base import ServedApp
from streamtasks_workers.roles.ready_watch import ReadyWatch
from tests.support.modelled_shard import NEVER, ModelledShard

MS = 1_000_000
"""A millisecond in ns."""

LINK_NS = 100_000
"""One way between a client and a server, ns."""

CLAIM_NS, MESSAGE_NS, LOOK_NS = 40_000, 15_000, 5_000
"""Time of a server for a claim, for each of its messages with their outcomes, and for a look at one shard, ns."""

BATCH_NS, MOST = 5 * MS, 100
"""A child claims so much work, ns, and so many messages at most."""

_CLAIMED = Claimed("m", "w#1", "0:default", "1-0", 1, 0, 0, b"1 {}")
_NOTHING = Exchange([], [], 1, False, False, False, False)


class Claim(NamedTuple):
    """A claim that took something: when it was decided and carried out (ns), by which child, and what it got."""

    decided_ns: int
    done_ns: int
    child: int
    shard: int
    priorities: list[int]
    waited_ns: list[int]


@coroutine
def _asked(tags: Sequence[str]) -> Generator[Sequence[str], dict[str, int | None], dict[str, int | None]]:
    """Wait for what the simulation sends of these shards."""
    return (yield tags)


class _Store:
    async def ready(self, queues: Filter, tags: Sequence[str]) -> dict[str, int | None]:
        return await _asked(tags)


class Simulation:
    """Masters with shards, workers with children, and what happens to them.

    Args:
        patch: puts the clock in its place.
        masters: how many.
        shards: how many, over all masters as their slots lie: those side by side on the same.
        workers: how many.
        children: of each worker.
        task_ns: how long a task runs.
        seed: of all chance.
    """

    def __init__(
        self,
        patch: pytest.MonkeyPatch,
        *,
        masters: int,
        shards: int,
        workers: int,
        children: int,
        task_ns: int,
        seed: int,
    ) -> None:
        self.now_ns = 1_000 * MS
        clock = SimpleNamespace(monotonic_ns=lambda: self.now_ns, monotonic=lambda: self.now_ns / 1e9)
        patch.setattr(shard_choice, "time", clock)
        patch.setattr(ready_watch, "time", clock)
        patch.setattr(shard_table, "monotonic_ns", clock.monotonic_ns)
        self.random = random.Random(seed)
        self.shards = [ModelledShard() for _ in range(shards)]
        self.master_of = [shard * masters // shards for shard in range(shards)]
        self.busy_ns = [0] * masters  # of each master, all in all
        self._free_at = [0] * masters
        self.claims: list[Claim] = []
        self.pushes = self.looks = self.empty_claims = 0
        self._events: list[tuple[int, int, Callable[[], None]]] = []
        self._number = 0
        self.task_ns = task_ns
        self.workers = [_Worker(self, shards, children, number) for number in range(workers)]

    def order(self, shards: int) -> list[int]:
        """Return the order of shards of one child."""
        return self.random.sample(range(shards), shards)

    def at(self, when_ns: int, call: Callable[[], None]) -> None:
        """Call something at a time."""
        self._number += 1
        heapq.heappush(self._events, (when_ns, self._number, call))

    def after(self, delay_ns: int, call: Callable[[], None]) -> None:
        """Call something after a time."""
        self.at(self.now_ns + delay_ns, call)

    def run(self, for_ns: int) -> None:
        """Let time pass."""
        end_ns = self.now_ns + for_ns
        while self._events and self._events[0][0] <= end_ns:
            self.now_ns, _, call = heapq.heappop(self._events)
            call()
        self.now_ns = end_ns

    def serve(self, shard: int, spent_ns: int) -> int:
        """Occupy the master of a shard, from now on or after what it has to do first; return how long that takes."""
        master = self.master_of[shard]
        begun = max(self.now_ns, self._free_at[master])
        self._free_at[master] = begun + spent_ns
        self.busy_ns[master] += spent_ns
        return begun + spent_ns - self.now_ns

    def enqueue(self, shard: int, priority: int = 0) -> None:
        """Enqueue a message."""
        if self.shards[shard].add(self.now_ns, priority):
            self.wake(shard)

    def wake(self, shard: int) -> None:
        """Do as wake.lua for children that listen."""
        if self.shards[shard].marks != 2:
            return
        self.shards[shard].marks = 3
        for worker in self.workers:
            self.pushes += 1
            self.after(LINK_NS, lambda worker=worker: worker.heard(shard))  # type: ignore[misc]


class _Worker:
    """A keeper and its children."""

    def __init__(self, simulation: Simulation, shards: int, children: int, number: int) -> None:
        self._simulation = simulation
        self.tags = tuple(f"{ALL_TAGS[0]}{place}" for place in range(shards))
        self._table = ShardTable(shards)
        self.children = [_Child(simulation, self.tags, self._table, place, number) for place in range(children)]
        boards: dict[int, Any] = {child.number: SimpleNamespace(board=child.board) for child in self.children}
        store: Any = _Store()
        settings = StoreSettings(tags=self.tags)
        self._role: Any = ReadyWatch(
            ServedApp("shop", settings, store, WorkerOptions(), children=boards, table=self._table)
        )
        self._runs = False
        self._next = 0
        simulation.at(simulation.now_ns + number * 7 * MS, self._run)

    def heard(self, shard: int) -> None:
        """Take in a wake."""
        self._role.heard(self.tags[shard], "wake")
        self._ring()
        if not self._runs:
            self._next += 1
            self._run()

    def _run(self) -> None:
        """Run the role once, and again when it says so."""
        simulation = self._simulation
        self._runs = True
        self._role._woken.clear()
        work = self._role.run_once()
        try:
            tags = work.send(None)
        except StopIteration as stop:
            self._sleep(stop.value)
            return
        simulation.looks += 1

        def asked() -> None:
            found: dict[str, int | None] = {}
            took = 0
            for tag in tags:
                place = self.tags.index(tag)
                shard = simulation.shards[place]
                took = max(took, simulation.serve(place, LOOK_NS))
                found[tag] = None if shard.best == NEVER else shard.best
                if shard.marks < 2 or found[tag] is None:
                    shard.marks = 2
            simulation.after(took + LINK_NS, lambda: answered(found))

        def answered(found: dict[str, int | None]) -> None:
            try:
                work.send(found)
            except StopIteration as stop:
                self._ring()
                self._sleep(stop.value)

        simulation.after(LINK_NS, asked)

    def _sleep(self, wait_s: float | None) -> None:
        self._runs = False
        if self._role._woken.is_set():
            wait_s = 0.0 if wait_s is None else min(wait_s, 0.001)
        self._next += 1
        turn = self._next
        wait_ns = max(MS // 10, int((self._role.interval_s if wait_s is None else wait_s) * 1e9))
        self._simulation.after(wait_ns, lambda: self._run() if turn == self._next and not self._runs else None)

    def _ring(self) -> None:
        """Let the children go on that the keeper has woken."""
        for child in self.children:
            child.look()


class _Child:
    """A child with the inline executor: it claims while the batch before runs, and long tasks one by one."""

    def __init__(
        self, simulation: Simulation, tags: tuple[str, ...], table: ShardTable, place: int, worker: int
    ) -> None:
        self._simulation = simulation
        self.number = place
        self.name = worker * 1000 + place
        self._bell = Doorbell()
        self.board = Board(place, 4, self._bell)
        self.choice = ShardChoice(tags, table, self._bell, SuspectPermit(), place, simulation.order(len(tags)))
        self._tags = tags
        self._most = max(1, min(MOST, BATCH_NS // simulation.task_ns))
        self._settles: list[tuple[int, int]] = []  # shard and number of outcomes to send
        self._sleeps = 0  # the number of the sleep it is in; 0: it is awake
        self._sleep_number = 0
        simulation.at(simulation.now_ns + self.name % 97 * MS // 50, lambda: self._turn(0, 0))

    def _turn(self, shard: int, in_hand: int) -> None:
        """Claim, and run what is in hand of a shard meanwhile."""
        simulation = self._simulation
        if in_hand and (self._most == 1 or (not self._settles and self.choice.knows_of_nothing())):
            self._settles.append((shard, in_hand))
            simulation.after(simulation.task_ns, lambda: self._turn(0, 0))
            return
        decided_ns = simulation.now_ns
        to, least = self._tags.index(self.choice.next_tag()), self.choice.least
        settles, self._settles = self._settles, []
        answer: list[tuple[Exchange, int]] = []
        ends_ns = simulation.now_ns + in_hand * simulation.task_ns

        def arrived() -> None:
            for place, count in settles:
                simulation.serve(place, count * MESSAGE_NS // 2)
            took_ns = simulation.serve(to, CLAIM_NS)
            target = simulation.shards[to]
            priorities, waited = target.take(simulation.now_ns, self._most, least)
            took_ns += simulation.serve(to, len(priorities) * MESSAGE_NS // 2)
            if target.marks != 2:
                target.marks = 2
            if priorities:
                simulation.claims.append(Claim(decided_ns, simulation.now_ns, self.name, to, priorities, waited))
                if target.best != NEVER:
                    simulation.wake(to)
            else:
                simulation.empty_claims += 1
            left = None if target.best == NEVER else target.best
            answer.append((_NOTHING._replace(claimed=[_CLAIMED] * len(priorities), left=left), len(priorities)))
            simulation.at(max(ends_ns, simulation.now_ns + took_ns + LINK_NS), received)

        def received() -> None:
            exchange, count = answer[0]
            self.choice.took(exchange)
            if in_hand:
                self._settles.append((shard, in_hand))
            if count or in_hand:
                self._turn(to, count)
            else:
                self._sleep()

        simulation.after(LINK_NS, arrived)

    def _sleep(self) -> None:
        self.choice.start_wait()
        self._sleep_number += 1
        number = self._sleeps = self._sleep_number
        if self._bell.is_waited_for:
            left_ns = int(self.choice.wait_left_s() * 1e9) + 1
            self._simulation.after(left_ns, lambda: self._wake() if self._sleeps == number else None)
        else:
            self.look()

    def look(self) -> None:
        """Go on if it was rung for."""
        if self._sleeps and not self._bell.is_waited_for:
            assert ready([self._bell.fd], 0)
            self._wake()

    def _wake(self) -> None:
        self._sleeps = 0
        self.choice.finish_wait()
        self._simulation.after(20_000, lambda: self._turn(0, 0))
