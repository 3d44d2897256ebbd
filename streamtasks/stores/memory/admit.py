"""Admit messages that wait for rate limits, as far as the limiters give tokens (admit.lua, take.lua)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from ..rules import phases
from ..rules.rate_limits import LOOK_US, LimitState, repeat_after_us
from ..rules.rate_limits import take as take_tokens
from ..tokens import TokenGrant, TokenRequest
from .limits import look_at
from .shard import Shard
from .state import LiveMessage

__all__ = ["admit", "take"]

LATE_MS: Final = 1000
"""This long after a message has expired, ms, every worker agrees on it, whatever its clock."""

MOST_REQUESTS: Final = 100
MOST_EXPIRED: Final = 100


def take(shard: Shard, request: TokenRequest) -> TokenGrant:
    """Ask a limiter, on the shard that keeps it, for tokens: each is one start, wherever that happens."""
    name = request.limit.name
    taken = take_tokens(request.limit, request.tokens, shard.limiters.get(name, 0), shard.clock.now_us())
    if taken.full_at_us:
        shard.limiters[name] = taken.full_at_us
    return TokenGrant(name, request.number, taken.tokens, taken.wait_us)


def admit(shard: Shard, grants: Sequence[TokenGrant]) -> tuple[int, list[TokenRequest], int | None]:
    """Admit as many waiting messages as there are tokens.

    Return how many did, what to ask the limiters for next, and microseconds until there is something to ask for.
    """
    now_us = shard.clock.now_us()
    admitted = sum(_use_grant(shard, grant, now_us) for grant in grants)
    due = sorted((at_ms, name) for name, at_ms in shard.asking.items() if at_ms <= now_us // 1000)
    requests = [one for _, name in due[:MOST_REQUESTS] if (one := _next_request(shard, name, now_us)) is not None]
    first_ms = min(shard.asking.values(), default=None)
    return admitted, requests, None if first_ms is None else max(0, first_ms * 1000 - now_us)


def _heads(shard: Shard, name: str, most: int) -> list[LiveMessage]:
    """Return the messages that may go next, best first."""
    waiting = shard.waiting.get(name, {})
    return [shard.live[task_id] for task_id in sorted(waiting, key=waiting.__getitem__)[:most]]


def _living_heads(shard: Shard, name: str, most: int) -> list[LiveMessage]:
    """Return the messages that may go next. Expired ones before them go to their streams without a token."""
    sent_off = 0
    while True:
        heads = _heads(shard, name, most)
        expired = [m for m in heads if m.expires_ms and m.expires_ms + LATE_MS < shard.now_ms()]
        if not expired or sent_off >= MOST_EXPIRED:
            return heads
        for message in expired:
            del shard.waiting[name][message.id]
            message.limit, message.suspect = None, False
            message.leave(phases.QUEUED)
            shard.append(message)
        sent_off += len(expired)


def _use_grant(shard: Shard, grant: TokenGrant, now_us: int) -> int:
    """Use one grant; return how many messages were admitted. A grant counts once, by its number."""
    state = shard.limits.get(grant.name)
    if state is None or grant.number <= state.answered:
        return 0
    heads: list[LiveMessage] = []
    if grant.tokens == 0:
        state.refused(now_us, grant.wait_us)
    else:
        heads = _living_heads(shard, grant.name, max(0, min(grant.tokens, state.room)))
    for message in heads:
        del shard.waiting[grant.name][message.id]
        message.leave(phases.SUSPECT if message.suspect else phases.QUEUED)
        message.suspect = False
        shard.append(message)
        state.out.append(message.id)
    state.answered = grant.number
    state.asked = max(state.asked, grant.number)
    if not state.is_asking:
        look_at(shard, grant.name, state.ask_at_us(now_us) or now_us + LOOK_US)
    return len(heads)


def _next_request(shard: Shard, name: str, now_us: int) -> TokenRequest | None:
    """Look at a limit whose time has come: ask for tokens, look again later, or delete it."""
    state = shard.limits.get(name)
    if state is None:
        shard.asking.pop(name, None)
        return None
    heads = _heads(shard, name, state.most_out)
    state.bring_near(now_us)
    at_us = state.ask_at_us(now_us)
    if state.out and (at_us is None or not heads):
        _check_out(shard, state)
        at_us = state.ask_at_us(now_us)
    if not heads and not state.out and state.full_at_us <= now_us:
        del shard.limits[name], shard.asking[name]
        return None
    if not heads:
        look_at(shard, name, now_us + LOOK_US if state.out else min(state.full_at_us, now_us + 86_400_000_000))
        return None
    if at_us is None or at_us > now_us:
        look_at(shard, name, at_us or now_us + LOOK_US)
        return None
    state.asked += 1
    # No answer until then: the keeper that asked has died, and another one asks. That costs one token.
    look_at(shard, name, now_us + repeat_after_us(state.limit.interval_us))
    return TokenRequest(state.limit, min(len(heads), state.wanted(now_us)), state.asked)


def _check_out(shard: Shard, state: LimitState) -> None:
    """Forget admitted messages that no longer wait to be claimed; otherwise no tokens would be asked for again."""

    def waits(task_id: str) -> bool:
        message = shard.live.get(task_id)
        if message is None or message.phase not in (phases.QUEUED, phases.SUSPECT):
            return False
        limit = message.active_limit
        return limit is not None and limit.name == state.limit.name

    state.out = [task_id for task_id in state.out if waits(task_id)]
