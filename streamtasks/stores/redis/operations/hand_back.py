"""Take claimed messages back without an outcome: hand back, charge a crash, reclaim."""

from __future__ import annotations

from collections.abc import Collection, Container, Iterable, Sequence
from itertools import batched
from typing import Final

from ....protocol.keys import Keys
from ...types import Charge, Claimed, ClaimId, Exhausted, Reclaim
from ..batches import MOST, chunks
from ..scripts import Call, script
from ..shards import Operation, Shards

__all__ = [
    "charge",
    "charge_call",
    "hand_back",
    "hand_back_call",
    "holdings",
    "holdings_call",
    "reclaim",
    "reclaim_call",
]

MOST_LEASES: Final = 1000
"""Most leases that one call looks at."""


def hand_back_call(
    keys: Keys,
    claimed: Sequence[Claimed],
    names: Iterable[str],
    invalidate: ClaimId | None,
    gone: bool,
    alone: Container[str] = (),
) -> Call:
    """Build hand_back; ``names`` are streams known besides those of the messages, ``alone``: ids."""
    all_names = list(dict.fromkeys([*(c.stream for c in claimed), *names]))
    consumer, sequence = invalidate or ("", 0)
    return script("hand_back").call(
        keys,
        last_claim=keys.claim(consumer),
        consumer=consumer,
        sequence=sequence,
        gone=int(gone),
        streams=all_names,
        more_args=[word for c in claimed for word in (c.id, c.token, int(c.id in alone))],
    )


def charge_call(keys: Keys, attempts: Sequence[tuple[Claimed, int, str]], limit: int, delay_ms: int) -> Call:
    """Build charge: (claimed, started ms, report) of attempts whose child died."""
    names = list(dict.fromkeys(c.stream for c, _, _ in attempts))
    return script("charge").call(
        keys,
        crash_limit=limit,
        delay_ms=delay_ms,
        streams=names,
        more_args=[word for c, started, report in attempts for word in (c.id, c.token, started, report)],
    )


def reclaim_call(keys: Keys, names: Sequence[str], most: int, lost_limit: int, lease_ms: int, report: str) -> Call:
    """Build reclaim with the stream names the caller knows of."""
    return script("reclaim").call(
        keys, most=most, lost_limit=lost_limit, lease_ms=lease_ms, report=report, streams=names
    )


def hand_back(
    shards: Shards,
    tag: str,
    claimed: Sequence[Claimed],
    *,
    invalidate: ClaimId | None = None,
    gone: bool = False,
    alone: Container[str] = (),
) -> Operation[list[bool]]:
    """See `SupervisorStore.hand_back`."""
    shard = shards.by_tag[tag]
    answers: list[bool] = []
    for some in list(chunks(claimed)) or [[]]:
        last = len(answers) + len(some) == len(claimed)
        names: list[str] = list(shard.names) if invalidate and last else []
        done = [False] * len(some)
        while True:
            what = invalidate if last else None
            [reply] = yield [hand_back_call(shard.keys, some, names, what, gone, alone)]
            done = [before or code == 1 for before, code in zip(done, reply[2:], strict=True)]
            if not reply[1]:
                break
            names = shard.with_missing(names, reply[1])
        answers += done
    return answers


def holdings_call(keys: Keys, place: int, most: int, consumers: Collection[str]) -> Call:
    """Build holdings."""
    return script("holdings").call(keys, place=place, most=most, more_args=list(consumers))


def holdings(shards: Shards, tag: str, consumers: Collection[str]) -> Operation[list[Claimed]]:
    """See `SupervisorStore.holdings`."""
    found: list[Claimed] = []
    place: int = 0
    while place >= 0:
        [reply] = yield [holdings_call(shards.by_tag[tag].keys, place, MOST_LEASES, consumers)]
        place = reply[0]
        for raw in batched(reply[1:], 3):
            task_id, token, name = (word.decode() for word in raw)
            found.append(Claimed(task_id, token, name, "", 0, 0, 0, b""))
    return found


def charge(shards: Shards, tag: str, attempts: Sequence[tuple[Claimed, int, str]]) -> Operation[list[Charge]]:
    """See `SupervisorStore.charge`."""
    settings = shards.settings
    answers: list[Charge] = []
    for some in chunks(attempts):
        delay_ms = round(settings.crash_delay_s * 1000)
        [reply] = yield [charge_call(shards.by_tag[tag].keys, some, settings.crash_limit, delay_ms)]
        answers += map(Charge, reply[1:])
    return answers


def reclaim(shards: Shards, tag: str) -> Operation[Reclaim]:
    """See `SupervisorStore.reclaim`."""
    shard, settings = shards.by_tag[tag], shards.settings
    report = '{"kind":"LOST"'
    total = 0
    exhausted: list[Exhausted] = []
    names = list(shard.names)
    while True:
        call = reclaim_call(shard.keys, names, MOST, settings.lost_limit, settings.lease_ms, report)
        [reply] = yield [call]
        _, missing, reclaimed, flat, more = reply
        total += reclaimed
        for at in range(0, len(flat), 7):
            task_id, token, name, entry, attempt, started, first = flat[at : at + 7]
            exhausted.append(
                Exhausted(
                    task_id.decode(),
                    token.decode(),
                    name.decode(),
                    entry.decode(),
                    int(attempt),
                    int(started),
                    int(first),
                )
            )
        names = shard.with_missing(names, missing)
        if not missing and not more:
            return Reclaim(total, exhausted)
