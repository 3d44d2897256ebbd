"""Run all roles of one app on an event loop, watch its children, and log when its store goes away and comes back."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from typing import Any, Final

from streamtasks.exceptions import StoreError
from streamtasks.stores.backoff import Backoff
from streamtasks.stores.types import SUBSCRIBED

from ..process.board import Board
from ..process.last_error import LastError
from ..process.worker_counters import kind_of_error
from . import roles_of
from .base import Role, ServedApp
from .ended_child import EndedChild
from .store_state import StoreState
from .turns import Turns
from .watched_child import WatchedChild

__all__ = ["AppRoles"]

logger = logging.getLogger("streamtasks.worker")


FEW_SHARDS: Final = 16


class AppRoles:
    """The roles and the children of one app."""

    def __init__(self, app: ServedApp) -> None:
        self.app = app
        self._roles = roles_of(app)
        app.wake = self._wake
        self._state = StoreState(app)
        self._errors: dict[tuple[str, str], LastError] = {}  # by shard and by who failed
        self._failing: set[Role] = set()
        self._turns = Turns()

    def loops(self) -> Iterator[Coroutine[Any, Any, None]]:
        """Yield what must run for as long as the keeper lives: each role, and the control messages that wake them."""
        yield from map(self._run, self._roles)
        yield self._listen()

    async def leave(self) -> None:
        """Let each role do what has to be done when the worker stops."""
        for role in self._roles:
            await self.attempt(role.leave(), role.tag, type(role).__name__)

    def watch(self, board: Board, request: Callable[[str, str], None]) -> None:
        """Look at the board of a new child from now on. ``request``: see `WatchedChild`."""
        app = self.app
        single = not (app.options.threads or app.options.async_concurrency)
        app.counted.add(board.number)
        app.children[board.number] = WatchedChild(
            board, app.store, app.settings, request, single=single, counters=app.counters
        )

    def look(self, *, stopping: bool) -> Iterator[Coroutine[Any, Any, Any]]:
        """Look at the boards of all children; yield what must be done with the store, beside all else."""
        for child in self.app.children.values():
            for work in child.look(stopping=stopping):
                yield self.attempt(work, child.board.tag, "Watch")

    def hold_anything(self) -> bool:
        """Whether any child has a message in its hands."""
        return any(child.board.holds_anything for child in self.app.children.values())

    async def settle(self, board: Board, pid: int, how: str, *, charged: bool) -> None:
        """Settle what an ended child held, however long its store is away. Arguments: see `EndedChild`."""
        self.app.children.pop(board.number, None)
        ended, backoff = EndedChild(self.app, board, pid, how, charged=charged), Backoff(0.1, 1.0)
        while not await self.attempt(ended.settle(), board.tag, "EndedChild"):  # noqa: ASYNC110 - each turn is a try
            await asyncio.sleep(backoff.next_s())

    async def _run(self, role: Role) -> None:
        # Soon: leases run out meanwhile. With many shards, their roles together not more often than those of few.
        backoff = Backoff(0.2, max(1.0, len(self.app.tags) / FEW_SHARDS) if role.per_shard else 1.0)
        if first_s := role.first_s():
            await role.sleep(first_s)
        while True:
            if role.per_shard:
                await self._turns.next()
            wait_s: list[float | None] = []
            work = role.run_once()
            if not await self.attempt(_collected(work, wait_s), role.tag, type(role).__name__):
                wait_s = [backoff.next_s()]
                self._failing.add(role)
            else:
                backoff.reset()
                self._failing.discard(role)
            await role.sleep(wait_s[0])

    def _wake(self, tag: str, word: str) -> None:
        for role in self._roles:
            if role.wake_on == word and (role.tag == tag or not role.per_shard):
                role.wake_for(tag)

    async def _listen(self) -> None:
        wakes_of = None if self.app.table is None else self.app.options.filter
        backoff = Backoff(0.2, 2.0)
        stood = False
        while True:
            try:
                async for tag, text in self.app.store.listen(wakes_of):
                    backoff.reset()
                    if not stood:
                        stood = True
                        self._state.succeeded("", "Listener")
                    word = text.partition(" ")[0]
                    self.app.heard_at.update(dict.fromkeys([tag] if tag else self.app.tags, time.monotonic()))
                    is_new = text == SUBSCRIBED  # messages may have been lost before
                    for role in self._roles:
                        if tag and role.tag != tag and role.per_shard:
                            continue
                        if is_new and role in self._failing:
                            role.wake()  # the store is there again, or most of it
                        if is_new:
                            role.missed(tag)
                        elif role.wake_on == word:
                            role.heard(tag, text)
            except (StoreError, OSError) as error:
                if not stood:  # a connection that has ended says nothing yet; that there is no new one does
                    self._state.failed("", "Listener", error)
                stood = False
            await asyncio.sleep(backoff.next_s())

    async def attempt(self, work: Awaitable[Any], tag: str, who: str) -> bool:
        """Await work of the keeper; return whether it succeeded. What fails is logged, an absent store only once.

        Args:
            work: what to await.
            tag: the shard that it concerns; empty: any.
            who: does it.
        """
        try:
            await work
        except (StoreError, OSError) as error:
            if self.app.counters is not None:
                self.app.counters.keeper.count("store_error", kind_of_error(error))
            self._state.failed(tag, who, error)
            return False
        except Exception as error:
            last = self._errors.setdefault((tag, who), LastError())
            if last.is_new(error):
                logger.exception("%s failed; it is tried again", who)
            elif last.times & (last.times - 1) == 0:  # the 2nd, 4th, 8th, ... time
                logger.error("%s has failed %d times in a row by the same error", who, last.times)  # noqa: TRY400
            return False
        self._errors.pop((tag, who), None)
        self._state.succeeded(tag, who)
        return True


async def _collected(work: Awaitable[float | None], results: list[float | None]) -> None:
    results.append(await work)
