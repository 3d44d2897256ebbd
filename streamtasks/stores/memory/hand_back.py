"""Return claimed messages to their places, uncharged (hand_back.lua)."""

from __future__ import annotations

from collections.abc import Container, Sequence
from typing import Final

from ..rules import phases
from ..types import Claimed, ClaimId
from .limits import keep_token, wait_again
from .shard import Shard

__all__ = ["REMEMBERED_MS", "hand_back"]

REMEMBERED_MS: Final = 86_400_000
"""For this long the last claim of a consumer is remembered, ms."""

GONE_REMEMBERED_MS: Final = 600_000
"""The same, if the consumer has ended."""


def hand_back(
    shard: Shard,
    claimed: Sequence[Claimed],
    *,
    invalidate: ClaimId | None = None,
    gone: bool = False,
    alone: Container[str] = (),
) -> list[bool]:
    """Return messages to their places; see `SupervisorStore.hand_back`."""
    answers = [_hand_back(shard, c.id, c.token, alone=c.id in alone) for c in claimed]
    tokens = {c.token for c in claimed}
    if invalidate is not None:
        tokens.add(_invalidate(shard, invalidate, gone=gone))
    shard.release(tokens)
    return answers


def _invalidate(shard: Shard, claim: ClaimId, *, gone: bool) -> str:
    """Return the messages of a claim to their places, and void it; return its token."""
    token = f"{claim.consumer}#{claim.sequence}"
    for task_id in shard.batches.get(token, ()):
        _hand_back(shard, task_id, token, unstarted=True)
    sequence, _, expires_ms = shard.claims.get(claim.consumer, (0, "", 0))
    # A later claim means that the child knows already: it has read its board and gone on.
    if expires_ms <= shard.now_ms() or sequence <= claim.sequence:
        remembered_ms = GONE_REMEMBERED_MS if gone else REMEMBERED_MS
        shard.claims[claim.consumer] = (claim.sequence, "void", shard.now_ms() + remembered_ms)
    if gone and shard.ready:
        shard.wake("")  # the consumer may have died with the wake token in its hands
    return token


def _hand_back(shard: Shard, task_id: str, token: str, *, unstarted: bool = False, alone: bool = False) -> bool:
    message = shard.held(task_id, token)
    if message is None:
        return False
    message.attempts -= 1
    limit = None if message.phase == phases.REVOKED else message.active_limit
    if limit is not None and message.phase == phases.RUNNING and not unstarted:
        message.suspect = message.suspect or alone
        wait_again(shard, message, limit)  # its next start is another one
        return True
    if limit is not None:
        keep_token(shard, message, limit)
    shard.put_back(message, suspect=alone)
    return True
