"""Look at every master of a Cluster before serving it."""

from __future__ import annotations

from redis.exceptions import RedisError

from ...settings import StoreSettings
from .checks import check_server
from .cluster.masters import masters_of
from .connections import is_cut_off, lasting_error, tls_hint

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
        masters.refresh()
        each = {master.url: master for master in (*map(masters.of, settings.tags), *masters.each())}
    except (RedisError, OSError) as error:
        lasting = lasting_error(error, settings)
        if lasting is not None:
            raise lasting from error
        hint = tls_hint(settings, error, cut_off=is_cut_off(error))
        return [f"the Cluster cannot be reached ({error}){hint}; the worker waits for it"]
    return [warning for url in sorted(each) for warning in check_server(each[url], runs_tasks=runs_tasks)]
