"""Remove all that one run has left under a prefix of its own."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from itertools import batched
from typing import Final

from ....protocol.keys import RETENTIONS_H, Keys, stream_name
from ....protocol.shards import tag_of
from ....settings import StoreSettings
from ...survey_types import Refused
from .. import connections
from ..inquiry import Inquiry
from .masters import masters

__all__ = ["remove"]

_AT_ONCE: Final = 500
_NAMED: Final = [
    name for name in Keys.__slots__ if isinstance(getattr(Keys("", "t"), name), str) and name not in ("_base", "tag")
]
_TAGS: Final = "tags"
"""The tag under which those of the shards are noted."""

_HOUR_S: Final = 3600


def remove(
    settings: StoreSettings, queues: Sequence[str], ids: Sequence[str], consumers: Sequence[str], since_s: float
) -> str:
    """Unlink every key that tasks with these ids and these consumers have made; nothing is looked for.

    Args:
        settings: whose key_prefix was used for nothing else.
        queues: of the tasks, whose priority is 0.
        ids: of the tasks.
        consumers: that have claimed.
        since_s: when the first task was enqueued, seconds since the epoch.

    Returns:
        Why the server refuses that; empty: it was done.
    """
    hours = range(int(since_s) // _HOUR_S - 1, int(time.time()) // _HOUR_S + 2)
    by_tag: dict[str, list[str]] = {tag: [] for tag in (*settings.tags, _TAGS)}
    for task_id in ids:
        by_tag[tag_of(task_id, settings.tags)].append(task_id)
    for master, tags in masters(settings, tuple(by_tag)):
        if not tags:
            continue
        with Inquiry(connections.new_connection(master), master) as inquiry:
            for tag in tags:
                for some in batched(
                    _keys(Keys(settings.key_prefix, tag), queues, by_tag[tag], consumers, hours), _AT_ONCE
                ):
                    answer = inquiry.ask("UNLINK", *some)
                    if isinstance(answer, Refused):
                        return answer.text
    return ""


def _keys(
    keys: Keys, queues: Sequence[str], ids: Sequence[str], consumers: Sequence[str], hours: Iterable[int]
) -> Iterable[str]:
    for name in _NAMED:
        yield getattr(keys, name)
    for queue in queues:
        yield from (keys.stream(stream_name(queue, 0)), keys.queue_wake(queue))
    for hour in hours:
        yield from (keys.counts(hour), keys.minute_series(hour), keys.hour_series(hour // 24))
        yield from (keys.finished(hour, retention) for retention in RETENTIONS_H)
    for consumer in consumers:
        yield keys.claim(consumer)
    for task_id in ids:
        yield from (keys.record(task_id), keys.log(task_id))
