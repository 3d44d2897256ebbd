"""Ids, and the shards on which they live."""

from __future__ import annotations

import os
import time
from binascii import crc_hqx
from collections.abc import Iterable
from hashlib import sha256
from itertools import count
from typing import Final, Self

__all__ = [
    "ALL_TAGS",
    "Tags",
    "id_beside",
    "is_recent",
    "limiter_tag",
    "new_id",
    "node_id",
    "node_of",
    "occurrence_id",
    "schedule_tag",
    "tag_of",
]

ALL_TAGS: Final = (
    "u0", "qp", "dj", "wz", "d2", "pv", "uh", "iy", "ly", "h9", "uv", "q6", "rz", "qn", "dt", "ha",
    "ru", "nd", "kz", "wk", "cw", "g7", "zx", "fi", "sm", "5v", "jb", "vs", "bo", "5w", "c1", "gq",
    "6u", "25", "kr", "o2", "6t", "po", "zp", "fa", "k4", "ot", "63", "2s", "z6", "qw", "c9", "gy",
    "9e", "4w", "db", "xs", "06", "4v", "m1", "iq", "st", "x5", "ez", "yk", "mw", "i7", "tx", "p8",
)  # fmt: skip
"""Hash tags whose slots lie evenly over the 16384 of a Cluster: the i-th of a line near ``i * 1024``, and 512, 0, 256
or 768 more. A Cluster has all of them, or the first of them, as many as its settings say: 16, 32 and all 64 are spread
evenly."""

AT_A_TIME: Final = 16
"""Of more shards, each is given several ids in a row: as many as if there were so few. Else what is enqueued together
would be divided into many small calls."""


RECENT_MS: Final = 2
"""A task whose id was made so short ago, ms, has hardly ended: to ask for its end is in vain, it is waited for."""


class Tags(tuple[str, ...]):  # noqa: SLOT001 - a tuple's slots could only be empty
    """The tags of the shards of one store, in order. The list only ever grows, at its end.

    Attributes:
        first: those that were noted first, as far as is known. Names that do not say their shard are hashed over these
            for ever, so that they are found where they are.
        are_default: the settings say nothing of them; then a shorter list that was noted before does not grow.
    """

    first: tuple[str, ...]
    are_default: bool

    def __new__(cls, tags: Iterable[str], *, are_default: bool = False) -> Self:
        """Return these tags, as if they had all been noted first."""
        made = super().__new__(cls, tags)
        made.first = tuple(made)
        made.are_default = are_default
        return made


_turn = count(int.from_bytes(os.urandom(2), "big"))
_HEX = frozenset("0123456789abcdef")
_VARIANT: Final = {digit: "89ab"[int(digit, 16) & 3] for digit in _HEX}
"""For a random character the one that also carries the variant of a UUID, in its two highest bits."""


def new_id(tags: tuple[str, ...]) -> str:
    """Make an id: 32 hexadecimal characters of a UUIDv7 (RFC 9562), ``-``, and the tag of its shard.

    Ids sort by the time they were made; shards take turns.
    """
    shards = len(tags)
    tag = tags[0] if shards == 1 else tags[next(_turn) * AT_A_TIME // max(shards, AT_A_TIME) % shards]
    # As `_uuid7` makes it, but from characters: that takes half as long as arithmetic with large integers.
    random = os.urandom(10).hex()
    variant = _VARIANT[random[3]]
    return f"{time.time_ns() // 1_000_000:012x}7{random[:3]}{variant}{random[4:19]}-{tag}"


def _uuid7(at_ms: int, random: int, tag: str) -> str:
    value = at_ms << 80 | 0x7 << 76 | (random >> 68 & 0xFFF) << 64 | 0b10 << 62 | (random & (1 << 62) - 1)
    return f"{value:032x}-{tag}"


def is_recent(task_id: str) -> bool:
    """Whether an id was made by us within the last `RECENT_MS`, as far as this machine's clock knows."""
    try:
        age_ms = time.time_ns() // 1_000_000 - int(task_id[:12], 16)
    except ValueError:
        return False
    return 0 <= age_ms <= RECENT_MS and task_id[32:33] == "-"


def _hashed(name: str, tags: tuple[str, ...]) -> str:
    over = tags.first if isinstance(tags, Tags) else tags
    return over[0] if len(over) == 1 else over[crc_hqx(name.encode(), 0) % len(over)]


def tag_of(task_id: str, tags: tuple[str, ...]) -> str:
    """Return the tag of the shard on which an id lives.

    An id of ours names its tag, and a workflow's nodes live where it does. Any other id is hashed over the tags that
    were noted first, see `Tags`.
    """
    if len(tags) == 1:
        return tags[0]
    if ".w" in task_id and (node := node_of(task_id)) is not None:
        task_id = node[0]
    if len(task_id) > 33 and task_id[32] == "-" and task_id[33:] in tags and _HEX.issuperset(task_id[:32]):
        return task_id[33:]
    return _hashed(task_id, tags)


def limiter_tag(limit: str, tags: tuple[str, ...]) -> str:
    """Return the tag of the shard on which the starts of all shards are counted against a rate limit."""
    return _hashed(limit, tags)


def schedule_tag(name: str, tags: tuple[str, ...]) -> str:
    """Return the tag of the shard on which a schedule lives."""
    return _hashed(name, tags)


def occurrence_id(name: str, at_ms: int, tag: str) -> str:
    """Return the id of a schedule's occurrence at a time, ms since the epoch: one occurrence, one id.

    It is like those of `new_id`, of the time of the occurrence; a hash of both stands for the random bits.
    """
    digest = int.from_bytes(sha256(f"{name}\0{at_ms}".encode()).digest()[:10], "big")
    return _uuid7(at_ms, digest, tag)


def id_beside(task_id: str, tags: tuple[str, ...]) -> str:
    """Make an id on the shard on which another one lives."""
    return new_id((tag_of(task_id, tags),))


def node_id(workflow_id: str, number: int) -> str:
    """Return the id of a workflow's node."""
    return f"{workflow_id}.w{number}"


def node_of(task_id: str) -> tuple[str, int] | None:
    """Return (workflow's id, number) of an id that is a node's; None if it cannot be one."""
    workflow_id, _, number = task_id.rpartition(".w")
    return (workflow_id, int(number)) if workflow_id and number.isascii() and number.isdigit() else None
