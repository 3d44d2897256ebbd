"""How much goes into one call: at most 100 messages, and `MOST_BYTES` plus one member."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Final

__all__ = ["MOST", "MOST_BYTES", "batches", "chunks"]

MOST: Final = 100

MOST_BYTES: Final = 512 * 1024
"""A call carries, or returns, no more bytes of envelopes than this, plus one message.

1 MiB of messages of 10 KB takes a server up to 6 ms; a script must not keep others waiting for more than 5.
"""


def chunks[T](items: Iterable[T], size: int = MOST) -> Iterator[list[T]]:
    """Cut items into lists of at most ``size``, in their order."""
    iterator = iter(items)
    while chunk := list(islice(iterator, size)):
        yield chunk


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
