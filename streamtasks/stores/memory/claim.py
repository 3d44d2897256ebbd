"""claim.lua: a child gets the next messages, best priority first, and a token that proves it."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import Final

from ...settings import StoreSettings
from ..types import Claimed, ClaimRequest, Exchange, Filter
from .limits import count_starts
from .shard import RETURNED, SUSPECT, Live, Shard, Stream
from .upkeep import note_start

__all__ = ["claim", "ring_lists"]

MOST_STREAMS: Final = 16
MOST_TURNS: Final = 4
MOST_BYTES: Final = 512 * 1024
REMEMBERED_MS: Final = 86_400_000


def ring_lists(queues: Filter) -> tuple[str, ...]:
    """Return what a child with this filter waits for: its queues' rings, or the one for any (empty)."""
    return queues.queues if queues.mode == "only" else ("",)


def claim(shard: Shard, consumer: str, request: ClaimRequest, queues: Filter, settings: StoreSettings) -> Exchange:
    """Claim up to ``request.most`` messages; the same sequence again gets the same ones."""
    token = f"{consumer}#{request.sequence}"
    sequence, kind, expires_ms = shard.claims.get(consumer, (0, "", 0))
    if expires_ms > shard.now_ms() and sequence >= request.sequence:
        # The reply was lost, or somebody gave this claim up in the child's name.
        repeats = kind == "ids" and sequence == request.sequence
        return _answer(shard, _same_again(shard, token) if repeats else [])
    ready = sorted(shard.ready, key=lambda name: (int(name.partition(":")[0]), name), reverse=True)
    served = [name for name in ready if _serves(queues, name)]
    if not served:
        if ready and queues.mode == "except":
            shard.ring("")  # for others: pass it on
        return _answer(shard, [], others_only=bool(ready))
    taking = _Taking(shard, token, request)
    work_left = False
    for name in _in_turn(served, request.sequence):
        if taking.is_full:
            work_left = True
            break
        if taking.drains(shard.stream(name)):
            shard.ready.discard(name)
        else:
            work_left = True
    claimed = taking.claimed
    count_starts(shard, taking.messages)
    if claimed:
        shard.leases[token] = shard.now_ms() + settings.lease_ms
        shard.batches[token] = tuple(c.id for c in claimed)
        shard.claims[consumer] = (request.sequence, "ids", shard.now_ms() + REMEMBERED_MS)
        if work_left or (queues.mode == "except" and shard.ready):
            for queue in ring_lists(queues):
                shard.ring(queue)
    again = not claimed and work_left and not taking.suspect_waits and request.most > 0
    return _answer(shard, claimed, suspects=taking.suspect_waits, again=again, run_alone=taking.took_suspect)


def _answer(
    shard: Shard,
    claimed: list[Claimed],
    *,
    suspects: bool = False,
    others_only: bool = False,
    again: bool = False,
    run_alone: bool = False,
) -> Exchange:
    return Exchange([], claimed, shard.now_ms(), suspects, others_only, again, run_alone)


def _serves(queues: Filter, name: str) -> bool:
    return queues.mode == "all" or (name.partition(":")[2] in queues.queues) == (queues.mode == "only")


def _in_turn(names: list[str], sequence: int) -> list[str]:
    """Those of the best priority take turns, by the claim's sequence; the others follow in their order."""
    priorities = [name.partition(":")[0] for name in names]
    tier = next((at for at, (one, other) in enumerate(pairwise(priorities), 1) if one != other), len(names))
    turns = [names[(sequence + i) % tier] for i in range(min(tier, MOST_STREAMS))]
    return turns + names[tier:MOST_STREAMS]


def _same_again(shard: Shard, token: str) -> list[Claimed]:
    held = [m for task_id in shard.batches.get(token, ()) if (m := shard.held(task_id, token)) is not None]
    return [_claimed(message) for message in held]


def _claimed(message: Live) -> Claimed:
    return Claimed(
        message.id,
        message.token,
        message.name,
        message.entry,
        message.attempts,
        message.retries,
        message.first_ms,
        message.body,
        "revoked" if message.skip_reason == "terminate" else message.skip_reason.replace(":", " ", 1),
    )


class _Taking:
    """What one claim takes, and what it had to leave."""

    def __init__(self, shard: Shard, token: str, request: ClaimRequest) -> None:
        self.shard = shard
        self.token = token
        self.request = request
        self.claimed: list[Claimed] = []
        self.messages: list[Live] = []
        self.bytes = 0
        self.suspect_waits = False
        self.took_suspect = False
        self.closed = False

    @property
    def is_full(self) -> bool:
        """Whether nothing more may be added."""
        return self.closed or 0 < self.request.most <= len(self.claimed)

    def drains(self, stream: Stream) -> bool:
        """Take from a stream until it is drained or the hands are full; return whether nothing is left in it."""
        suspects = stream.owned_by(SUSPECT, 1)
        if suspects and (not self.request.alone or self.claimed):
            self.suspect_waits = True
        elif suspects:
            self._take(stream, suspects, suspect=True)
            if self.claimed:
                self.closed = True  # a suspect is alone: nothing is added to it
                return False
        for _ in range(MOST_TURNS):
            want = self.request.most - len(self.claimed)
            if want <= 0 or self.closed:
                return False
            entries = stream.owned_by(RETURNED, want)
            if entries:
                self._take(stream, entries)
                continue
            entries = [stream.unread.popleft() for _ in range(min(want, len(stream.unread)))]
            self._take(stream, entries)
            if self.closed:
                return False
            if not stream.unread:
                return not stream.owned_by(SUSPECT, 1)
        return False

    def _take(self, stream: Stream, entries: Iterable[str], *, suspect: bool = False) -> None:
        alone = self.request.alone
        for entry in entries:
            task_id = stream.entries[entry]
            message = self.shard.live.get(task_id)
            delayed_suspect = message is not None and message.phase == "S" and not suspect
            if message is None or message.phase not in "QS":
                stream.drop(entry)  # finished, revoked, or living under another entry: it has nothing to say
            elif delayed_suspect and (not alone or self.claimed):
                stream.owners[entry] = SUSPECT
                self.suspect_waits = self.suspect_waits or not self.took_suspect
            elif self.closed or (self.claimed and self.bytes + len(message.body) > MOST_BYTES):
                stream.owners[entry] = RETURNED
                self.closed = True
            else:
                if suspect or delayed_suspect:
                    self.closed = self.took_suspect = True
                    self.suspect_waits = False
                stream.owners[entry] = self.token
                # One that must not run is not started; but what ends a suspect's holder may be its hooks.
                alone_now = self.request.most == 1 and not message.skip_reason
                self._hold(message, entry, starts=alone_now or suspect or delayed_suspect)

    def _hold(self, message: Live, entry: str, *, starts: bool) -> None:
        message.token, message.entry = self.token, entry
        message.phase = "X" if message.skip_reason == "revoked" else "R" if starts else "C"
        message.attempts += 1
        if starts:
            message.started_ms = self.shard.now_ms()
            message.first_ms = message.first_ms or message.started_ms
            note_start(self.shard, message)
        self.bytes += len(message.body)
        self.claimed.append(_claimed(message))
        self.messages.append(message)
