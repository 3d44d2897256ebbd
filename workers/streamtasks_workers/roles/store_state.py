"""What a keeper knows of an app's store: reached or not, for each shard; each change is logged once."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from typing import Final

from streamtasks.exceptions import StoreUnavailable

from .base import ServedApp

__all__ = ["StoreState"]

logger = logging.getLogger("streamtasks.worker")

_SERVER: Final = ""


@dataclass(slots=True)
class _Trouble:
    since: float
    away: bool


class StoreState:
    """The state of one app's store.

    A shard is *away* if it cannot be reached: only errors of the connection show that, and only an answer of that shard
    ends it. Whatever a server answers shows that it is there; errors among these answers are logged for themselves.
    """

    def __init__(self, app: ServedApp) -> None:
        self._app = app
        self._only_tag = app.tags[0] if len(app.tags) == 1 else ""
        self._troubles: dict[tuple[str, str], _Trouble] = {}  # by shard and by who met it (`_SERVER`: anyone would)

    def failed(self, tag: str, who: str, error: Exception) -> None:
        """Note an error that ``who`` met. ``tag``: the shard; empty: not known which."""
        tag = tag or self._only_tag
        unavailable = isinstance(error, StoreUnavailable)
        away = isinstance(error, StoreUnavailable) and not error.reached
        key = (tag, _SERVER if unavailable else who)
        known = self._troubles.get(key)
        if known is not None and known.away == away:
            return
        if away and any(trouble.away and (not tag or not shard) for (shard, _), trouble in self._troubles.items()):
            return  # of all shards, or of one while this may be the same
        self._troubles[key] = _Trouble(time.monotonic(), away)
        if away:
            logger.warning("the keeper does not reach the store of %s: %s", self._name(tag), error)
        elif unavailable:
            logger.warning("the store of %s is reached, but does not serve yet: %s", self._name(tag), error)
        else:
            logger.error("%s failed at the store of %s and tries again: %s", who, self._name(tag), error)

    def succeeded(self, tag: str, who: str) -> None:
        """Note that work of ``who`` succeeded, and look which shards have answered meanwhile."""
        if not self._troubles:
            return
        self._troubles.pop((tag or self._only_tag, who), None)
        for key, trouble in list(self._troubles.items()):
            if key[1] == _SERVER and self._answered_at(key[0]) > trouble.since:
                del self._troubles[key]
                how = "reaches" if trouble.away else "is served by"
                away_s = time.monotonic() - trouble.since
                logger.info("the keeper %s the store of %s again after %.1f s", how, self._name(key[0]), away_s)

    def _answered_at(self, tag: str) -> float:
        return max(self._app.store.answered_at(one) for one in ([tag] if tag else self._app.tags))

    def _name(self, tag: str) -> str:
        shard = f", shard {tag}," if tag and len(self._app.tags) > 1 else ""
        return f"{self._app.label}{shard} at {self._app.settings.shown_url}"
