"""The masters of a store, and the shards that each serves."""

from __future__ import annotations

from collections.abc import Sequence

from redis.exceptions import RedisError

from ....settings import StoreSettings
from .. import connections
from ..cluster.masters import masters_of

__all__ = ["masters"]


def masters(settings: StoreSettings, tags: Sequence[str] = ()) -> list[tuple[StoreSettings, list[str]]]:
    """Return how each master is reached, with the shards that it serves; ``tags``: of others than all of the store.

    Raises:
        StoreUnavailable, AccessDenied, UntrustedServer: a server cannot be reached, or lets nobody in.
    """
    if not settings.is_cluster:
        return [(settings, list(tags or settings.tags))]
    known = masters_of(settings)
    try:
        known.refresh()
        found: dict[str, tuple[StoreSettings, list[str]]] = {one.url: (one, []) for one in known.each()}
        for tag in tags or settings.tags:
            of = known.of(tag)
            found.setdefault(of.url, (of, []))[1].append(tag)
    except (RedisError, OSError) as error:
        raise connections.lasting_error(error, settings) or connections.unavailable(settings, error, 0) from error
    return [found[url] for url in sorted(found)]
