"""How much goes into one call: at most 100 messages, and `MOST_BYTES` plus one member."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Final

from .calls import MOST_BYTES

__all__ = ["MOST", "batches"]

MOST: Final = 100


def batches[T](
    members: Iterable[T],
    size: Callable[[T], int],
    *,
    messages: Callable[[T], int] = lambda _: 1,
    together: Callable[[T, T], bool] = lambda _first, _other: True,
) -> Iterator[list[T]]:
    """Cut members into batches for one call each, in their order; a member stays whole.

    Args:
        members: what is to be sent.
        size: of a member, bytes.
        messages: how many messages it counts as, at least 1.
        together: whether a member may be in one call with its first.
    """
    some: list[T] = []
    count = weight = 0
    for one in members:
        more = messages(one)
        if some and (count + more > MOST or weight > MOST_BYTES or not together(some[0], one)):
            yield some
            some, count, weight = [], 0, 0
        some.append(one)
        count += more
        weight += size(one)
    if some:
        yield some
