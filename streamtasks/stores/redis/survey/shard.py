"""Read what lies in a shard: counts, streams, held messages, workers; look through keys that have the prefix."""

from __future__ import annotations

import re
from binascii import crc_hqx
from collections.abc import Sequence
from itertools import batched
from typing import Any, Final

import orjson

from ....protocol.keys import GROUP, Keys
from ...inspection_types import WorkerInfo
from ...survey_types import MOST_STREAMS, Held, KeySample, Refused, ShardSurvey, StreamSurvey
from ..inquiry import Inquiry, pairs
from ..operations.tags import NOTE_TAG

__all__ = ["sample_keys", "survey_shard"]

MOST_WORKERS: Final = 1000
MOST_HELD: Final = 100
MOST_SHOWN: Final = 5
LOOKS: Final = 20
"""How many times SCAN is called, a thousand keys each."""

RETURNED: Final = "returned"
"""The consumer that stands for messages that were handed back: nobody holds them."""

PAUSED: Final = "paused:"
"""How the consumer begins that stands for messages of a paused task."""

_OURS = re.compile(r"[^{}]*\{([^{}]+)\}:[a-z_]+")


class _Reader:
    """Asks questions whose answers are numbers, lists or nothing; keeps what was refused."""

    def __init__(self, inquiry: Inquiry) -> None:
        self._inquiry = inquiry
        self.refused: dict[str, str] = {}

    def ask(self, *words: Any) -> Any:
        reply = self._inquiry.ask(*words)
        if isinstance(reply, Refused):
            self.refused[str(words[0])] = reply.text
            return None
        return reply

    def count(self, *words: Any) -> int:
        return int(self.ask(*words) or 0)


def survey_shard(inquiry: Inquiry, keys: Keys) -> ShardSurvey:
    """Read a shard, in time that does not grow with its messages."""
    reader = _Reader(inquiry)
    time = reader.ask("TIME")
    now_ms = int(time[0]) * 1000 + int(time[1]) // 1000 if time else 0
    names = reader.ask("ZRANGE", keys.streams, 0, MOST_STREAMS - 1) or []
    streams = [_stream(reader, keys, name) for name in names]
    return ShardSurvey(
        tag=keys.tag,
        slot=crc_hqx(keys.tag.encode(), 0) % 16384,
        unfinished=reader.count("HLEN", keys.messages),
        running=reader.count("ZCARD", keys.running),
        delayed=reader.count("ZCARD", keys.delayed),
        expired_leases=reader.count("ZCOUNT", keys.leases, "-inf", now_ms) if now_ms else 0,
        streams=tuple(stream for stream in streams if stream.length),
        stream_count=reader.count("ZCARD", keys.streams),
        workers=_workers(reader, keys, now_ms),
        projects=_projects(reader, keys),
        now_ms=now_ms,
        refused=reader.refused,
    )


def _stream(reader: _Reader, keys: Keys, name: str) -> StreamSurvey:
    priority, _, queue = name.partition(":")
    key = keys.stream(name)
    length = reader.count("XLEN", key)
    if not length:
        return StreamSurvey(queue, int(priority), 0, 0, 0)
    first = reader.ask("XRANGE", key, "-", "+", "COUNT", 1)
    pending = reader.ask("XPENDING", key, GROUP)
    held: list[Held] = []
    if pending and pending[0]:
        rows = reader.ask("XPENDING", key, GROUP, "-", "+", MOST_HELD) or []
        held = [
            Held(entry, who, int(idle))
            for entry, who, idle, _ in rows
            if who != RETURNED and not who.startswith(PAUSED)
        ]
    oldest_ms = int(first[0][0].partition("-")[0]) if first else 0
    return StreamSurvey(queue, int(priority), length, int(pending[0]) if pending else 0, oldest_ms, tuple(held))


def _workers(reader: _Reader, keys: Keys, now_ms: int) -> tuple[WorkerInfo, ...]:
    found = []
    rows = reader.ask("ZREVRANGE", keys.workers, 0, MOST_WORKERS - 1, "WITHSCORES") or []
    for name, beat in batched(rows, 2):
        text = reader.ask("HGET", keys.worker_info, name)
        try:
            about = orjson.loads(text) if text else {}
        except orjson.JSONDecodeError:
            about = {}
        found.append(WorkerInfo(name, int(float(beat)), about, max(0, now_ms - int(float(beat)))))
    return tuple(found)


def _projects(reader: _Reader, keys: Keys) -> dict[str, int]:
    """Return the projects that declare schedules, with their last beat; HGETALL is no command of a worker."""
    reply = reader.ask("HGETALL", keys.declarations)
    return {name: int(str(value).rpartition(" ")[2] or 0) for name, value in pairs(reply).items()}


def sample_keys(inquiry: Inquiry, prefix: str, tags: Sequence[str]) -> KeySample:
    """Look through keys that begin with the prefix: a few thousand at most."""
    pattern = re.sub(r"([\\*?\[\]])", r"\\\1", prefix) + "*"
    cursor, looked = "0", 0
    foreign: list[str] = []
    foreign_count = 0
    other_tags: set[str] = set()
    for _ in range(LOOKS):
        reply = inquiry.ask("SCAN", cursor, "MATCH", pattern, "COUNT", 1000)
        if isinstance(reply, Refused):
            return KeySample(refused=reply.text)
        cursor, keys = reply
        looked += len(keys)
        for key in keys:
            rest = key[len(prefix) :]
            found = _OURS.match(rest)
            if found is None:
                foreign_count += 1
                if len(foreign) < MOST_SHOWN:
                    foreign.append(key)
            elif rest.startswith("{") and found[1] not in (*tags, NOTE_TAG):
                other_tags.add(found[1])
        if cursor == "0":
            break
    return KeySample(looked, cursor == "0", tuple(foreign), foreign_count, tuple(sorted(other_tags)))
