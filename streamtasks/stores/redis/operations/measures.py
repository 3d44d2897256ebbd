"""Measure a store: what lies in its queues, and how its masters are (measures.lua, INFO)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import batched
from typing import Any, Final

from ....protocol.keys import Keys
from ....protocol.shards import limiter_tag
from ...measure_types import MOST_LIMITS, LimitMeasure, Measures, QueueMeasure, ServerMeasure
from ..scripts import Answer, Behind, Call, script
from ..shards import Operation, Request, Shards

__all__ = ["limit_tokens_call", "measures", "measures_call"]

MOST: Final = 100
"""So many streams are looked at in one call."""

_SECTIONS: Final = ("server", "memory", "replication")


def measures_call(keys: Keys, names: Sequence[str], after: str, most: int) -> Call:
    """Build measures of these streams; it returns the names of the next ``most`` behind ``after``."""
    return script("measures").call(keys, after=after, most=most, more_keys=map(keys.stream, names), more_args=names)


def measures(shards: Shards) -> Operation[Measures]:
    """See `Store.measures`. One round trip for each hundred streams of a shard, one more, and one for limits in use."""
    by_queue: dict[str, QueueMeasure] = {}
    waits: dict[tuple[str, bytes], int] = {}
    limits: dict[str, tuple[int, int]] = {}
    operations: dict[tuple[str, str], int] = {}
    totals = [0] * 5
    overdue_ms = latest_ms = 0
    servers: list[ServerMeasure] = []
    left: list[tuple[Keys, list[str]]] = [(shard.keys, []) for shard in shards.by_tag.values()]
    is_first = True
    while left:
        calls = [measures_call(keys, names, names[-1] if names else "", MOST) for keys, names in left]
        replies = yield Request(calls, None, _asked if is_first else None)
        if is_first:
            servers = [server for answer in replies[len(calls) :] if (server := _server(answer)) is not None]
        more = []
        for (keys, names), (now_ms, counts, found, next_names, its_waits, its_limits, audited) in zip(
            left, replies, strict=False
        ):
            latest_ms = max(latest_ms, now_ms)
            if is_first:
                totals = [total + count for total, count in zip(totals, counts, strict=False)]
                overdue_ms = max(overdue_ms, now_ms - counts[5] if counts[5] else 0)
            for name, (ready, claimed, since_ms, added) in zip(names, batched(found, 4), strict=True):
                oldest_ms = max(1, now_ms - since_ms) if since_ms else 0
                queue = name.partition(":")[2]
                measure = QueueMeasure(queue, ready, claimed, oldest_ms, added)
                by_queue[queue] = measure.plus(by_queue.get(queue))
            for word, count in batched(audited, 2):
                outcome, _, operation = word.decode().partition(" ")
                operations[operation, outcome] = operations.get((operation, outcome), 0) + int(count)
            limits |= {name.decode(): (interval, burst) for name, interval, burst in batched(its_limits, 3)}
            waits |= {(keys.tag, kind): int(count) for kind, count in batched(its_waits, 2)}
            if next_names:
                more.append((keys, [raw.decode() for raw in next_names]))
        left, is_first = more, False
    for (_, raw), count in waits.items():
        kind, _, queue = raw.decode().partition(" ")
        is_delayed = kind == "delayed"
        measure = QueueMeasure(queue, 0, 0, 0, delayed=count if is_delayed else 0, limited=0 if is_delayed else count)
        by_queue[queue] = measure.plus(by_queue.get(queue))
    unfinished, running, delayed, limited, dead_kept = totals
    queues = sorted(by_queue.values())
    tokens = yield from _limit_tokens(shards, dict(sorted(limits.items())[:MOST_LIMITS]))
    return Measures(
        queues, unfinished, running, delayed, limited, dead_kept, overdue_ms, servers, latest_ms, tokens, operations
    )


def limit_tokens_call(keys: Keys, rates: Mapping[str, tuple[int, int]]) -> Call:
    """Build limit_tokens: of limiters that live on one shard, with interval (us) and burst."""
    return script("limit_tokens").call(
        keys, more_keys=map(keys.limiter, rates), more_args=[number for rate in rates.values() for number in rate]
    )


def _limit_tokens(shards: Shards, rates: Mapping[str, tuple[int, int]]) -> Operation[list[LimitMeasure]]:
    by_tag: dict[str, dict[str, tuple[int, int]]] = {}
    for name, rate in rates.items():
        by_tag.setdefault(limiter_tag(name, shards.tags), {})[name] = rate
    found: list[LimitMeasure] = []
    if by_tag:
        replies = yield [limit_tokens_call(shards.by_tag[tag].keys, its) for tag, its in by_tag.items()]
        for its, (_, *tokens) in zip(by_tag.values(), replies, strict=True):
            found += map(LimitMeasure, its, tokens)
    return sorted(found)


def _asked(_master: str) -> Behind:
    return Behind([("INFO", section) for section in _SECTIONS])


def _server(answer: Answer) -> ServerMeasure | None:
    """Return what a master has told of itself; None if the user may not ask."""
    if not all(isinstance(reply, bytes) for reply in answer.replies):
        return None
    info = dict(_LINE.findall(b"\r\n".join(answer.replies).decode("utf-8", "replace")))
    version = info.get("valkey_version") or info.get("redis_version", "")
    return ServerMeasure(
        answer.master, version, int(info.get("used_memory", 0)), int(info.get("maxmemory", 0)), _lag_bytes(info)
    )


_LINE: Final = re.compile(r"^(\w+):([^\r\n]*)", re.MULTILINE)
_OFFSET: Final = re.compile(r"offset=(\d+)")


def _lag_bytes(info: dict[str, Any]) -> int | None:
    """Return what the slowest replica has yet to get, bytes; None: there is no replica."""
    ours = int(info.get("master_repl_offset", 0))
    replicas = [line for name, line in info.items() if re.fullmatch(r"slave\d+", name)]
    return max((ours - int(offset) for line in replicas for offset in _OFFSET.findall(line)), default=None)
