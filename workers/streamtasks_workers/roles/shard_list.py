"""Notice that the list of shards has grown."""

from __future__ import annotations

from streamtasks.stores.types import SHARDS

from .base import RARE_S, Role, ServedApp

__all__ = ["ShardList"]


class ShardList(Role):
    """The list of one app, which other processes make longer: then the supervisor has it served by other processes.

    A control message tells of it; it is read at the start and after messages may have been lost, and else rarely.
    """

    per_shard = False
    wake_on = SHARDS

    def __init__(self, app: ServedApp, tag: str = "") -> None:
        super().__init__(app, tag)
        self.interval_s = RARE_S

    @classmethod
    def serves(cls, app: ServedApp) -> bool:
        """See `Role.serves`: only on servers can others add shards."""
        return app.settings.is_redis

    def missed(self, tag: str) -> None:
        """See `Role.missed`: what concerns the list concerns no shard."""
        if not tag:
            super().missed(tag)

    async def run_once(self) -> float | None:
        """Read it; ask for other processes if it has grown."""
        noted, known = await self.store.noted_tags(), self.app.tags
        if len(noted) > len(known) and noted[: len(known)] == known:
            self.app.ask_growth(noted)
        return None
