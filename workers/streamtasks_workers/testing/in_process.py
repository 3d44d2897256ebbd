"""Run tasks in this very process, from a store in its memory: for tests, and for development without a server.

Messages are claimed, run and settled as in a worker, by the same code, one at a time in strict order. What is
different from a worker:

* There is no other process: a task that kills its process kills the caller's, and no crash is counted.
* Time limits and `revoke` with ``terminate`` are raised in the task, as far as that can be done; see
  `in_process_limits`. Limits count real time, not that of the store's clock.
* Coroutine tasks run one after the other.
* Schedules that are due by the store's clock are fired; the clock is never moved to the next occurrence of one.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import time
from array import array
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Generator, Sequence
from functools import cached_property, partial
from typing import Any, Final, NamedTuple

from streamtasks.application import Application
from streamtasks.exceptions import ConfigurationError, DecodeError, NeverIdle
from streamtasks.protocol.callback_message import CALLBACK
from streamtasks.protocol.message import Message, split_body
from streamtasks.stores.factory import open_store
from streamtasks.stores.memory import AsyncMemoryStore, MemoryStore
from streamtasks.stores.series_types import NewSeries
from streamtasks.stores.types import Claimed, ClaimRequest, Exchange, Filter, Outcome

from ..executor.attempt_counts import count_end, count_start
from ..executor.limits import Limits
from ..executor.prepared import Prepared
from ..executor.runner import Runner
from ..process.counted import series_texts
from ..process.counters import Counters
from ..process.options import WorkerOptions
from ..roles import roles_of
from ..roles.base import DueRole, ServedApp
from ..roles.limiter import Limiter
from .in_process_limits import arun_limited, run_limited

__all__ = ["MOST_ATTEMPTS", "InProcessWorker", "Ran"]

MOST_ATTEMPTS: Final = 10_000
"""So many attempts may be run until nothing is left to run, unless the caller gives another number."""

ALL: Final = Filter()

COUNTS_NS: Final = 1_000_000_000
"""While tasks run without a pause, what was counted of them is sent so often, ns."""

_number = itertools.count(1)


class Ran(NamedTuple):
    """One attempt that was run: ``state`` is its outcome, ``"RETRY"`` if it will be run again."""

    id: str
    task: str
    attempt: int
    state: str


type _Steps = Generator[tuple[Runner, Prepared], Outcome, list[Ran]]
"""What is to be run is yielded, its outcome sent back: so plain and asynchronous callers share all else."""


class InProcessWorker:
    """Runs the tasks of apps whose stores are in memory, on the threads of those who call it.

    Args:
        *apps: what to run. Their ``url`` is a ``memory://`` one, the same for all: they share a clock.
        queues: which queues to serve.
        run_plain: how `arun_until_idle` runs a plain function; default: on another thread.
        run_coroutine: how `run_until_idle` runs a coroutine; default: on an event loop of its own.

    Raises:
        ConfigurationError: an app's tasks are not in memory, or not in the same.
    """

    def __init__(
        self,
        *apps: Application,
        queues: Filter = ALL,
        run_plain: Callable[[Callable[[], Outcome]], Awaitable[Outcome]] = asyncio.to_thread,
        run_coroutine: Callable[[Coroutine[Any, Any, Outcome]], Outcome] = asyncio.run,
    ) -> None:
        self._lanes = [_Lane(app, queues) for app in apps]
        servers = {id(lane.store.server): lane.store.server for lane in self._lanes}
        if len(servers) != 1:
            raise ConfigurationError("Give at least one app, and only such whose url names the same memory:// store.")
        self._server = self._lanes[0].store.server
        self.clock = self._server.clock
        self._run_plain = run_plain
        self._run_coroutine = run_coroutine

    def run_ready(self, most: int = MOST_ATTEMPTS, stop: Callable[[], bool] = lambda: False) -> list[Ran]:
        """Run what can be run now, and what that brings; end after ``most`` attempts, or when ``stop`` returns True."""
        return self._driven(self._ready(most, stop))

    def run_until_idle(self, *, most: int = MOST_ATTEMPTS) -> list[Ran]:
        """Run everything there is. The store's clock jumps to what is due later: delays, retries, rate limits.

        Args:
            most: attempts that may be run, all tasks together.

        Returns:
            Each attempt that was run, in order.

        Raises:
            NeverIdle: there is more to run after ``most`` attempts.
        """
        return self._driven(self._until_idle(most))

    async def arun_until_idle(self, *, most: int = MOST_ATTEMPTS) -> list[Ran]:
        """Run everything there is, from an event loop; see `run_until_idle`."""
        return await self._adriven(self._until_idle(most))

    def next_due_s(self) -> float | None:
        """Return for how long nothing becomes due, seconds by the store's clock; None: nothing will.

        The next occurrence of a schedule does not count: there is always another one.
        """
        waits = [lane.move_on() for lane in self._lanes]
        return min((wait_s for wait_s in waits if wait_s is not None), default=None)

    def next_wake_s(self) -> float | None:
        """Return for how long there is nothing to do at all, schedules included; see `next_due_s`."""
        due_s = self.next_due_s()
        waits = [due_s, *(lane.next_occurrence_s for lane in self._lanes)]
        return min((wait_s for wait_s in waits if wait_s is not None), default=None)

    def _until_idle(self, most: int) -> _Steps:
        ran: list[Ran] = []
        while True:
            ran += yield from self._ready(most - len(ran))
            wait_s = self.next_due_s()
            if late := (yield from self._ready(most - len(ran))):
                ran += late  # it became due a moment ago, and is ready now
                continue
            if len(ran) >= most and (wait_s is not None or any(lane.has_ready() for lane in self._lanes)):
                raise NeverIdle(_never_idle(ran, most))
            if wait_s is None:
                return ran
            self.clock.advance(wait_s)

    def _ready(self, most: int, stop: Callable[[], bool] = lambda: False) -> _Steps:
        ran: list[Ran] = []
        before = -1
        while before < len(ran):  # a task of one app may have enqueued one of another
            before = len(ran)
            for lane in self._lanes:
                while len(ran) < most and not stop():
                    one = yield from lane.run_one()
                    if not one:
                        break
                    ran += one
        for lane in self._lanes:
            lane.send_counts()
        return ran

    def _driven(self, steps: _Steps) -> list[Ran]:
        try:
            runner, prepared = next(steps)
            while True:
                if prepared.is_async:
                    outcome = self._run_coroutine(arun_limited(self._server, runner, prepared))
                else:
                    outcome = run_limited(self._server, runner, prepared)
                runner, prepared = steps.send(outcome)
        except StopIteration as stop:
            return _shown(stop.value)

    async def _adriven(self, steps: _Steps) -> list[Ran]:
        try:
            runner, prepared = next(steps)
            while True:
                if prepared.is_async:
                    outcome = await arun_limited(self._server, runner, prepared)
                else:
                    outcome = await self._run_plain(partial(run_limited, self._server, runner, prepared))
                runner, prepared = steps.send(outcome)
        except StopIteration as stop:
            return _shown(stop.value)


def _shown(ran: list[Ran]) -> list[Ran]:
    """Leave out messages of our own."""
    return [one for one in ran if one.task != CALLBACK]


class _Lane:
    """One app: what its worker's keeper and its only child do."""

    def __init__(self, app: Application, queues: Filter) -> None:
        store = open_store(app.settings)
        if not isinstance(store, MemoryStore):
            raise ConfigurationError(
                f"url is {app.settings.shown_url!r}; only tasks in memory (memory://) run in-process. For others "
                "start a streamtasks-worker."
            )
        self.store = store
        self._app = app
        self._queues = queues
        self._keeper = AsyncMemoryStore(app.settings, store.server)
        self._consumer = f"in-process-{os.getpid()}-{next(_number)}"
        self._sequence = 0
        options = WorkerOptions.merged(app.worker_defaults)
        self._options = options
        self._limits = Limits(options.soft_time_limit_s, options.time_limit_s)
        self._loaded_ms = store.server.clock.now_ms()
        self._counts_sent_ns = time.monotonic_ns()
        self._has_counts = False
        self.next_occurrence_s: float | None = None

    @cached_property
    def _counters(self) -> Counters:
        """What is counted for charts; made when something has run."""
        return Counters()

    @cached_property
    def _roles(self) -> list[DueRole]:
        """The roles of a keeper whose work comes at known times; made at first use, when the app has all its tasks."""
        app = self._app
        loaded_ms = memoryview(array("Q", [self._loaded_ms] * len(self.store.tags)))
        served = ServedApp.of(app, app.settings, self._keeper, self._options, app.declared_schedules(), loaded_ms)
        return [role for role in roles_of(served) if isinstance(role, DueRole)]

    def run_one(self) -> _Steps:
        """Run the next message that can run now; an empty list: there is none."""
        self.move_on()
        claimed_of = self._claim()
        if claimed_of is None:
            return []
        tag, claimed = claimed_of
        store = self.store
        runner = Runner(
            self._app,
            self._consumer,
            store.read,
            self._limits,
            store.gather,
            store.start_workflow,
            rewrite=store.rewrite,
        )  # in the context of who calls
        started_ns = time.monotonic_ns()
        runner.clock_offset_ns = self.store.server.clock.now_us() * 1000 - started_ns
        prepared = runner.prepare(claimed, started_ns, self._reporter(tag, claimed))
        outcome = prepared.outcome or (yield runner, prepared)
        self._exchange(tag, (outcome,), claim=False)
        self._count(prepared, outcome, time.monotonic_ns() - started_ns)
        return [Ran(claimed.id, self._task_of(claimed), claimed.attempt, outcome.state)]

    def _count(self, prepared: Prepared, outcome: Outcome, ran_ns: int) -> None:
        count_start(self._counters, 0, prepared)
        count_end(self._counters, 0, prepared, outcome, ran_ns)
        self._has_counts = True
        if time.monotonic_ns() - self._counts_sent_ns >= COUNTS_NS:
            self.send_counts()

    def send_counts(self) -> None:
        """Add what was counted to the series for charts, as a worker does each minute."""
        if not self._has_counts:
            return
        self._has_counts, self._counts_sent_ns = False, time.monotonic_ns()
        self._counters.flush()
        new = NewSeries(self._consumer, self._counts_sent_ns, 0, series_texts(self._counters.take()))
        _at_once(self._keeper.add_series(new))

    def move_on(self) -> float | None:
        """Do what a worker's keeper does; return when there is more to do, schedules left out, seconds."""
        waits_s: dict[bool, list[float]] = {True: [], False: []}
        for role in self._roles:
            wait_s = _at_once(role.work())
            if wait_s is not None and (not isinstance(role, Limiter) or self._limited(role.tag)):
                waits_s[role.recurs].append(wait_s)
        self.next_occurrence_s = min(waits_s[True], default=None)
        return min(waits_s[False], default=None)

    def _limited(self, tag: str) -> bool:
        """Whether messages wait for a rate limit; else there is only a limit to be forgotten."""
        with self.store.server.lock:
            return any(self.store.shard(tag).waiting.values())

    def has_ready(self) -> bool:
        """Whether there is something to claim, in whatever queue."""
        with self.store.server.lock:
            return any(self.store.shard(tag).ready for tag in self.store.tags)

    def _claim(self) -> tuple[str, Claimed] | None:
        """Claim the best message of all shards; None if there is none."""
        for tag in self.store.tags:
            again = True
            while again:
                answer = self._exchange(tag, (), claim=True)
                if answer.claimed:
                    return tag, answer.claimed[0]
                again = answer.again
        return None

    def _exchange(self, tag: str, outcomes: Sequence[Outcome], *, claim: bool) -> Exchange:
        channel = self.store.channel(tag, self._consumer, self._queues)
        self._sequence += claim
        request = ClaimRequest(self._sequence, 1, alone=True) if claim else None
        channel.send(outcomes, request)
        return channel.receive()

    def _reporter(self, tag: str, claimed: Claimed) -> Callable[[bytes], None]:
        def report(data: bytes) -> None:
            _at_once(self._keeper.progress(tag, [(claimed, data)]))

        return report

    def _task_of(self, claimed: Claimed) -> str:
        try:
            return Message.decode(split_body(claimed.body)[1], self._app.settings.wire, claimed.id).task
        except (DecodeError, ValueError):
            return ""


def _at_once[T](call: Coroutine[Any, Any, T]) -> T:
    """Return what a call of the asynchronous store in memory returns: it waits for nothing, though it may give way."""
    try:
        while True:
            call.send(None)
    except StopIteration as stop:
        return stop.value  # type: ignore[no-any-return]


def _never_idle(ran: Sequence[Ran], most: int) -> str:
    counts = Counter(one.task or "unreadable" for one in ran)
    often = ", ".join(f"{task} {times} times" for task, times in counts.most_common(3))
    return (
        f"run_until_idle() ran {most} attempts and there is more to run; the most frequent: {often}. Does a task retry "
        "without end, or enqueue itself? If it is meant to, allow more with most=."
    )
