"""Rate limits: include/limit.lua, include/rate.lua, admit.lua and take.lua. Times are microseconds (``_us``)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from ..tokens import TokenGrant, TokenRequest
from ..types import Limit
from .shard import Live, Shard

__all__ = ["LimitState", "admit", "count_starts", "keep_token", "limit_of", "renew", "stop_waiting", "take", "wait"]

LOOK_US: Final = 2_000_000
LATE_MS: Final = 1000
"""So long after a message has expired, ms, whoever claims it agrees, whatever its clock."""

MOST_ASKS: Final = 100


@dataclass(slots=True)
class LimitState:
    """A limit in use on one shard. ``full_at_us``: when the next start would be on time, as far as the shard knows.

    ``out``: ids of messages that were admitted and not claimed yet.
    """

    limit: Limit
    sequence: int = 0
    asked: int = 0
    answered: int = 0
    full_at_us: int = 0
    out: list[str] = field(default_factory=list)

    @property
    def grain(self) -> int:
        """How many starts are counted as one."""
        return at_once(self.limit.interval_us)

    @property
    def most_out(self) -> int:
        """How many may be admitted and unclaimed at a time."""
        return max(self.grain, min(math.ceil(self.limit.burst / 2), 10))

    def bring_near(self, now_us: int) -> None:
        """Correct what an earlier rate left: it cannot be further ahead than this."""
        furthest = max(self.limit.burst, self.grain) + self.grain
        self.full_at_us = min(self.full_at_us, now_us + furthest * self.limit.interval_us)

    def ask_at_us(self, now_us: int) -> int | None:
        """Return when to ask for the next tokens; None while enough messages are admitted."""
        least = math.ceil(self.grain / 2)
        if len(self.out) + least > self.most_out:
            return None
        ahead = len(self.out) + least - max(self.limit.burst, self.grain)
        return max(self.full_at_us + ahead * self.limit.interval_us, now_us)

    def count_start(self, now_us: int) -> None:
        """Count a start."""
        self.bring_near(now_us)
        late_us = now_us - slack_us(self.limit.interval_us)
        self.full_at_us = max(self.full_at_us, late_us) + self.limit.interval_us


def slack_us(interval_us: int) -> int:
    """How far whoever comes late may catch up."""
    return min(interval_us // 5, 20_000)


def at_once(interval_us: int) -> int:
    """How many starts fall into 20 ms, the grain in which fast limits are counted."""
    return max(1, min(100, 20_000 // interval_us))


def limit_of(message: Live) -> Limit | None:
    """Return the limit a message has to wait for; None if there is none, or it must not run anyway."""
    return None if message.skip_reason else message.limit


# -- messages come and go ----------------------------------------------------------------------------


def wait(shard: Shard, message: Live, limit: Limit, *, first: bool = False, new: bool = False) -> None:
    """Let a message wait for its limit, behind the others of its priority.

    ``first``: before them: it has waited already, and its start was for nothing. ``new``: its rate is the newest.
    """
    state = shard.limits.setdefault(limit.name, LimitState(limit))
    if new:
        state.limit = limit
    place = 0
    if not first:
        state.sequence = place = state.sequence + 1
    now_us = shard.clock.now_us()
    state.bring_near(now_us)
    message.token, message.phase, message.started_ms, message.progress, message.entry = "", "W", 0, b"", ""
    priority = int(message.name.partition(":")[0])
    shard.waiting.setdefault(limit.name, {})[message.id] = (100 - priority, place, message.id)
    _plan_ask(shard, state, now_us)


def renew(shard: Shard, limit: Limit) -> None:
    """A message will wait for this limit later: its rate is the newest."""
    state = shard.limits.get(limit.name)
    if state is not None:
        state.limit = limit


def stop_waiting(shard: Shard, message: Live) -> None:
    """A message will never be claimed: it leaves the others, or its token is lost and the next may be asked for."""
    if message.limit is None:
        return
    name = message.limit.name
    if message.phase == "W":
        shard.waiting[name].pop(message.id, None)
    elif (state := shard.limits.get(name)) is not None and message.id in state.out:
        state.out.remove(message.id)
        _plan_ask(shard, state, shard.clock.now_us())


def count_starts(shard: Shard, messages: Iterable[Live]) -> None:
    """Messages were claimed: their starts count from now on."""
    now_us = shard.clock.now_us()
    for message in messages:
        limit = limit_of(message)
        state = None if limit is None else shard.limits.get(limit.name)
        if state is not None:
            if message.id in state.out:
                state.out.remove(message.id)
            state.count_start(now_us)
            _plan_ask(shard, state, now_us)


def keep_token(shard: Shard, message: Live, limit: Limit) -> None:
    """A claimed message goes back to its stream unstarted: it keeps its token."""
    state = shard.limits.setdefault(limit.name, LimitState(limit))
    state.full_at_us = max(0, state.full_at_us - limit.interval_us)
    state.out.append(message.id)


def _plan_ask(shard: Shard, state: LimitState, now_us: int) -> None:
    """Note when to ask next; tell if that is earlier than is known. While an ask is on its way nothing changes."""
    at_us = state.ask_at_us(now_us) if state.asked == state.answered else None
    if at_us is None:
        return
    at_ms = math.ceil(at_us / 1000) if at_us > now_us else now_us // 1000
    known_ms = shard.asking.get(state.limit.name)
    if known_ms is None or at_ms < known_ms:
        shard.asking[state.limit.name] = at_ms
        shard.tell("control", "limit")


# -- the keeper --------------------------------------------------------------------------------------


def take(shard: Shard, ask: TokenRequest) -> TokenGrant:
    """Ask a limiter, on the shard that keeps it, for tokens: each is one start, wherever that happens."""
    limit, now_us = ask.limit, shard.clock.now_us()
    burst = max(limit.burst, at_once(limit.interval_us))
    known_us = shard.limiters.get(limit.name, 0)
    from_us = min(max(known_us, now_us - slack_us(limit.interval_us)), now_us + burst * limit.interval_us)
    tokens = min((now_us - from_us) // limit.interval_us + burst, ask.tokens)
    full_at_us = from_us + tokens * limit.interval_us
    if tokens > 0 or full_at_us < known_us:
        shard.limiters[limit.name] = full_at_us
    wait_us = 0 if tokens > 0 else from_us - (burst - 1) * limit.interval_us - now_us
    return TokenGrant(limit.name, ask.number, tokens, wait_us)


def admit(shard: Shard, grants: Sequence[TokenGrant]) -> tuple[int, list[TokenRequest], int | None]:
    """Let waiting messages go on as far as these tokens go.

    Return how many did, what to ask the limiters for next, and microseconds until there is something to ask for.
    """
    now_us = shard.clock.now_us()
    admitted = sum(_take_grant(shard, grant, now_us) for grant in grants)
    due = sorted((at_ms, name) for name, at_ms in shard.asking.items() if at_ms <= now_us // 1000)
    asks = [ask for _, name in due[:MOST_ASKS] if (ask := _next_ask(shard, name, now_us)) is not None]
    first_ms = min(shard.asking.values(), default=None)
    return (admitted, asks, None if first_ms is None else max(0, first_ms * 1000 - now_us))


def _heads(shard: Shard, name: str, most: int) -> list[Live]:
    """Return those who may go next, best first."""
    waiting = shard.waiting.get(name, {})
    return [shard.live[task_id] for task_id in sorted(waiting, key=waiting.__getitem__)[:most]]


def _living_heads(shard: Shard, name: str, most: int) -> list[Live]:
    """Return those who may go next; who expired before them goes without a token, only to say so."""
    sent_off = 0
    while True:
        heads = _heads(shard, name, most)
        expired = [m for m in heads if m.expires_ms and m.expires_ms + LATE_MS < shard.now_ms()]
        if not expired or sent_off >= 100:
            return heads
        for message in expired:
            del shard.waiting[name][message.id]
            message.limit, message.suspect = None, False
            message.set_down("Q")
            shard.append(message)
        sent_off += len(expired)


def _take_grant(shard: Shard, grant: TokenGrant, now_us: int) -> int:
    """Use one grant; return how many messages were admitted. A grant counts once, by its number."""
    state = shard.limits.get(grant.name)
    if state is None or grant.number <= state.answered:
        return 0
    heads: list[Live] = []
    if grant.tokens == 0:
        ahead = max(state.limit.burst, state.grain) - 1 - len(state.out)
        state.full_at_us = max(state.full_at_us, now_us + grant.wait_us + ahead * state.limit.interval_us)
    else:
        heads = _living_heads(shard, grant.name, max(0, min(grant.tokens, state.most_out - len(state.out))))
    for message in heads:
        del shard.waiting[grant.name][message.id]
        message.set_down("S" if message.suspect else "Q")
        message.suspect = False
        shard.append(message)
        state.out.append(message.id)
    state.answered = grant.number
    state.asked = max(state.asked, grant.number)
    if state.asked == state.answered:
        _look_at(shard, grant.name, state.ask_at_us(now_us) or now_us + LOOK_US)
    return len(heads)


def _look_at(shard: Shard, name: str, at_us: int) -> None:
    shard.asking[name] = math.ceil(at_us / 1000)


def _next_ask(shard: Shard, name: str, now_us: int) -> TokenRequest | None:
    """Look at a limit whose time has come: ask for tokens, look again later, or forget it."""
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
        _look_at(shard, name, now_us + LOOK_US if state.out else min(state.full_at_us, now_us + 86_400_000_000))
        return None
    if at_us is None or at_us > now_us:
        _look_at(shard, name, at_us or now_us + LOOK_US)
        return None
    state.asked += 1
    # No answer until then: whoever asked has died, another keeper asks. That costs one token.
    _look_at(shard, name, now_us + max(50_000, min(state.limit.interval_us, 1_000_000)))
    return TokenRequest(state.limit, min(len(heads), state.most_out - len(state.out)), state.asked)


def _check_out(shard: Shard, state: LimitState) -> None:
    """Whoever was admitted must still be there, waiting to be claimed: else nobody would ever ask again."""

    def waits(task_id: str) -> bool:
        message = shard.live.get(task_id)
        if message is None or message.phase not in "QS":
            return False
        limit = limit_of(message)
        return limit is not None and limit.name == state.limit.name

    state.out = [task_id for task_id in state.out if waits(task_id)]
