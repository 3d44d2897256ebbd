"""A child's channel to one server: settle and claim in one round trip, the reply read later, no thread.

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
from typing import Any

from redis.exceptions import RedisError

from ..readable import readable
from ..types import ClaimRequest, Exchange, Filter, Outcome
from . import connections
from .conversation import command, exchange, finish
from .endpoints import endpoint_of
from .exchange_channel import ExchangeChannel
from .faults import fault_of
from .logins import due_in_s, is_due, log_in_again
from .operations.claim import pass_wake_call, wake_lists
from .scripts import Call
from .sentinel.watch import SwitchWatch
from .sentinel_errors import MasterChanged
from .shards import Shards

__all__ = ["RedisChannel"]

SILENT_S = 2.0
"""A wait that has not ended this long after its own end, seconds, never will: its connection is dropped."""

LEAST_WAIT_S = 0.5
"""A wait lasts so long although its connection has to log in again sooner, seconds."""

ROUNDING_S = 0.1
"""Timers of event loops may fire so much too early, seconds."""

logger = logging.getLogger("streamtasks.store")


class RedisChannel(ExchangeChannel):
    """See `Channel`. Belongs to one thread of one child."""

    def __init__(self, shards: Shards, tag: str, consumer: str, queues: Filter) -> None:
        super().__init__(shards, tag, consumer, queues)
        self._endpoint = endpoint_of(self._settings)
        self._connection: Any = self._endpoint.connection()  # for exchanges
        self._waiter: Any = self._endpoint.connection()  # for waiting
        self._watch = SwitchWatch(self._endpoint.search) if self._endpoint.search else None
        # A wait ends by itself, so that a lost wake-up delays a claim by no more.
        self._wait_s = min(2 * self._settings.idle_poll_s, self._settings.lease_s / 4)
        self._this_wait_s = self._wait_s
        self._waiting = False
        self._wait_until = 0.0  # monotonic seconds
        self._waits_to_claim: ClaimRequest | None = None
        self._behind: list[Call] = []  # calls that are sent behind the BLPOP
        self._passed_on: Any = None  # the socket whose server has the script that passes a wake token on

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
        except (RedisError, OSError):
            self._connection.disconnect()

    def receive(self) -> Exchange:
        """See `Channel.receive`."""
        try:
            if not self._sent:
                self._transmit()
            settled, claimed = self._read()
        except (RedisError, OSError) as error:
            self._sent = False
            if fault_of(error).spoils:
                self._connection.disconnect()
            raise self._unavailable(error) from error
        self._sent = False
        return self._exchange(settled, self._claim, claimed)

    @property
    def connected(self) -> bool:
        """See `Channel.connected`."""
        return self._connection._sock is not None and self._waiter._sock is not None and not self._logins_due()

    def _logins_due(self) -> list[Any]:
        """Return the connections that have to log in again, and owe no reply."""
        owe = ((self._connection, self._sent), (self._waiter, self._waiting))
        return [connection for connection, owes in owe if not owes and is_due(connection)]

    async def connect(self) -> None:
        """See `Channel.connect`."""
        for connection in (self._connection, self._waiter):
            if connection._sock is None:
                try:
                    await asyncio.to_thread(connection.connect)
                except (RedisError, OSError) as error:
                    raise self._unavailable(error) from error
        for connection in self._logins_due():
            await asyncio.to_thread(log_in_again, connection)

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
            if not self._waiting:
                log_in_again(self._waiter)
                self._waiter.connect()  # if it is not; it says then when to log in again
                self._this_wait_s = min(self._wait_s, max(LEAST_WAIT_S, due_in_s(self._waiter)))
            keys, new = self._shard.keys, []
            if claim is not None and self._waits_to_claim is None:
                new = [self._claim_call(claim)]
            elif not self._waiting:
                new = [pass_wake_call(keys, self._queues)]
                if self._passed_on is not self._waiter._sock:
                    # Once for each connection: a child whose interpreter is held could not bring a missing script.
                    exchange(self._waiter, new)
                    self._passed_on = self._waiter._sock
            if new:
                commands = [command(call) for call in new]
                if not self._waiting:
                    commands.insert(0, ("BLPOP", *wake_lists(keys, self._queues), self._this_wait_s))
                self._waiter.send_packed_command(self._waiter.pack_commands(commands), check_health=False)
                if not self._waiting:
                    self._wait_until = time.monotonic() + self._this_wait_s + SILENT_S
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
                where, waited_s = connections.address(self._settings), self._this_wait_s + SILENT_S
                logger.warning("nothing came from %s for %.0f s; trying a new connection", where, waited_s)
                raise TimeoutError("a connection that waits has gone silent")
            self._waiter.read_response()
            replies = finish(self._waiter, self._behind)
            if claim is not None:
                reply = self._with_candidates(claim, replies[-1], lambda call: exchange(self._waiter, [call])[0])
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

    def _send_requests(self, requests: Sequence[Call]) -> None:
        connection = self._connection
        log_in_again(connection)
        connection.send_packed_command(
            connection.pack_commands([command(call) for call in requests]), check_health=False
        )

    def _read(self) -> tuple[list[Any], list[Any] | None]:
        """Return the settle replies and the claim's; calls that must be put otherwise are sent again."""
        replies = finish(self._connection, self._requests)
        claimed = replies.pop() if self._claim is not None else None
        for place, reply in enumerate(replies):
            if reply[0] == b"hour":
                self._settles[place].shard.learn_clock(reply[1])
                replies[place] = self._again(self._settle_call(self._settles[place]))
        if self._claim is not None and claimed is not None:
            claimed = self._with_candidates(self._claim, claimed, self._again)
        return replies, claimed

    def _again(self, call: Call) -> Any:
        return exchange(self._connection, [call])[0]
