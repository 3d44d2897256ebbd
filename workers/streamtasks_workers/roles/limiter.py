"""Let messages that wait for a rate limit go on, at their time."""

from __future__ import annotations

from streamtasks.stores.types import Grant

from .base import RoleOnTime

__all__ = ["Limiter"]


class Limiter(RoleOnTime):
    """Rate limits of one shard: asks the limiters when the shard says so, admits what they grant.

    Any number of workers may do it: the shard hands out each ask once, and takes each grant once.
    """

    async def _work(self) -> float | None:
        grants: list[Grant] = []
        while True:
            admission = await self._store.admit(self._tag, grants)
            if not admission.asks:
                return None if admission.next_us is None else admission.next_us / 1_000_000
            grants = await self._store.take(admission.asks)
