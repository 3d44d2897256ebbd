"""Read what is known of tasks."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from typing import Final

from ....exceptions import DecodeError
from ....protocol.keys import Keys
from ....protocol.shards import node_of
from ....protocol.state import Snapshot
from ....protocol.wire import Wire
from ..batches import MOST_BYTES, chunks
from ..scripts import Call, script
from ..shards import Operation, Shards
from ..snapshots import from_reply

__all__ = ["RECORD_AT", "finished", "pushed", "read", "read_call", "read_parts"]

logger = logging.getLogger("streamtasks.store")

RECORD_AT: Final = b" \n"
"""In a push about the only task that has finished: stands between its id and its record."""


def read_call(keys: Keys, ids: Sequence[str]) -> Call:
    """Build read: up to 100 ids of one shard."""
    workflows = dict.fromkeys(node[0] for one in ids if ".w" in one and (node := node_of(one)) is not None)
    return script("read").call(
        keys,
        count=len(ids),
        most_bytes=MOST_BYTES,
        more_keys=[*map(keys.record, ids), *map(keys.workflow, workflows)],
        more_args=[*ids, *workflows],
    )


def read_parts(requests: Iterable[tuple[Keys, Sequence[str]]]) -> Operation[dict[str, list[bytes]]]:
    """Return the parts of the snapshot of each id, in as many calls as their size needs.

    Args:
        requests: keys of a shard and up to 100 ids of it.
    """
    found: dict[str, list[bytes]] = {}
    left = list(requests)
    while left:
        replies = yield [read_call(keys, ids) for keys, ids in left]
        more = []
        for (keys, ids), reply in zip(left, replies, strict=True):
            found.update(zip(ids, reply, strict=False))
            if len(reply) < len(ids):
                more.append((keys, ids[len(reply) :]))
        left = more
    return found


def read(shards: Shards, ids: Sequence[str]) -> Operation[list[Snapshot | None]]:
    """See `Store.read`."""
    found = yield from read_parts(
        (shards.by_tag[tag].keys, [ids[place] for place in some])
        for tag, places in shards.indexes_by_tag(ids).items()
        for some in chunks(places)
    )
    if len(ids) == 1:
        return [from_reply(ids[0], found[ids[0]], shards.settings.wire)]
    return [_readable(task_id, found[task_id], shards.settings.wire) for task_id in ids]


def _readable(task_id: str, reply: list[bytes], wire: Wire) -> Snapshot | None:
    """Return a snapshot; None if the id is not known, or its record cannot be read."""
    try:
        return from_reply(task_id, reply, wire)
    except DecodeError as error:
        logger.warning("%s", error)
        return None


def finished(shards: Shards, ids: Sequence[str]) -> Operation[list[Snapshot]]:
    """Return the snapshots of those of these ids that are finished."""
    found = yield from read(shards, ids)
    return [snapshot for snapshot in found if snapshot is not None and snapshot.is_finished]


def pushed(shards: Shards, text: bytes) -> list[Snapshot]:
    """Return the snapshot in the text of a push; empty: it holds none, or one that cannot be read."""
    task_id, _, record = text.partition(RECORD_AT)
    snapshot = _readable(task_id.decode(), [record], shards.settings.wire) if record else None
    return [] if snapshot is None else [snapshot]
