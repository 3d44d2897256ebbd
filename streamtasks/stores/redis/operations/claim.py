"""Claim messages, and wait for them: the calls of a child, see `channel`."""

from __future__ import annotations

from collections.abc import Sequence

from ....protocol.keys import Keys
from ....settings import StoreSettings
from ...types import ClaimRequest, Filter
from ..batches import MOST_BYTES
from ..scripts import Call, script

__all__ = ["claim_call", "claim_counts", "pass_on_call", "wake_lists"]


def wake_lists(keys: Keys, queues: Filter) -> list[str]:
    """Return the wake lists that a child with this filter waits on."""
    if queues.mode == "only":
        return [keys.queue_wake(queue) for queue in queues.queues]
    return [keys.wake]


def pass_on_call(keys: Keys, queues: Filter) -> Call:
    """Build pass_on for a child with this filter."""
    return Call(script("pass_on"), [keys.ready, *wake_lists(keys, queues)], [queues.mode, *queues.queues])


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
    return Call(
        script("claim"),
        [
            keys.ready,
            keys.messages,
            keys.state,
            keys.leases,
            keys.running,
            keys.claim(consumer),
            keys.dead,
            keys.batches,
            keys.limits,
            keys.asking,
            keys.control,
            keys.news,
            keys.events,
            *wakes,
            *map(keys.stream, candidates),
        ],
        [
            consumer,
            request.sequence,
            request.most,
            settings.lease_ms,
            int(request.alone),
            MOST_BYTES,
            settings.max_dead_letters,
            settings.events_kept,
            len(wakes),
            len(queues.queues),
            queues.mode,
            *queues.queues,
            *candidates,
        ],
    )


def claim_counts(words: bytes) -> tuple[int, int, int, str]:
    """Read what claim answers of a message's past: attempt, retries, first start in ms, and `Claimed.skip_reason`."""
    attempt, retries, first, *skip_reason = words.split(b" ")
    return int(attempt), int(retries), int(first), skip_reason[0].decode().replace(":", " ", 1) if skip_reason else ""
