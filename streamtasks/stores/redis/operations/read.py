"""Read what is known of tasks."""

from __future__ import annotations

from collections.abc import Sequence

from ....protocol.keys import Keys
from ....protocol.shards import node_of
from ....protocol.state import Snapshot
from ..batches import chunks
from ..scripts import Call, script
from ..shards import Operation, Shards
from ..snapshots import from_reply

__all__ = ["finished", "read", "read_call"]


def read_call(keys: Keys, ids: Sequence[str]) -> Call:
    """Build read: up to 100 ids of one shard."""
    workflows = dict.fromkeys(node[0] for one in ids if ".w" in one and (node := node_of(one)) is not None)
    return script("read").call(
        keys,
        count=len(ids),
        more_keys=[*map(keys.record, ids), *map(keys.workflow, workflows)],
        more_args=[*ids, *workflows],
    )


def read(shards: Shards, ids: Sequence[str]) -> Operation[list[Snapshot | None]]:
    """See `Store.read`."""
    found: list[Snapshot | None] = [None] * len(ids)
    requests: list[Call] = []
    places_of: list[list[int]] = []
    for tag, places in shards.indexes_by_tag(ids).items():
        for some in chunks(places):
            requests.append(read_call(shards.by_tag[tag].keys, [ids[place] for place in some]))
            places_of.append(some)
    replies = yield requests
    for some, reply in zip(places_of, replies, strict=True):
        for place, part in zip(some, reply, strict=True):
            found[place] = from_reply(ids[place], part, shards.settings.wire)
    return found


def finished(shards: Shards, ids: Sequence[str]) -> Operation[list[Snapshot]]:
    """Return the snapshots of those of these ids that are finished."""
    found = yield from read(shards, ids)
    return [snapshot for snapshot in found if snapshot is not None and snapshot.is_finished]
