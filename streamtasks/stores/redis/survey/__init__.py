"""Ask servers what a diagnosis needs, and read what lies in their shards; a refusal is a value, never an error."""

from __future__ import annotations

from ....protocol.keys import Keys
from ....settings import StoreSettings
from ...survey_types import Survey
from .. import connections
from ..checks import sentinel_warnings
from ..inquiry import Inquiry
from .masters import masters
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
    for master, tags in masters(settings):
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
