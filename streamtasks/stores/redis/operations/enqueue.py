"""Enqueue messages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ....protocol.durability import MEMORY
from ....protocol.heard import ZEROS
from ....protocol.keys import Keys, stream_name
from ....protocol.shards import tag_of
from ....settings import StoreSettings
from ...types import NewMessage
from ..batches import batches
from ..scripts import Call, script
from ..shards import Operation, Request, Shards
from .durable import durable_calls, strongest
from .revoke import revoke_many

__all__ = ["conditions", "enqueue", "enqueue_call"]

_NO_CONDITIONS = tuple(NewMessage._field_defaults.values())[:4]
_HEARS = {hears: f"hears={hears}" if hears else "" for hears in ZEROS}
_REVOKED_BEFORE = 2


def enqueue_call(keys: Keys, messages: Sequence[NewMessage], settings: StoreSettings) -> Call:
    """Build enqueue: up to 100 messages of one shard."""
    numbers: dict[str, int] = {}
    members: list[Any] = []
    run, head = None, 0
    for message in messages:
        number = numbers.setdefault(stream_name(message.queue, message.priority), len(numbers) + 1)
        its_run = number, conditions(message)
        if its_run != run:
            run, head = its_run, len(members)
            members += (0, *its_run)
        members[head] += 1
        members += (message.id, message.envelope)
    return script("enqueue").call(
        keys,
        count=len(messages),
        events_kept=settings.events_kept,
        streams=numbers,
        more_keys=[
            *[keys.record(message.id) for message in messages],
            *[keys.record(message.after) for message in messages if message.after],
        ],
        more_args=members,
    )


def conditions(message: NewMessage) -> str:
    """Return what a message waits for, and what is heard of its end, as include/terms.lua reads it."""
    if message[4:8] == _NO_CONDITIONS:
        return _HEARS[message.hears]
    words = [_HEARS[message.hears]] if message.hears else []
    if message.due_ms is not None:
        words.append(f"at={message.due_ms}")
    elif message.delay_ms is not None:
        words.append(f"in={message.delay_ms}")
    if message.limit is not None:
        words.append(f"limit={message.limit.interval_us},{message.limit.burst},{message.limit.name}")
        if message.expires_in_ms:
            words.append(f"within={message.expires_in_ms}")
        elif message.expires_ms:
            words.append(f"until={message.expires_ms}")
    if message.after:
        words.append(f"after={message.after}")
    return " ".join(words)


def enqueue(shards: Shards, messages: Sequence[NewMessage], retry_time_s: float | None = None) -> Operation[list[bool]]:
    """See `Store.enqueue`. Messages of one stream are accepted in the order given."""
    if retry_time_s is None:
        retry_time_s = shards.settings.enqueue_retry_s
    if len(messages) == 1:
        task_id = messages[0].id
        call = enqueue_call(shards.by_tag[tag_of(task_id, shards.tags)].keys, messages, shards.settings)
        level = messages[0].durability or shards.settings.durability
        if level == MEMORY:
            [reply] = yield Request([call], retry_time_s)
        else:
            [reply] = (yield from durable_calls(shards, [call], level, retry_time_s, [task_id]))[0]
        if reply[1] == _REVOKED_BEFORE:
            yield from revoke_many(shards, [task_id])
        return [reply[1] != 0]
    accepted = [False] * len(messages)
    requests: list[Call] = []
    places_of: list[list[int]] = []
    for tag, places in shards.indexes_by_tag(m.id for m in messages).items():
        keys = shards.by_tag[tag].keys
        for some in batches(places, lambda place: len(messages[place].envelope)):
            requests.append(enqueue_call(keys, [messages[place] for place in some], shards.settings))
            places_of.append(some)
    level = strongest({message.durability for message in messages}, shards.settings)
    if level == MEMORY or not requests:
        replies = yield Request(requests, retry_time_s)
    else:
        replies = (yield from durable_calls(shards, requests, level, retry_time_s, [one.id for one in messages]))[0]
    revoked: list[str] = []
    for some, reply in zip(places_of, replies, strict=True):
        for place, code in zip(some, reply[1:], strict=True):
            accepted[place] = code != 0
            if code == _REVOKED_BEFORE:
                revoked.append(messages[place].id)
    if revoked:
        yield from revoke_many(shards, revoked)
    return accepted
