"""Admit messages that wait for rate limits, as far as the limiters give tokens."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import batched
from typing import Any

from ....protocol.keys import Keys
from ....protocol.shards import limiter_tag
from ...tokens import TokenGrant, TokenRequest
from ...types import Admission, Limit
from ..batches import MOST, chunks
from ..scripts import Call, script, stream_keys
from ..shards import Operation, Shards

__all__ = ["admit", "admit_call", "read_asks", "read_grants", "take_call"]


def take_call(limiters: Sequence[str], asks: Sequence[TokenRequest]) -> Call:
    """Build take: up to 100 asks, with the keys of their limiters."""
    return Call(
        script("take"),
        list(limiters),
        [word for ask in asks for word in (ask.limit.interval_us, ask.limit.burst, ask.tokens)],
    )


def admit_call(keys: Keys, names: Sequence[str], grants: Sequence[TokenGrant], most: int) -> Call:
    """Build admit with the stream names the caller knows of."""
    return Call(
        script("admit"),
        [
            keys.waiting,
            keys.limits,
            keys.asking,
            keys.messages,
            keys.state,
            keys.ready,
            keys.streams,
            keys.wake,
            *stream_keys(keys, tuple(names)),
        ],
        [
            most,
            len(names),
            *names,
            *(word for grant in grants for word in grant),
        ],
    )


def admit(shards: Shards, tag: str) -> Operation[Admission]:
    """See `SupervisorStore.admit`: take tokens for what the shard asks, until it asks for nothing more now."""
    shard = shards.by_tag[tag]
    grants: list[TokenGrant] = []
    admitted = 0
    while True:
        [reply] = yield [admit_call(shard.keys, list(shard.names), grants, MOST)]
        admitted += reply[1]
        if reply[3]:
            shard.learn(reply[3])  # a grant counts once: those that were used are passed over
            continue
        asks = read_asks(reply[4])
        if not asks:
            return Admission(admitted, reply[2] if reply[2] >= 0 else None)
        grants = yield from _take(shards, asks)


def read_asks(words: Sequence[Any]) -> list[TokenRequest]:
    """Read what admit answers of the limits that need tokens."""
    return [
        TokenRequest(Limit(name.decode(), int(interval), int(burst)), tokens, number)
        for name, interval, burst, tokens, number in batched(words, 5)
    ]


def _take(shards: Shards, asks: Sequence[TokenRequest]) -> Operation[list[TokenGrant]]:
    """Ask limiters for tokens. A limiter lives on the shard that its name selects, whoever asks."""
    grants: list[TokenGrant] = []
    by_tag: dict[str, list[TokenRequest]] = {}
    for ask in asks:
        by_tag.setdefault(limiter_tag(ask.limit.name, shards.tags), []).append(ask)
    for tag, of_tag in by_tag.items():
        keys = shards.by_tag[tag].keys
        for some in chunks(of_tag):
            [reply] = yield [take_call([keys.limiter(ask.limit.name) for ask in some], some)]
            grants += read_grants(some, reply[1:])
    return grants


def read_grants(asks: Sequence[TokenRequest], words: Sequence[int]) -> list[TokenGrant]:
    """Read what take answers."""
    return [
        TokenGrant(ask.limit.name, ask.number, tokens, wait_us)
        for ask, (tokens, wait_us) in zip(asks, batched(words, 2), strict=True)
    ]
