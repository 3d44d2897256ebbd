"""A child's channel: settle and claim in one round trip, the reply read later, no thread.

Two connections: one for exchanges, one that waits (BLPOP on the wake list), so that a child that waits for work can
still settle what its threads finish. A child with empty hands sends its claim behind the BLPOP: the server runs it as
soon as the list gets a token, which saves a round trip. A child with work in hand sends pass_wake behind it instead,
which wakes another child as well: a task that holds the interpreter may keep this one from claiming.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

from redis.exceptions import RedisError

from ...exceptions import StoreError, StoreUnavailable
from ..claims_held import ClaimsHeld
from ..readable import readable
from ..types import Claimed, ClaimRequest, Exchange, Filter, Outcome, Settled
from . import connections
from .conversation import command, exchange, finish
from .endpoints import endpoint_of
from .faults import fault_of
from .operations.claim import claim_call, claim_counts, pass_wake_call, wake_lists
from .operations.settle import settle_call, settle_chunks, settle_order
from .scripts import Call
from .sentinel.watch import SwitchWatch
from .sentinel_errors import MasterChanged
from .shards import Shard, Shards

__all__ = ["RedisChannel", "Settlement"]

SILENT_S = 2.0
"""A wait that has not ended this long after its own end, seconds, never will: its connection is dropped."""

ROUNDING_S = 0.1
"""Timers of event loops may fire so much too early, seconds."""

MOST_NAMES = 1024
"""How many names of streams are kept decoded."""

logger = logging.getLogger("streamtasks.store")

_FRESH = b"1 0 0"


class Settlement(NamedTuple):
    """Outcomes that one call settles, and the claims that are empty after it."""

    shard: Shard
    outcomes: Sequence[Outcome]
    released: Sequence[str]


class RedisChannel:
    """See `Channel`. Belongs to one thread of one child."""

    def __init__(self, shards: Shards, tag: str, consumer: str, queues: Filter) -> None:
        self._shards = shards
        self._shard = shards.by_tag[tag]
        self._settings = shards.settings
        self._consumer = consumer
        self._queues = queues
        self._candidates: dict[str, list[str]] = {}
        self._names: dict[bytes, str] = {}
        self._settles: list[Settlement] = []
        self._order: list[int] = []  # the place of each settled outcome among those given; empty: it is the same
        self._claim: ClaimRequest | None = None
        self._held = ClaimsHeld()
        self._requests: list[Call] = []
        self._sent = False
        self._endpoint = endpoint_of(self._settings)
        self._connection, self._waiter = self._connections()
        self._watch = SwitchWatch(self._endpoint.search) if self._endpoint.search else None
        # A wait ends by itself, so that a lost wake-up delays a claim by no more.
        self._wait_s = min(2 * self._settings.idle_poll_s, self._settings.lease_s / 4)
        self._waiting = False
        self._wait_until = 0.0  # monotonic seconds
        self._waits_to_claim: ClaimRequest | None = None
        self._behind: list[Call] = []  # calls that are sent behind the BLPOP

    def _connections(self) -> tuple[Any, Any]:
        """Return the connections for exchanges and for waiting."""
        return self._endpoint.connection(), self._endpoint.connection()

    def send(self, outcomes: Sequence[Outcome], claim: ClaimRequest | None) -> None:
        """See `Channel.send`. A connection that breaks here is replaced by `receive`."""
        self._claim = claim
        if self._watch is not None:
            self._watch.look()
            if self._is_left(self._connection):
                self._connection.disconnect()
        self._divide(outcomes)
        try:
            self._transmit()
        except (RedisError, OSError) as error:
            self._unsent(error)

    def receive(self) -> Exchange:
        """See `Channel.receive`."""
        try:
            if not self._sent:
                self._transmit()
            settled, claimed = self._read()
        except (RedisError, OSError) as error:
            self._sent = False
            self._broke(error)
            raise self._unavailable(error) from error
        self._sent = False
        return self._exchange(settled, self._claim, claimed)

    @property
    def connected(self) -> bool:
        """See `Channel.connected`."""
        return self._connection._sock is not None and self._waiter._sock is not None

    async def connect(self) -> None:
        """See `Channel.connect`."""
        for connection in (self._connection, self._waiter):
            if connection._sock is None:
                try:
                    await asyncio.to_thread(connection.connect)
                except (RedisError, OSError) as error:
                    raise self._unavailable(error) from error

    async def replied(self) -> None:
        """See `Channel.replied`."""
        connection = self._connection
        try:
            if connection._sock is None:
                return
            if not self._sent:
                self._transmit()
            async with asyncio.timeout(connection.socket_timeout):
                await readable(connection._sock.fileno())
        except (RedisError, OSError):  # TimeoutError is one
            connection.disconnect()
            self._sent = False

    def drop(self, token: str) -> None:
        """See `Channel.drop`."""
        self._held.drop(token)

    def start_wait(self, claim: ClaimRequest | None = None) -> int:
        """See `Channel.start_wait`.

        Raises:
            StoreUnavailable: the server cannot be reached.
        """
        try:
            if self._watch is not None:
                self._watch.look()
                if self._is_left(self._waiter):
                    if self._waiting:
                        raise MasterChanged("the server that is waited on is not the master any more")
                    self._watch.forget()
                    self._waiter.disconnect()
            keys, new = self._shard.keys, []
            if claim is not None and self._waits_to_claim is None:
                new = [self._claim_call(claim)]
            elif not self._waiting:
                new = [pass_wake_call(keys, self._queues)]
            if new:
                commands = [command(call) for call in new]
                if not self._waiting:
                    commands.insert(0, ("BLPOP", *wake_lists(keys, self._queues), self._wait_s))
                self._waiter.send_packed_command(self._waiter.pack_commands(commands), check_health=False)
                if not self._waiting:
                    self._wait_until = time.monotonic() + self._wait_s + SILENT_S
                self._waiting, self._waits_to_claim = True, claim
                self._behind += new
            descriptor = int(self._waiter._sock.fileno())
            return descriptor if self._watch is None else self._watch.beside(descriptor)
        except (RedisError, OSError) as error:
            raise self._wait_broke(error) from error

    def wait_left_s(self) -> float:
        """See `Channel.wait_left_s`."""
        return max(0.0, self._wait_until - time.monotonic())

    def finish_wait(self) -> Exchange | None:
        """See `Channel.finish_wait`.

        Raises:
            StoreUnavailable: the server cannot be reached.
        """
        if not self._waiting:
            return None
        claim, reply = self._waits_to_claim, None
        try:
            if self._watch is not None:
                readable = self._watch.look()
                if self._is_left(self._waiter) or (not readable and self.wait_left_s() >= ROUNDING_S):
                    raise MasterChanged("the master has changed, or a Sentinel has gone")
            if self.wait_left_s() < ROUNDING_S and not self._waiter.can_read(0):
                where, waited_s = connections.address(self._settings), self._wait_s + SILENT_S
                logger.warning("nothing came from %s for %.0f s; trying a new connection", where, waited_s)
                raise TimeoutError("a connection that waits has gone silent")
            self._waiter.read_response()
            replies = finish(self._waiter, self._behind)
            if claim is not None:
                reply = self._with_candidates(claim, replies[-1], self._waiter)
        except (RedisError, OSError) as error:
            raise self._wait_broke(error) from error
        self._waiting, self._waits_to_claim, self._behind = False, None, []
        return None if claim is None else self._exchange([], claim, reply)

    def close(self) -> None:
        """See `Channel.close`."""
        self._connection.disconnect()
        self._waiter.disconnect()
        if self._watch is not None:
            self._watch.close()

    def _is_left(self, connection: Any) -> bool:
        """Whether a connection leads to where the master was."""
        return connection.is_connected and getattr(connection, "changes", 0) != self._endpoint.changes

    def _wait_broke(self, error: Exception) -> Exception:
        self._waiting, self._waits_to_claim, self._behind = False, None, []
        if self._watch is not None:
            self._watch.forget()
        self._waiter.disconnect()
        if not self._sent:
            self._connection.disconnect()  # it leads to the same server by the same way
        return self._unavailable(error)

    def _unavailable(self, error: Exception) -> Exception:
        lasting = connections.lasting_error(error, self._settings)
        return lasting or StoreUnavailable(f"{connections.address(self._settings)}: {error}")

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

    def _send_requests(self, requests: Sequence[Call]) -> None:
        connection = self._connection
        connection.send_packed_command(
            connection.pack_commands([command(call) for call in requests]), check_health=False
        )

    def _replies(self) -> list[Any]:
        return finish(self._connection, self._requests)

    def _unsent(self, _error: Exception) -> None:
        self._connection.disconnect()

    def _broke(self, error: Exception) -> None:
        """Close what an error of an exchange has spoilt."""
        if fault_of(error).spoils:
            self._connection.disconnect()

    def _settle_call(self, settle: Settlement) -> Call:
        shard, outcomes, released = settle
        # What becomes of a task that was revoked while it ran, no child has seen: another one does what belongs to it.
        return settle_call(shard.keys, outcomes, shard.hour(), self._settings, released, "revoked")

    def _claim_call(self, claim: ClaimRequest) -> Call:
        shard = self._shards.by_tag[claim.tag] if claim.tag else self._shard
        candidates = self._candidates.get(claim.tag, ())
        return claim_call(shard.keys, self._consumer, claim, self._queues, candidates, self._settings)

    def _read(self) -> tuple[list[Any], list[Any] | None]:
        """Return the settle replies and the claim's; calls that must be put otherwise are sent again."""
        replies = self._replies()
        claimed = replies.pop() if self._claim is not None else None
        for place, reply in enumerate(replies):
            if reply[0] == b"hour":
                self._settles[place].shard.learn_clock(reply[1])
                replies[place] = self._again(self._settle_call(self._settles[place]))
        if self._claim is not None and claimed is not None:
            claimed = self._with_candidates(self._claim, claimed)
        return replies, claimed

    def _with_candidates(self, claim: ClaimRequest, reply: list[Any], waiter: Any = None) -> list[Any]:
        """Claim again for as long as the answer is that there are better streams than those that were named."""
        while reply[0] == b"streams":
            self._candidates[claim.tag] = [name.decode() for name in reply[2:]]
            reply = self._again(self._claim_call(claim), waiter)
        return reply

    def _again(self, call: Call, waiter: Any = None) -> Any:
        return exchange(waiter or self._connection, [call])[0]

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
        names = self._names
        claimed = []
        for part in range(3, len(claim_reply), 2):
            name = names.get(claim_reply[part])
            if name is None:
                if len(names) >= MOST_NAMES:
                    names.clear()
                name = names[claim_reply[part]] = claim_reply[part].decode()
            flat = claim_reply[part + 1]
            for at in range(0, len(flat), 4):
                entry, task_id, body, counts = flat[at : at + 4]
                attempt, retries, first, skip_reason = (1, 0, 0, "") if counts == _FRESH else claim_counts(counts)
                claimed.append(
                    Claimed(task_id.decode(), token, name, entry.decode(), attempt, retries, first, body, skip_reason)
                )
        if claimed:
            self._held.take(token, len(claimed), claim.tag)
        flags = claim_reply[2]
        left = (flags >> 4) - 101 if flags > 15 else None
        return Exchange(
            settled, claimed, claim_reply[1], bool(flags & 1), bool(flags & 2), bool(flags & 4), bool(flags & 8), left
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


def _settles(shard: Shard, outcomes: Sequence[Outcome], released: Sequence[str]) -> list[Settlement]:
    chunks = settle_chunks(outcomes)
    return [Settlement(shard, chunk, released if chunk is chunks[-1] else ()) for chunk in chunks]
