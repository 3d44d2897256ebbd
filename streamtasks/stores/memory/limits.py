"""Messages that wait for rate limits (include/limit.lua, waiting.lua). Times are microseconds (``_us``)."""

from __future__ import annotations

import math
from collections.abc import Iterable

from ..rules import phases
from ..rules.rate_limits import LimitState
from ..types import Limit
from .shard import Shard
from .state import LiveMessage

__all__ = ["count_starts", "keep_token", "look_at", "place", "stop_waiting", "update_rate", "wait", "wait_again"]


def place(shard: Shard, message: LiveMessage, *, new: bool = False) -> None:
    """Append a message to its stream, or let it wait for its limit; ``new``: its rate is the newest."""
    limit = message.active_limit
    if limit is not None:
        wait(shard, message, limit, new=new)
    else:
        shard.append(message)


def wait(shard: Shard, message: LiveMessage, limit: Limit, *, first: bool = False, new: bool = False) -> None:
    """Let a message wait for its limit, behind the others of its priority.

    ``first``: before them: it has waited already, and its start was for nothing. ``new``: its rate is the newest.
    """
    state = shard.limits.setdefault(limit.name, LimitState(limit))
    if new:
        state.limit = limit
    sequence = 0
    if not first:
        state.sequence = sequence = state.sequence + 1
    now_us = shard.clock.now_us()
    state.bring_near(now_us)
    message.token, message.phase, message.started_ms, message.progress, message.entry = "", phases.LIMITED, 0, b"", ""
    priority = int(message.name.partition(":")[0])
    shard.waiting.setdefault(limit.name, {})[message.id] = (100 - priority, sequence, message.id)
    _plan_request(shard, state, now_us)


def wait_again(shard: Shard, message: LiveMessage, limit: Limit) -> None:
    """Take a message whose start came to nothing out of its stream; it waits for its limit before the others."""
    shard.stream(message.name).drop(message.entry)
    wait(shard, message, limit, first=True)


def update_rate(shard: Shard, limit: Limit) -> None:
    """Take the rate of a message that will wait for this limit later: it is the newest."""
    state = shard.limits.get(limit.name)
    if state is not None:
        state.limit = limit


def stop_waiting(shard: Shard, message: LiveMessage) -> None:
    """Remove a message that will never be claimed from the waiting ones, or give its token up."""
    if message.limit is None:
        return
    name = message.limit.name
    if message.phase == phases.LIMITED:
        shard.waiting[name].pop(message.id, None)
    elif (state := shard.limits.get(name)) is not None and message.id in state.out:
        state.out.remove(message.id)
        _plan_request(shard, state, shard.clock.now_us())


def count_starts(shard: Shard, messages: Iterable[LiveMessage]) -> None:
    """Count the starts of messages that were claimed."""
    now_us = shard.clock.now_us()
    for message in messages:
        limit = message.active_limit
        state = None if limit is None else shard.limits.get(limit.name)
        if state is not None:
            if message.id in state.out:
                state.out.remove(message.id)
            state.count_start(now_us)
            _plan_request(shard, state, now_us)


def keep_token(shard: Shard, message: LiveMessage, limit: Limit) -> None:
    """Let a claimed message that goes back to its stream unstarted keep its token."""
    state = shard.limits.setdefault(limit.name, LimitState(limit))
    state.take_back_start()
    state.out.append(message.id)


def look_at(shard: Shard, name: str, at_us: int) -> None:
    """Look at a limit again at this time."""
    shard.asking[name] = math.ceil(at_us / 1000)


def _plan_request(shard: Shard, state: LimitState, now_us: int) -> None:
    """Note when to ask for tokens next; push if that is earlier than is known. An open request changes nothing."""
    at_us = None if state.is_asking else state.ask_at_us(now_us)
    if at_us is None:
        return
    at_ms = math.ceil(at_us / 1000) if at_us > now_us else now_us // 1000
    known_ms = shard.asking.get(state.limit.name)
    if known_ms is None or at_ms < known_ms:
        shard.asking[state.limit.name] = at_ms
        shard.push("control", "limit")
