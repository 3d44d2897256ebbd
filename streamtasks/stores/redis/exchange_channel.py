"""The base of a child's channels, to one server and to a Cluster: the calls of an exchange, and what replies mean."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from ...exceptions import StoreError, StoreUnavailable
from ..claims_held import ClaimsHeld
from ..types import Claimed, ClaimRequest, Exchange, Filter, Outcome, Settled
from . import connections
from .batches import MOST_BYTES
from .operations.claim import claim_call, claim_counts
from .operations.settle import settle_call, settle_chunks, settle_order
from .scripts import Call
from .shards import Shard, Shards

__all__ = ["ExchangeChannel", "Settlement"]

MOST_NAMES = 1024
"""How many names of streams are kept decoded."""


class Settlement(NamedTuple):
    """Outcomes that one call settles, and the claims that are empty after it."""

    shard: Shard
    outcomes: Sequence[Outcome]
    released: Sequence[str]


class ExchangeChannel(ABC):
    """See `Channel`. Belongs to one thread of one child."""

    def __init__(self, shards: Shards, tag: str, consumer: str, queues: Filter) -> None:
        self._shards = shards
        self._shard = shards.by_tag[tag]
        self._settings = shards.settings
        self._consumer = consumer
        self._queues = queues
        self._candidates: dict[str, list[str]] = {}
        self._latest: list[str] = []
        self._names: dict[bytes, str] = {}
        self._settles: list[Settlement] = []
        self._order: list[int] = []  # the place of each settled outcome among those given; empty: it is the same
        self._claim: ClaimRequest | None = None
        self._held = ClaimsHeld()
        self._requests: list[Call] = []
        self._sent = False

    def drop(self, token: str) -> None:
        """See `Channel.drop`."""
        self._held.drop(token)

    @abstractmethod
    def _send_requests(self, requests: Sequence[Call]) -> None:
        """Send the calls of an exchange."""

    def _divide(self, outcomes: Sequence[Outcome]) -> None:
        """Divide outcomes into calls of one shard each; the last one of a shard ends claims that are empty then."""
        held, self._order = self._held, []
        if not held.spread:
            released = held.emptied(outcome.token for outcome in outcomes)
            self._settles = _settles(self._shard, outcomes, released)
            return
        places: dict[str, list[int]] = {}
        for place, outcome in enumerate(outcomes):
            places.setdefault(held.tag_of(outcome.token), []).append(place)
        self._settles = []
        for tag, some in places.items():
            of_tag = [outcomes[place] for place in some]
            shard = self._shards.by_tag[tag] if tag else self._shard
            self._settles += _settles(shard, of_tag, held.emptied(outcome.token for outcome in of_tag))
        if len(places) > 1:
            self._order = [place for some in places.values() for place in some]

    def _transmit(self) -> None:
        requests = [self._settle_call(settle) for settle in self._settles]
        if self._claim is not None:
            requests.append(self._claim_call(self._claim))
        self._requests = requests
        if requests:
            self._send_requests(requests)
        self._sent = True

    def _settle_call(self, settle: Settlement) -> Call:
        shard, outcomes, released = settle
        # What becomes of a task that was revoked while it ran, no child has seen: another one does what belongs to it.
        return settle_call(shard.keys, outcomes, shard.hour(), self._settings, released, "revoked")

    def _claim_call(self, claim: ClaimRequest) -> Call:
        shard = self._shards.by_tag[claim.tag] if claim.tag else self._shard
        candidates = self._candidates.get(claim.tag, self._latest)  # queues are the same on all shards
        return claim_call(shard.keys, self._consumer, claim, self._queues, candidates, self._settings)

    def _with_candidates(self, claim: ClaimRequest, reply: list[Any], again: Callable[[Call], Any]) -> list[Any]:
        """Claim again while the answer is that better streams are ready than those that were named."""
        while reply[0] == b"streams":
            self._candidates[claim.tag] = self._latest = [name.decode() for name in reply[2:]]
            reply = again(self._claim_call(claim))
        return reply

    def _exchange(
        self, settle_replies: list[Any], claim: ClaimRequest | None, claim_reply: list[Any] | None
    ) -> Exchange:
        settled = self._settled(settle_replies)
        if claim is None or claim_reply is None:
            last = settle_replies[-1] if settle_replies else None
            now_ms = last[0] if isinstance(last, list) else 0
            return Exchange(settled, [], now_ms, False, False, False, False)
        if claim_reply[0] == b"void":
            return Exchange(settled, [], claim_reply[1], False, False, False, False)
        if claim_reply[0] != b"ok":
            raise StoreError(f"claim answered {claim_reply[0]!r}; is another release at work on these keys?")
        token = f"{self._consumer}#{claim.sequence}"
        names, new = self._names, tuple.__new__
        claimed: list[Claimed] = []
        for part in range(3, len(claim_reply), 3):
            name = names.get(claim_reply[part])
            if name is None:
                if len(names) >= MOST_NAMES:
                    names.clear()
                name = names[claim_reply[part]] = claim_reply[part].decode()
            start = len(claimed)
            values = iter(claim_reply[part + 1])
            claimed += [
                new(Claimed, (task_id.decode(), token, name, entry.decode(), 1, 0, 0, body, ""))
                for entry, task_id, body in zip(values, values, values, strict=True)
            ]
            pairs = iter(claim_reply[part + 2])
            for number, counts in zip(pairs, pairs, strict=True):
                place = start + number - 1
                attempt, retries, first, skip_reason = claim_counts(counts)
                claimed[place] = claimed[place]._replace(
                    attempt=attempt, retries=retries, first_started_ms=first, skip_reason=skip_reason
                )
        if claimed:
            self._held.take(token, len(claimed), claim.tag)
        flags = claim_reply[2]
        return Exchange(
            settled,
            claimed,
            claim_reply[1],
            bool(flags & 1),
            bool(flags & 2),
            bool(flags & 4),
            bool(flags & 8),
            (flags >> 4) - 101 if flags > 15 else None,
            drained=not flags and len(claimed) < claim.most and sum(len(one.body) for one in claimed) < MOST_BYTES / 2,
        )

    def _settled(self, replies: Sequence[Any]) -> list[Settled]:
        """Return what became of each outcome, in the order in which they were given."""
        settled: list[Settled] = []
        for settle, reply in zip(self._settles, replies, strict=False):
            settled += settle_order(settle.outcomes, reply[1:])
        return self._ordered(settled)

    def _ordered(self, settled: list[Settled]) -> list[Settled]:
        if self._order:
            return [answer for _, answer in sorted(zip(self._order, settled, strict=True))]
        return settled

    def _unavailable(self, error: Exception) -> Exception:
        lasting = connections.lasting_error(error, self._settings)
        return lasting or StoreUnavailable(f"{connections.address(self._settings)}: {error}")


def _settles(shard: Shard, outcomes: Sequence[Outcome], released: Sequence[str]) -> list[Settlement]:
    chunks = settle_chunks(outcomes)
    return [Settlement(shard, chunk, released if chunk is chunks[-1] else ()) for chunk in chunks]
