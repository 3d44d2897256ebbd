"""Keep claims and workers alive: leases, heartbeats, starts and progress of attempts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson

from ....protocol.keys import Keys
from ....settings import StoreSettings
from ...inspection_types import LISTENS, LISTENS_MS
from ...types import Claimed, Coming, Heartbeat
from ..batches import chunks
from ..scripts import Call, script
from ..shards import Operation, Shards

__all__ = [
    "beat",
    "beat_call",
    "mark_running",
    "mark_running_call",
    "progress",
    "progress_call",
    "renew",
    "renew_call",
]


def mark_running_call(keys: Keys, attempts: Sequence[tuple[Claimed, int]], settings: StoreSettings) -> Call:
    """Build mark_running: (claimed, ms since it started)."""
    return script("mark_running").call(
        keys,
        events_kept=settings.events_kept,
        more_args=[word for c, ago_ms in attempts for word in (c.id, c.token, ago_ms)],
    )


def mark_running(shards: Shards, tag: str, attempts: Sequence[tuple[Claimed, int]]) -> Operation[list[bool]]:
    """See `SupervisorStore.mark_running`."""
    answers: list[bool] = []
    for some in chunks(attempts):
        [reply] = yield [mark_running_call(shards.by_tag[tag].keys, some, shards.settings)]
        answers += (code == 1 for code in reply[1:])
    return answers


def progress_call(keys: Keys, reports: Sequence[tuple[Claimed, bytes]]) -> Call:
    """Build progress."""
    return script("progress").call(keys, more_args=[word for c, data in reports for word in (c.id, c.token, data)])


def progress(shards: Shards, tag: str, reports: Sequence[tuple[Claimed, bytes]]) -> Operation[list[bool]]:
    """See `SupervisorStore.progress`."""
    answers: list[bool] = []
    for some in chunks(reports):
        [reply] = yield [progress_call(shards.by_tag[tag].keys, some)]
        answers += (code == 1 for code in reply)
    return answers


def renew_call(keys: Keys, tokens: Sequence[str], lease_ms: int) -> Call:
    """Build renew: up to 100 tokens."""
    return script("renew").call(keys, lease_ms=lease_ms, more_args=tokens)


def renew(shards: Shards, tag: str, tokens: Sequence[str]) -> Operation[list[bool]]:
    """See `SupervisorStore.renew`."""
    answers: list[bool] = []
    for some in chunks(tokens):
        [reply] = yield [renew_call(shards.by_tag[tag].keys, some, shards.settings.lease_ms)]
        answers += (code == 1 for code in reply[1:])
    return answers


def beat_call(keys: Keys, worker: str, info: str, lease_ms: int, prune_ms: int, listens_ms: int = 0) -> Call:
    """Build beat; empty ``info``: the worker leaves. ``listens_ms``: for how long it is remembered that it listens."""
    return script("beat").call(
        keys, worker=worker, info=info, lease_ms=lease_ms, prune_ms=prune_ms, listens_ms=listens_ms
    )


def beat(shards: Shards, tag: str, worker: str, info: dict[str, Any] | None) -> Operation[Heartbeat]:
    """See `SupervisorStore.beat`."""
    lease_ms = shards.settings.lease_ms
    text = "" if info is None else orjson.dumps(info).decode()
    listens_ms = LISTENS_MS if info is not None and info.get(LISTENS) else 0
    [reply] = yield [
        beat_call(shards.by_tag[tag].keys, worker, text, lease_ms, max(20 * lease_ms, 600_000), listens_ms)
    ]
    *times, request = reply[3:]
    return Heartbeat(reply[0], reply[1], reply[2], Coming(*(None if ms < 0 else ms for ms in times)), request.decode())
