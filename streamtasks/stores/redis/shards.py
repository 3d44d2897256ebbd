"""The shards of one store as operations see them: their keys, and what was learnt from earlier replies."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Generator, Iterable, Sequence
from typing import Any, Final, NamedTuple

from ...protocol.keys import Keys
from ...protocol.shards import schedule_tag, tag_of
from ...settings import StoreSettings
from .replica_count import ReplicaCounts
from .scripts import BehindOf, Call

__all__ = ["Operation", "Request", "Shard", "Shards"]

MOST_NAMES: Final = 32
"""How many streams a shard remembers."""

MOST_STREAMS: Final = 256
"""How many streams one call brings; more than any script misses at once."""


class Request(NamedTuple):
    """Calls to send in one packet.

    ``retry_time_s``: for how long they are repeated, seconds; None: as settings say. ``behind``: what is sent behind
    them, to each master that they concern (to all if there are no calls); the replies are an `Answer` of each.
    ``partial``: what masters of a Cluster that cannot be reached do not answer is an error among the replies.
    """

    calls: list[Call]
    retry_time_s: float | None = None
    behind: BehindOf | None = None
    partial: bool = False


type Operation[T] = Generator[list[Call] | Request, list[Any], T]
"""An operation, written once for sync and async: it yields calls, is sent their replies, and returns its result.

A driver (`driver.BlockingDriver`, `driver.AwaitingDriver`) sends the calls of one yield in one round trip.
"""


class Shard:
    """The keys of one shard, the streams met there lately, and how far the server's clock is from ours."""

    __slots__ = ("clock_offset_ms", "keys", "names")

    def __init__(self, prefix: str, tag: str) -> None:
        self.keys = Keys(prefix, tag)
        self.names: OrderedDict[str, None] = OrderedDict()  # newest last
        self.clock_offset_ms = 0

    def learn(self, names: Iterable[bytes]) -> None:
        """Remember streams."""
        for raw in names:
            name = raw.decode()
            self.names[name] = None
            self.names.move_to_end(name)
        while len(self.names) > MOST_NAMES:
            self.names.popitem(last=False)

    def with_missing(self, names: Iterable[str], missing: Sequence[bytes]) -> list[str]:
        """Return the streams to bring next, after a script has missed some.

        All of these come first, so that the script does at least what it missed them for: calling it again comes to an
        end, however many streams there are.
        """
        if not missing:
            return list(names)
        self.learn(missing)
        return list(dict.fromkeys([*(raw.decode() for raw in missing), *names]))[:MOST_STREAMS]

    def learn_clock(self, now_ms: int) -> None:
        """Take in the server's time, ms since the epoch."""
        self.clock_offset_ms = now_ms - time.time_ns() // 1_000_000

    def now_ms(self) -> int:
        """Return the time by the server's clock, as far as it is known, ms since the epoch."""
        return time.time_ns() // 1_000_000 + self.clock_offset_ms

    def hour(self) -> int:
        """Return the current hour since the epoch by the server's clock, as far as it is known."""
        return self.now_ms() // 3_600_000


class Shards:
    """All shards of one store. Holds no connection; may be shared between threads."""

    def __init__(self, settings: StoreSettings) -> None:
        self.settings = settings
        self.tags = settings.tags
        self.agreed = False  # whether the server has noted these shards
        self.by_tag = {tag: Shard(settings.key_prefix, tag) for tag in settings.tags}
        self.replica_counts = ReplicaCounts()

    def tag_of(self, task_id: str) -> str:
        """Return the tag of the shard of a task's or workflow's id."""
        return tag_of(task_id, self.tags)

    def of(self, task_id: str) -> Shard:
        """Return the shard of a task's or workflow's id."""
        return self.by_tag[tag_of(task_id, self.tags)]

    def of_schedule(self, name: str) -> Shard:
        """Return the shard of a schedule."""
        return self.by_tag[schedule_tag(name, self.tags)]

    def names_at(self, shard: Shard) -> list[str]:
        """Return the streams met at a shard lately; where none was met yet, those of another: queues are the same."""
        return list(shard.names or next((one.names for one in self.by_tag.values() if one.names), shard.names))

    def indexes_by_tag(self, ids: Iterable[str]) -> dict[str, list[int]]:
        """Group ids by shard: tag -> their indexes."""
        found: dict[str, list[int]] = {}
        for index, task_id in enumerate(ids):
            found.setdefault(tag_of(task_id, self.tags), []).append(index)
        return found
