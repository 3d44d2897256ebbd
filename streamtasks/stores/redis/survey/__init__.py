"""Ask servers what a diagnosis needs, and read what lies in their shards; a refusal is a value, never an error."""

from __future__ import annotations

from redis.exceptions import RedisError

from ....protocol.keys import Keys
from ....settings import StoreSettings
from ...survey_types import Survey
from .. import connections
from ..checks import sentinel_warnings
from ..cluster.masters import masters_of
from ..inquiry import Inquiry
from .server import survey_server
from .shard import sample_keys, survey_shard

__all__ = ["survey"]


def survey(settings: StoreSettings) -> Survey:
    """Survey every master of a store, over a connection of its own that is made as an app makes it.

    Writes one short key, as enqueueing with replicas does (`touch`), to learn whether it may write.

    Raises:
        StoreUnavailable: a server cannot be reached.
        AccessDenied, UntrustedServer, UnknownService: it lets nobody in with these settings.
    """
    servers, shards, keys, unused = [], [], [], []
    for master, tags in _masters(settings):
        address = connections.address(master)
        if not tags:
            unused.append(address)
            continue
        with Inquiry(connections.new_connection(master), master) as inquiry:
            servers.append(survey_server(inquiry, address, settings, tags))
            shards += [survey_shard(inquiry, Keys(settings.key_prefix, tag)) for tag in tags]
            keys.append(sample_keys(inquiry, settings.key_prefix, settings.tags))
    warnings = sentinel_warnings(settings) if settings.is_sentinel else []
    return Survey(tuple(servers), tuple(shards), tuple(keys), tuple(warnings), tuple(unused))


def _masters(settings: StoreSettings) -> list[tuple[StoreSettings, list[str]]]:
    """Return how each master is reached, with the shards that it serves.

    Raises:
        StoreUnavailable, AccessDenied, UntrustedServer: as `survey`.
    """
    if not settings.is_cluster:
        return [(settings, list(settings.tags))]
    masters = masters_of(settings)
    try:
        masters.refresh()
        found: dict[str, tuple[StoreSettings, list[str]]] = {one.url: (one, []) for one in masters.each()}
        for tag in settings.tags:
            of = masters.of(tag)
            found.setdefault(of.url, (of, []))[1].append(tag)
    except (RedisError, OSError) as error:
        raise connections.lasting_error(error, settings) or connections.unavailable(settings, error, 0) from error
    return [found[url] for url in sorted(found)]
