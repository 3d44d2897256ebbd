"""Revoke tasks, and return which of the claimed ones were revoked."""

from __future__ import annotations

from collections.abc import Sequence

from ....exceptions import DecodeError
from ....protocol.keys import Keys, retention_class, stream_name
from ....protocol.message import Message, split_body
from ....protocol.shards import node_of
from ....protocol.wire import Wire
from ....settings import StoreSettings
from ...types import Claimed, Revocation
from ..batches import chunks
from ..scripts import Call, script
from ..shards import Operation, Shards
from .read import read_call

__all__ = ["revocations", "revocations_call", "revoke", "revoke_call"]

_STREAM_WANTED = 4


def revoke_call(
    keys: Keys, task_id: str, hour: int, settings: StoreSettings, name: str = "", *, terminate: bool = False
) -> Call:
    """Build revoke; ``name``: of the stream, as far as known."""
    node = node_of(task_id) if ".w" in task_id else None
    workflow = "" if node is None else node[0]
    record_ms = settings.keep_ms(success=False)
    retention = retention_class(record_ms)
    return script("revoke").call(
        keys,
        counts=keys.counts(hour),
        counts_next=keys.counts(hour + 1),
        record=keys.record(task_id),
        flow=keys.workflow(workflow),
        id=task_id,
        terminate=int(terminate),
        hour=hour,
        keep_ms=settings.index_keep_ms,
        retentions=retention,
        record_ms=record_ms,
        events_kept=settings.events_kept,
        workflow=workflow,
        streams=[name] if name else [],
        more_keys=[keys.finished(one, retention) for one in (hour, hour + 1)],
    )


def revocations_call(keys: Keys, claimed: Sequence[Claimed]) -> Call:
    """Build revocations: up to 100 messages."""
    return script("revocations").call(keys, more_args=[word for c in claimed for word in (c.id, c.token)])


def revoke(shards: Shards, task_id: str, *, terminate: bool = False) -> Operation[Revocation]:
    """See `Store.revoke`."""
    shard = shards.of(task_id)
    name = ""
    while True:
        call = revoke_call(shard.keys, task_id, shard.hour(), shards.settings, name, terminate=terminate)
        [reply] = yield [call]
        if reply[0] == b"hour":
            shard.learn_clock(reply[1])
        elif reply[1] != _STREAM_WANTED:
            return Revocation(reply[1])
        elif not (name := reply[2].decode()):
            [[parts]] = yield [read_call(shard.keys, [task_id])]
            if len(parts) > 1:
                name = _stream_of(parts[0], shards.settings.wire, task_id)


def _stream_of(body: bytes, wire: Wire, task_id: str) -> str:
    """Return the name of the stream of a message that has no state line yet: it stands in its envelope."""
    try:
        message = Message.decode(split_body(body)[1], wire, task_id)
        return stream_name(message.queue, message.priority)
    except DecodeError:
        return stream_name("default", 0)  # what this process cannot read may be revoked like any other


def revocations(shards: Shards, tag: str, claimed: Sequence[Claimed]) -> Operation[list[str]]:
    """See `SupervisorStore.revocations`."""
    answers: list[str] = []
    for some in chunks(claimed):
        [reply] = yield [revocations_call(shards.by_tag[tag].keys, some)]
        answers += (word.decode() for word in reply)
    return answers
