"""Calls of the scripts that supervisors send: what was claimed goes back, on or to its end; see `calls`."""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence

from ...protocol.keys import Keys
from ...settings import StoreSettings
from ..types import Ask, Claimed, Grant, Void
from .calls import Call, pairs, script

__all__ = [
    "admit",
    "beat",
    "charge",
    "doomed",
    "hand_back",
    "mark_running",
    "progress",
    "promote",
    "reclaim",
    "renew",
    "sweep",
    "take",
]


def hand_back(
    keys: Keys,
    claimed: Sequence[Claimed],
    names: Iterable[str],
    void: Void | None,
    gone: bool,
    alone: Container[str] = (),
) -> Call:
    """Build hand_back; ``names`` are streams known besides those of the messages, ``alone``: ids."""
    all_names = list(dict.fromkeys([*(c.stream for c in claimed), *names]))
    consumer, sequence = void or ("", 0)
    return Call(
        script("hand_back"),
        [
            keys.state,
            keys.leases,
            keys.running,
            keys.ready,
            keys.wake,
            keys.claim(consumer),
            keys.messages,
            keys.streams,
            keys.progress,
            keys.batches,
            keys.waiting,
            keys.limits,
            keys.asking,
            keys.control,
            *pairs(keys, all_names),
        ],
        [
            consumer,
            sequence,
            int(gone),
            len(all_names),
            *all_names,
            *(word for c in claimed for word in (c.id, c.token, int(c.id in alone))),
        ],
    )


def charge(keys: Keys, attempts: Sequence[tuple[Claimed, int, str]], limit: int, delay_ms: int) -> Call:
    """Build charge: (claimed, started ms, report) of attempts whose child died."""
    names = list(dict.fromkeys(c.stream for c, _, _ in attempts))
    return Call(
        script("charge"),
        [
            keys.state,
            keys.leases,
            keys.running,
            keys.ready,
            keys.wake,
            keys.delayed,
            keys.control,
            keys.history,
            keys.totals,
            keys.progress,
            keys.messages,
            keys.streams,
            keys.batches,
            keys.waiting,
            keys.limits,
            keys.asking,
            *pairs(keys, names),
        ],
        [
            limit,
            delay_ms,
            len(names),
            *names,
            *(word for c, started, report in attempts for word in (c.id, c.token, started, report)),
        ],
    )


def promote(keys: Keys, names: Sequence[str], most: int) -> Call:
    """Build promote with the stream names the caller knows of."""
    return Call(
        script("promote"),
        [
            keys.delayed,
            keys.messages,
            keys.state,
            keys.ready,
            keys.streams,
            keys.wake,
            keys.waiting,
            keys.limits,
            keys.asking,
            keys.control,
            keys.links,
            *pairs(keys, names),
        ],
        [most, len(names), *names],
    )


def take(limiters: Sequence[str], asks: Sequence[Ask]) -> Call:
    """Build take: up to 100 asks, with the keys of their limiters."""
    return Call(
        script("take"),
        list(limiters),
        [word for ask in asks for word in (ask.limit.interval_us, ask.limit.burst, ask.tokens)],
    )


def admit(keys: Keys, names: Sequence[str], grants: Sequence[Grant], most: int) -> Call:
    """Build admit with the stream names the caller knows of."""
    return Call(
        script("admit"),
        [
            keys.waiting,
            keys.limits,
            keys.asking,
            keys.messages,
            keys.state,
            keys.ready,
            keys.streams,
            keys.wake,
            *pairs(keys, names),
        ],
        [
            most,
            len(names),
            *names,
            *(word for grant in grants for word in grant),
        ],
    )


def reclaim(keys: Keys, names: Sequence[str], most: int, lost_limit: int, lease_ms: int, report: str) -> Call:
    """Build reclaim with the stream names the caller knows of."""
    return Call(
        script("reclaim"),
        [
            keys.leases,
            keys.state,
            keys.running,
            keys.ready,
            keys.wake,
            keys.beat,
            keys.messages,
            keys.streams,
            keys.totals,
            keys.history,
            keys.progress,
            keys.batches,
            keys.waiting,
            keys.limits,
            keys.asking,
            keys.control,
            *pairs(keys, names),
        ],
        [most, lost_limit, lease_ms, report, len(names), *names],
    )


def mark_running(keys: Keys, attempts: Sequence[tuple[Claimed, int]], settings: StoreSettings) -> Call:
    """Build mark_running: (claimed, ms since it started)."""
    return Call(
        script("mark_running"),
        [keys.state, keys.running, keys.news, keys.events],
        [settings.events_kept, *(word for c, ago_ms in attempts for word in (c.id, c.token, ago_ms))],
    )


def renew(keys: Keys, tokens: Sequence[str], lease_ms: int) -> Call:
    """Build renew: up to 100 tokens."""
    return Call(
        script("renew"),
        [keys.leases],
        [lease_ms, *tokens],
    )


def beat(keys: Keys, worker: str, info: str, lease_ms: int, prune_ms: int) -> Call:
    """Build beat; empty ``info``: the worker leaves."""
    return Call(script("beat"), [keys.workers, keys.worker_info, keys.beat], [worker, info, lease_ms, prune_ms])


def progress(keys: Keys, reports: Sequence[tuple[Claimed, bytes]]) -> Call:
    """Build progress."""
    return Call(
        script("progress"),
        [keys.state, keys.progress, keys.news],
        [word for c, data in reports for word in (c.id, c.token, data)],
    )


def sweep(keys: Keys, names: Sequence[str], idle_ms: int, next_at: int, most: int) -> Call:
    """Build sweep of these streams; it returns the names of the next ``most`` from place ``next_at``."""
    return Call(script("sweep"), [keys.streams, *map(keys.stream, names)], [idle_ms, next_at, most])


def doomed(keys: Keys, claimed: Sequence[Claimed]) -> Call:
    """Build doomed: up to 100 messages."""
    return Call(script("doomed"), [keys.state], [word for c in claimed for word in (c.id, c.token)])
