"""Run all roles of one app on an event loop, and log when its store goes away and comes back."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Coroutine, Iterator
from typing import Any

from streamtasks.exceptions import StoreError
from streamtasks.stores.backoff import Backoff

from . import roles_of
from .base import Role, ServedApp

__all__ = ["AppRoles"]

logger = logging.getLogger("streamtasks.worker")


class AppRoles:
    """The roles of one app."""

    def __init__(self, app: ServedApp) -> None:
        self.app = app
        self._roles = roles_of(app)
        self._away_since = 0.0

    def loops(self) -> Iterator[Coroutine[Any, Any, None]]:
        """Yield what must run for as long as the keeper lives: each role, and the control messages that wake them."""
        yield from map(self._run, self._roles)
        yield self._listen()

    async def leave(self) -> None:
        """Let each role do what has to be done when the worker stops."""
        for role in self._roles:
            await self.attempt(role.leave(), calls_store=False)

    async def _run(self, role: Role) -> None:
        backoff = Backoff(0.2, 1.0)  # soon: leases run out meanwhile
        while True:
            wait_s: list[float | None] = []
            work = role.run_once()
            if not await self.attempt(_collected(work, wait_s), calls_store=role.calls_store):
                wait_s = [backoff.next_s()]
            else:
                backoff.reset()
            await role.sleep(wait_s[0])

    async def _listen(self) -> None:
        roles = [role for role in self._roles if role.wake_on]
        backoff = Backoff(0.2, 2.0)
        while True:
            try:
                async for tag, text in self.app.store.listen():
                    backoff.reset()
                    word = text.partition(" ")[0]
                    for role in roles:
                        if not tag:  # subscribed: messages may have been lost before
                            role.missed()
                        elif role.wake_on == word and (role.tag == tag or not role.per_shard):
                            role.heard(tag, text)
            except (StoreError, OSError) as error:
                self._away(error)
            await asyncio.sleep(backoff.next_s())

    async def attempt(self, work: Awaitable[Any], *, calls_store: bool = True) -> bool:
        """Await work of the keeper; return whether it succeeded. What fails is logged, an absent store only once."""
        try:
            await work
        except (StoreError, OSError) as error:
            self._away(error)
            return False
        except Exception:
            logger.exception("a background role failed; it is tried again")
            return False
        if calls_store and self._away_since:
            away_s = time.monotonic() - self._away_since
            logger.info("the keeper reaches the store again after %.1f s (%s)", away_s, self.app.label)
            self._away_since = 0.0
        return True

    def _away(self, error: Exception) -> None:
        if not self._away_since:
            self._away_since = time.monotonic()
            logger.warning("the keeper does not reach the store of %s: %s", self.app.label, error)


async def _collected(work: Awaitable[float | None], results: list[float | None]) -> None:
    results.append(await work)
