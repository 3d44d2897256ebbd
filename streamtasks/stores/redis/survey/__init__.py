"""Ask servers what a diagnosis needs, and read what lies in their shards; a refusal is a value, never an error."""

from __future__ import annotations

from ....protocol.keys import Keys
from ....settings import StoreSettings
from ...survey_types import Survey
from .. import connections
from ..checks import sentinel_warnings
from .asking import Asking
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
    masters = [(connections.new_connection(settings), connections.address(settings), settings.tags)]
    servers, shards, keys = [], [], []
    for connection, address, tags in masters:
        with Asking(connection, settings) as asking:
            servers.append(survey_server(asking, address, settings, tags))
            shards += [survey_shard(asking, Keys(settings.key_prefix, tag)) for tag in tags]
            keys.append(sample_keys(asking, settings.key_prefix, settings.tags))
    return Survey(tuple(servers), tuple(shards), tuple(keys), tuple(sentinel_warnings(settings)))
