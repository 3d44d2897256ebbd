"""Calls of a keeper that concern several shards: to all at once, so that one that is away delays no other."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping

__all__ = ["on_each"]


async def on_each[P, T](parts: Mapping[str, P], call: Callable[[str, P], Awaitable[T]]) -> dict[str, T]:
    """Call each shard with its part; return the answers by tag.

    Raises:
        StoreError: a shard could not be reached; all others have been called.
    """
    if len(parts) < 2:
        return {tag: await call(tag, part) for tag, part in parts.items()}
    answers = await asyncio.gather(*(call(tag, part) for tag, part in parts.items()), return_exceptions=True)
    answered: dict[str, T] = {}
    for tag, answer in zip(parts, answers, strict=True):
        if isinstance(answer, BaseException):
            raise answer
        answered[tag] = answer
    return answered
