"""Ask servers what a diagnosis needs, and read what lies in their shards; a refusal is a value, never an error."""

from __future__ import annotations

from ....protocol.keys import Keys
from ....settings import StoreSettings
from ...survey_types import Survey
from .. import connections
from ..checks import sentinel_warnings
from ..inquiry import Inquiry
from ..operations.tags import NOTE_TAG, disagreement
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
    tags_error = ""
    for master, served in masters(settings, (*settings.tags, NOTE_TAG)):
        address = connections.address(master)
        tags = [tag for tag in served if tag != NOTE_TAG]
        if NOTE_TAG in served:
            tags_error = _tags_error(master, settings)
        if not tags:
            unused.append(address)
            continue
        with Inquiry(connections.new_connection(master), master) as inquiry:
            servers.append(survey_server(inquiry, address, settings, tags))
            shards += [survey_shard(inquiry, Keys(settings.key_prefix, tag)) for tag in tags]
            keys.append(sample_keys(inquiry, settings.key_prefix, settings.tags))
    warnings = sentinel_warnings(settings) if settings.is_sentinel else []
    return Survey(tuple(servers), tuple(shards), tuple(keys), tuple(warnings), tuple(unused), tags_error)


def _tags_error(master: StoreSettings, settings: StoreSettings) -> str:
    """Return why the shards of the settings cannot be those that are noted, if that may be asked."""
    with Inquiry(connections.new_connection(master), master) as inquiry:
        noted = inquiry.ask("LRANGE", Keys(settings.key_prefix, NOTE_TAG).tags, "0", "-1")
    return disagreement(settings, tuple(noted)) if isinstance(noted, list) else ""
