"""Revoke tasks, and return which of the claimed ones were revoked."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import batched, islice
from typing import Any, Final

from ....exceptions import DecodeError
from ....protocol.keys import Keys, retention_class, stream_name
from ....protocol.message import Message, split_body
from ....protocol.shards import node_of
from ....protocol.wire import Wire
from ....settings import StoreSettings
from ...types import Claimed, Revocation
from ..batches import MOST, MOST_BYTES, chunks
from ..scripts import Call, script
from ..shards import Operation, Shard, Shards
from .read import read_parts

__all__ = ["revocations", "revocations_call", "revoke", "revoke_call", "revoke_many", "revoke_on", "stream_of"]

CALLS_AT_ONCE: Final = 10
_STREAM_WANTED: Final = 4


def revoke_call(
    keys: Keys,
    members: Iterable[tuple[str, str]],
    hour: int,
    settings: StoreSettings,
    names: Iterable[str] = (),
    *,
    terminate: bool = False,
) -> Call:
    """Build revoke: up to 100 messages of one shard.

    Args:
        keys: of the shard.
        members: ids, each with the name of its stream as far as known, else ``""``.
        hour: the server's, since the epoch.
        settings: of the store.
        names: other streams to bring.
        terminate: whether to end them while they run.
    """
    members = list(members)
    streams = {name: number for number, name in enumerate(dict.fromkeys([*(n for _, n in members if n), *names]), 1)}
    nodes = (node_of(task_id) for task_id, _ in members if ".w" in task_id)
    workflows = dict.fromkeys(node[0] for node in nodes if node is not None)
    record_ms = settings.keep_ms(success=False)
    retention = retention_class(record_ms)
    words: list[Any] = []
    for task_id, name in members:
        words += (task_id, streams.get(name, 0))
    return script("revoke").call(
        keys,
        counts=keys.counts(hour),
        counts_next=keys.counts(hour + 1),
        terminate=int(terminate),
        hour=hour,
        keep_ms=settings.index_keep_ms,
        retentions=retention,
        record_ms=record_ms,
        events_kept=settings.events_kept,
        most_bytes=MOST_BYTES,
        workflow_count=len(workflows),
        streams=streams,
        more_keys=[
            *(keys.record(task_id) for task_id, _ in members),
            *map(keys.workflow, workflows),
            *(keys.finished(one, retention) for one in (hour, hour + 1)),
        ],
        more_args=[*workflows, *words],
    )


def revocations_call(keys: Keys, claimed: Sequence[Claimed]) -> Call:
    """Build revocations: up to 100 messages."""
    return script("revocations").call(keys, more_args=[word for c in claimed for word in (c.id, c.token)])


def revoke(shards: Shards, task_id: str, *, terminate: bool = False) -> Operation[Revocation]:
    """See `Store.revoke`."""
    found = yield from revoke_on(shards.of(task_id), shards.settings, (task_id,), terminate=terminate)
    return found[task_id]


def revoke_many(shards: Shards, ids: Sequence[str], *, terminate: bool = False) -> Operation[list[Revocation]]:
    """See `Store.revoke_many`."""
    found: dict[str, Revocation] = {}
    for tag, places in shards.indexes_by_tag(ids).items():
        some = [ids[place] for place in places]
        found |= yield from revoke_on(shards.by_tag[tag], shards.settings, some, terminate=terminate)
    return [found[task_id] for task_id in ids]


def revoke_on(
    shard: Shard, settings: StoreSettings, ids: Iterable[str], *, terminate: bool = False
) -> Operation[dict[str, Revocation]]:
    """Revoke tasks of one shard, those that come first first, 100 a call; return what became of each."""
    found: dict[str, Revocation] = {}
    left = dict.fromkeys(ids, "")  # and the names of their streams, as far as known
    while left:
        # The first call tells which streams are needed.
        at_once = CALLS_AT_ONCE if shard.names else 1
        some = list(batched(islice(left.items(), MOST * at_once), MOST))
        replies = yield [
            revoke_call(shard.keys, members, shard.hour(), settings, shard.names, terminate=terminate)
            for members in some
        ]
        unread: list[str] = []
        for members, reply in zip(some, replies, strict=True):
            if reply[0] == b"hour":
                shard.learn_clock(reply[1])
                continue
            for (task_id, _), (code, name) in zip(members, batched(reply[1:], 2), strict=False):
                if code != _STREAM_WANTED:
                    found[task_id] = Revocation(code)
                    del left[task_id]
                elif name:
                    shard.learn((name,))
                    left[task_id] = name.decode()
                else:
                    unread.append(task_id)
        bodies = yield from read_parts((shard.keys, ids_) for ids_ in chunks(unread))
        for task_id, parts in bodies.items():
            if len(parts) > 1:
                left[task_id] = stream_of(parts[0], settings.wire, task_id)
    return found


def stream_of(body: bytes, wire: Wire, task_id: str) -> str:
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
