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
from ..scripts import Call, script
from ..shards import Operation, Shards

__all__ = ["admit", "admit_call", "read_asks", "read_grants", "take_call"]


def take_call(keys: Keys, asks: Sequence[TokenRequest]) -> Call:
    """Build take: up to 100 requests of limiters that live on one shard."""
    return script("take").call(
        keys,
        more_keys=[keys.limiter(ask.limit.name) for ask in asks],
        more_args=[word for ask in asks for word in (ask.limit.interval_us, ask.limit.burst, ask.tokens)],
    )


def admit_call(keys: Keys, names: Sequence[str], grants: Sequence[TokenGrant], most: int) -> Call:
    """Build admit with the stream names the caller knows of."""
    return script("admit").call(keys, most=most, streams=names, more_args=[word for grant in grants for word in grant])


def admit(shards: Shards, tag: str) -> Operation[Admission]:
    """See `SupervisorStore.admit`: take tokens for what the shard asks, until it asks for nothing more now."""
    shard = shards.by_tag[tag]
    grants: list[TokenGrant] = []
    admitted, names = 0, list(shard.names)
    while True:
        [reply] = yield [admit_call(shard.keys, names, grants, MOST)]
        _, missing, count, next_us, words, more = reply
        admitted += count
        names = shard.with_missing(names, missing)
        if missing or more:
            continue  # a grant counts once: those that were used are passed over
        asks = read_asks(words)
        if not asks:
            return Admission(admitted, next_us if next_us >= 0 else None)
        grants = yield from _take(shards, asks)


def read_asks(words: Sequence[Any]) -> list[TokenRequest]:
    """Read the requests for tokens in the reply to admit."""
    return [
        TokenRequest(Limit(name.decode(), int(interval), int(burst)), tokens, number)
        for name, interval, burst, tokens, number in batched(words, 5)
    ]


def _take(shards: Shards, asks: Sequence[TokenRequest]) -> Operation[list[TokenGrant]]:
    """Ask limiters for tokens. A limiter lives on the shard that its name selects."""
    grants: list[TokenGrant] = []
    by_tag: dict[str, list[TokenRequest]] = {}
    for ask in asks:
        by_tag.setdefault(limiter_tag(ask.limit.name, shards.tags), []).append(ask)
    for tag, of_tag in by_tag.items():
        keys = shards.by_tag[tag].keys
        for some in chunks(of_tag):
            [reply] = yield [take_call(keys, some)]
            grants += read_grants(some, reply[1:])
    return grants


def read_grants(asks: Sequence[TokenRequest], words: Sequence[int]) -> list[TokenGrant]:
    """Read the reply to take."""
    return [
        TokenGrant(ask.limit.name, ask.number, tokens, wait_us)
        for ask, (tokens, wait_us) in zip(asks, batched(words, 2), strict=True)
    ]
