"""A worker without processes, on any store: the steps of a keeper and of a child, called one by one in this process."""

from __future__ import annotations

import asyncio
import itertools
import time
from typing import TYPE_CHECKING, Any, Self

from streamtasks.stores.factory import open_store, open_supervisor_store
from streamtasks.stores.types import ClaimRequest, Filter, Outcome
from streamtasks_workers.executor.runner import Runner
from tests.support.users import worker_settings
from tests.support.waiting import DEADLINE_S

if TYPE_CHECKING:
    from streamtasks import StreamTasks
    from streamtasks.stores.types import Claimed

_numbers = itertools.count(1)


class ManualWorker:
    """Runs the tasks of an app until no message is left, also delayed ones. A context manager."""

    def __init__(self, app: StreamTasks) -> None:
        self.app = app
        self.store: Any = open_store(worker_settings(app.settings))
        self.keeper: Any = open_supervisor_store(worker_settings(app.settings))
        self.consumer = f"hand-{next(_numbers)}"
        self.ran: list[tuple[str, str]] = []
        self._loop = asyncio.Runner()
        self._sequence = 0
        [self.tag] = app.settings.tags
        self._channel = self.store.channel(self.tag, self.consumer, Filter())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._channel.close()
        self._loop.close()

    def move_on(self) -> float | None:
        """Promote, unfold and admit as a keeper does; return the time until something is due, seconds."""
        due_us = self._loop.run(self.keeper.promote(self.tag)).next_due_us
        unfold_ms = self._loop.run(self.keeper.unfold(self.tag))
        limit_us = self._loop.run(self._admit())
        due_ms, limit_ms = (None if us is None else us / 1000 for us in (due_us, limit_us))
        return min((ms / 1000 for ms in (due_ms, unfold_ms, limit_ms) if ms is not None), default=None)

    async def _admit(self) -> int | None:
        """Admit messages that their rate limits allow; return the time until the next, microseconds."""
        next_us: int | None = (await self.keeper.admit(self.tag)).next_us
        return next_us

    def claim(self, most: int = 1) -> list[Claimed]:
        """Claim ready messages."""
        self._sequence += 1
        self._channel.send((), ClaimRequest(self._sequence, most, alone=True))
        claimed: list[Claimed] = self._channel.receive().claimed
        return claimed

    def settle(self, *outcomes: Outcome) -> list[Any]:
        """Write outcomes."""
        self._channel.send(outcomes, None)
        settled: list[Any] = self._channel.receive().settled
        return settled

    def run(self, claimed: Claimed) -> Outcome:
        """Run one message; return its outcome without settling it."""
        gather, begin = self.store.gather, self.store.start_workflow
        runner = Runner(self.app, self.consumer, self.store.read, gather=gather, start_workflow=begin)
        prepared = runner.prepare(claimed, time.monotonic_ns(), lambda _: None)
        return runner.run(prepared)

    def run_one(self) -> bool:
        """Run the next ready message; return False if there is none."""
        claimed = self.claim()
        if not claimed:
            return False
        outcome = self.run(claimed[0])
        self.settle(outcome)
        self.ran.append((outcome.id, outcome.state))
        return True

    def until_idle(self, most_s: float = DEADLINE_S) -> None:
        """Run messages until none is left."""
        deadline = time.monotonic() + most_s
        while time.monotonic() < deadline:
            wait_s = self.move_on()
            if self.run_one():
                continue
            if wait_s is None:
                return
            time.sleep(min(wait_s, 0.5))
        raise AssertionError(f"not idle after {most_s} s; the last that ran: {self.ran[-5:]}")
