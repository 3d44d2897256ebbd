"""Tokens of rate limits: what a shard asks a limiter for, and what the limiter grants. Only stores see them."""

from __future__ import annotations

from typing import NamedTuple

from .types import Limit

__all__ = ["TokenGrant", "TokenRequest"]


class TokenRequest(NamedTuple):
    """A limit whose waiting messages could use up to ``tokens`` now; ``number`` rises with each request of a shard."""

    limit: Limit
    tokens: int
    number: int


class TokenGrant(NamedTuple):
    """The answer to a request: ``tokens`` starts may happen now; if none, the next one in ``wait_us`` (microseconds).

    A shard uses each grant once: it knows the ``number`` of the last one that it used.
    """

    name: str
    number: int
    tokens: int
    wait_us: int
