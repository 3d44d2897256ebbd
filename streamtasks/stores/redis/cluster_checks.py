"""Look at every master of a Cluster before serving it."""

from __future__ import annotations

from redis.exceptions import RedisError

from ...settings import StoreSettings
from .checks import TRIES, check_server
from .cluster.masters import Masters, masters_of
from .connections import hides_refusal, is_cut_off, lasting_error, tls_hint

__all__ = ["check_cluster"]


def check_cluster(settings: StoreSettings, *, runs_tasks: bool = False) -> list[str]:
    """Check all masters, see `check_server`.

    Raises:
        ServerNotSupported: one is older than Redis 7.0, or may evict keys.
        ConfigurationError: a node is no member of a Cluster.
        AccessDenied: user or password are wrong.
    """
    masters = masters_of(settings)
    try:
        _refresh(masters, settings)
        tag_at = {masters.of(tag).url: tag for tag in settings.tags}
        each = {master.url: master for master in (*map(masters.of, settings.tags), *masters.each())}
    except (RedisError, OSError) as error:
        lasting = lasting_error(error, settings)
        if lasting is not None:
            raise lasting from error
        hint = tls_hint(settings, error, cut_off=is_cut_off(error))
        return [f"the Cluster cannot be reached ({error}){hint}; the worker waits for it"]
    return [
        warning
        for url in sorted(each)
        for warning in check_server(
            each[url], runs_tasks=runs_tasks and url in tag_at, tag=tag_at.get(url, settings.tags[0])
        )
    ]


def _refresh(masters: Masters, settings: StoreSettings) -> None:
    """Ask the nodes for the map, again where a refusal may not have been read."""
    for more_tries in reversed(range(TRIES)):
        try:
            return masters.refresh()
        except (RedisError, OSError) as error:
            if not (more_tries and hides_refusal(settings, error)):
                raise
    return None
