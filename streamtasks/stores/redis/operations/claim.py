"""Claim messages, and wait for them: the calls of a child, see `channel`."""

from __future__ import annotations

from collections.abc import Sequence

from ....protocol.keys import Keys
from ....settings import StoreSettings
from ...rules.consumers import worker_of
from ...types import ClaimRequest, Filter
from ..batches import MOST_BYTES
from ..scripts import Call, script
from ..shards import Operation, Request, Shards

__all__ = ["claim_call", "claim_counts", "pass_wake_call", "ready", "ready_call", "wake_lists"]


def wake_lists(keys: Keys, queues: Filter) -> list[str]:
    """Return the wake lists that a child with this filter waits on."""
    if queues.mode == "only":
        return [keys.queue_wake(queue) for queue in queues.queues]
    return [keys.wake]


def pass_wake_call(keys: Keys, queues: Filter) -> Call:
    """Build pass_wake for a child with this filter."""
    return script("pass_wake").call(
        keys, filter_mode=queues.mode, more_keys=wake_lists(keys, queues), more_args=queues.queues
    )


def ready_call(keys: Keys, queues: Filter) -> Call:
    """Build ready for a child with this filter."""
    return script("ready").call(
        keys, filter_mode=queues.mode, more_keys=wake_lists(keys, queues), more_args=queues.queues
    )


def ready(shards: Shards, queues: Filter, tags: Sequence[str]) -> Operation[dict[str, int | None]]:
    """See `SupervisorStore.ready`."""
    replies = yield Request([ready_call(shards.by_tag[tag].keys, queues) for tag in tags], 0.0, partial=True)
    return {
        tag: reply[0] - 101 if reply[0] else None
        for tag, reply in zip(tags, replies, strict=True)
        if not isinstance(reply, Exception)
    }


def claim_call(
    keys: Keys,
    consumer: str,
    request: ClaimRequest,
    queues: Filter,
    candidates: Sequence[str],
    settings: StoreSettings,
) -> Call:
    """Build claim with the caller's candidate streams."""
    wakes = wake_lists(keys, queues)
    return script("claim").call(
        keys,
        last_claim=keys.claim(consumer),
        suspect=keys.suspect(worker_of(consumer)),
        consumer=consumer,
        sequence=request.sequence,
        most=request.most,
        lease_ms=settings.lease_ms,
        alone=int(request.alone) if request.suspects else -1,
        most_bytes=MOST_BYTES,
        dead_kept=settings.max_dead_letters,
        dead_bytes_kept=settings.max_dead_letter_bytes,
        events_kept=settings.events_kept,
        wake_count=len(wakes),
        filter_count=len(queues.queues),
        filter_mode=queues.mode,
        listens=1 if request.tag else 0,
        least=request.least,
        more_keys=[*wakes, *map(keys.stream, candidates)],
        more_args=[*queues.queues, *candidates],
    )


def claim_counts(words: bytes) -> tuple[int, int, int, str]:
    """Read the counts in the reply to claim: attempt, retries, first start in ms, and `Claimed.skip_reason`."""
    attempt, retries, first, *skip_reason = words.split(b" ")
    return int(attempt), int(retries), int(first), skip_reason[0].decode().replace(":", " ", 1) if skip_reason else ""
