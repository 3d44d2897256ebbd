"""A child's channel to a Cluster: a connection for each master, and none to wait on."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from redis.exceptions import MovedError, RedisError

from ...exceptions import ConfigurationError, StoreError
from ...settings import StoreSettings
from ..readable import readable
from ..types import ClaimRequest, Exchange, Filter, Outcome, Settled
from . import connections
from .cluster.masters import masters_of
from .conversation import command, exchange, finish
from .exchange_channel import ExchangeChannel, Settlement
from .faults import fault_of
from .logins import is_due, log_in_again
from .operations.settle import settle_order
from .scripts import Call
from .shards import Shards

__all__ = ["ClusterChannel"]

logger = logging.getLogger("streamtasks.store")

LEAST_DOWN_S: Final = 0.1
MOST_DOWN_S: Final = 1.0
"""A master that cannot be reached is tried again after the first of these, then after twice as long each time."""

SHARE: Final = 4
"""At least so many times as long as a try took: a child that waits for a silent master does nothing else."""

SLOW_S: Final = 0.5
"""A connection that broke sooner after something was sent was closed: a new one is made at once."""


class _Down(NamedTuple):
    """A master that could not be reached: until when it is not tried again (monotonic seconds), and why."""

    until: float
    wait_s: float
    error: Exception


class ClusterChannel(ExchangeChannel):
    """See `Channel`. What is settled and claimed goes to all masters that it concerns at once.

    A master that cannot be reached keeps nobody waiting: what was to be settled there is owed, and goes out again with
    later exchanges. Children of a Cluster are woken by their keeper, so it does not wait itself.
    """

    def __init__(self, shards: Shards, tag: str, consumer: str, queues: Filter) -> None:
        super().__init__(shards, tag, consumer, queues)
        self._masters = masters_of(self._settings)
        self._by_url: dict[str, Any] = {}
        self._down: dict[str, _Down] = {}
        self._parts: list[tuple[str, list[int]]] = []  # URLs, and the places of the requests sent there
        self._unsent_at: dict[int, Exception] = {}  # places of the requests that were not sent, and why
        self._sent_at = 0.0
        self._owed: list[Settlement] = []  # the first of `_settles`: they are sent again
        self._failed: list[Settlement] = []  # those of the last exchange that were not answered
        self._late: list[tuple[str, str, Settled]] = []
        self._unsure = False

    # -- exchanges -----------------------------------------------------------------------------------

    def send(self, outcomes: Sequence[Outcome], claim: ClaimRequest | None) -> None:
        """See `Channel.send`."""
        self._owed, self._failed = self._failed, []
        self._claim = claim
        self._divide(outcomes)
        self._transmit()

    def _divide(self, outcomes: Sequence[Outcome]) -> None:
        super()._divide(outcomes)
        self._settles = [*self._owed, *self._settles]

    def receive(self) -> Exchange:
        """See `Channel.receive`. It raises nothing: what is not answered, the exchange says."""
        if not self._sent:
            self._transmit()
        settled, claimed = self._read()
        self._sent = False
        self._failed = [one for one, reply in zip(self._settles, settled, strict=True) if isinstance(reply, Exception)]
        errors = [reply for reply in (*settled, claimed) if isinstance(reply, Exception)]
        missed: Exception | None = None
        if isinstance(claimed, Exception):
            claimed, missed = None, claimed
        found = self._exchange(settled, self._claim, claimed)
        if not errors:
            return found._replace(late=self._late)
        return found._replace(
            late=self._late,
            error=self._unavailable(missed or errors[0]),
            missed=missed is not None,
            unsure=missed is not None and self._unsure,
        )

    def _send_requests(self, requests: Sequence[Call]) -> None:
        if self._masters.wants_look:
            try:
                self._masters.refresh()
            except (RedisError, OSError, ConfigurationError):
                logger.debug("the masters cannot be asked for; those of before may do", exc_info=True)
        parts: dict[str, list[int]] = {}
        self._unsent_at = {}
        for place, call in enumerate(requests):
            try:
                parts.setdefault(self._ready(call.tag), []).append(place)
            except (RedisError, OSError) as error:
                self._masters.note(error)
                self._unsent_at[place] = error
        self._sent_at = time.monotonic()
        for url, places in list(parts.items()):
            connection = self._by_url[url]
            commands = [command(requests[place]) for place in places]
            try:
                connection.send_packed_command(connection.pack_commands(commands), check_health=False)
            except (RedisError, OSError) as error:
                self._broken(url, error)
                self._unsent_at |= dict.fromkeys(places, error)
                del parts[url]
        self._parts = list(parts.items())

    def _replies(self) -> list[Any]:
        """Return the reply to each request, errors as values."""
        replies: list[Any] = [self._unsent_at.get(place) for place in range(len(self._requests))]
        self._unsure = False
        for url, places in self._parts if self._requests else ():
            connection = self._by_url[url]
            try:
                if connection._sock is None:
                    raise TimeoutError("no reply")
                some = finish(connection, [self._requests[place] for place in places], raises=False)
            except (RedisError, OSError) as error:
                self._broken(url, error)
                self._unsure = self._unsure or (self._claim is not None and places[-1] == len(self._requests) - 1)
                some = [error] * len(places)
            else:
                self._down.pop(url, None)
            for place, reply in zip(places, some, strict=True):
                replies[place] = reply
                if isinstance(reply, Exception):
                    self._masters.note(reply)
                    if fault_of(reply).spoils:
                        connection.disconnect()
        return replies

    def _read(self) -> tuple[list[Any], Any]:
        """Return the settle replies and the claim's, errors as values; calls that must be put otherwise go again."""
        replies = [self._made_good(place, reply) for place, reply in enumerate(self._replies())]
        claimed: Any = replies.pop() if self._claim is not None else None
        if self._claim is not None and not isinstance(claimed, Exception):
            try:
                claimed = self._with_candidates(self._claim, claimed, self._again)
            except (RedisError, OSError) as error:
                claimed, self._unsure = error, True
        return replies, claimed

    def _made_good(self, place: int, reply: Any) -> Any:
        try:
            if isinstance(reply, MovedError):
                reply = self._again(self._requests[place])
            if not isinstance(reply, Exception) and reply[0] == b"hour":
                settle = self._settles[place]
                settle.shard.learn_clock(reply[1])
                return self._again(self._settle_call(settle))
        except (RedisError, OSError) as error:
            self._unsure = True
            return error
        return reply

    def _again(self, call: Call) -> Any:
        url = self._ready(call.tag)
        try:
            return exchange(self._by_url[url], [call])[0]
        except (RedisError, OSError) as error:
            self._masters.note(error)
            if fault_of(error).spoils:
                self._by_url[url].disconnect()
            raise

    def _settled(self, replies: Sequence[Any]) -> list[Settled]:
        self._late, new = [], []
        for place, (settle, reply) in enumerate(zip(self._settles, replies, strict=True)):
            away = isinstance(reply, Exception)
            answers = [Settled.AWAY] * len(settle.outcomes) if away else settle_order(settle.outcomes, reply[1:])
            if place >= len(self._owed):
                new += answers
            elif not away:
                about = zip(settle.outcomes, answers, strict=True)
                self._late += [(outcome.token, outcome.id, answer) for outcome, answer in about]
        return self._ordered(new)

    # -- connections ---------------------------------------------------------------------------------

    def _ready(self, tag: str) -> str:
        """Connect to the master of a shard, unless it could not be reached just now; return its URL.

        Raises:
            RedisError: it cannot be reached.
        """
        settings = self._masters.of(tag)
        url = settings.url
        if url not in self._by_url:
            self._by_url[url] = connections.new_connection(settings)
        connection = self._by_url[url]
        log_in_again(connection)
        if connection._sock is None:
            self._open(url)
        return url

    def _open(self, url: str) -> None:
        down, begun = self._down.get(url), time.monotonic()
        if down is not None and begun < down.until:
            raise down.error
        try:
            self._by_url[url].connect()
        except (RedisError, OSError) as error:
            self._set_down(url, error, begun)
            raise

    def _set_down(self, url: str, error: Exception, begun: float) -> None:
        now, known = time.monotonic(), self._down.get(url)
        wait_s = LEAST_DOWN_S if known is None else min(2 * known.wait_s, MOST_DOWN_S)
        self._down[url] = _Down(now + max(wait_s, SHARE * (now - begun)), wait_s, error)

    def _broken(self, url: str, error: Exception) -> None:
        self._masters.note(error)
        self._by_url[url].disconnect()
        if time.monotonic() - self._sent_at > SLOW_S:
            self._set_down(url, error, self._sent_at)

    def _urls(self) -> list[str]:
        """Return the URLs of the masters of all shards, with a connection for each; drop the others.

        Raises:
            RedisError: nobody serves any of the shards.
        """
        current: dict[str, StoreSettings] = {}
        unknown: Exception | None = None
        for tag in self._settings.tags:
            try:
                settings = self._masters.of(tag)
            except RedisError as error:  # what is on other shards can be done meanwhile
                unknown = error
            else:
                current[settings.url] = settings
        if unknown is not None and not current:
            raise unknown
        for url in [url for url in self._by_url if url not in current]:
            self._by_url.pop(url).disconnect()  # it was a master
        for url, settings in current.items():
            if url not in self._by_url:
                self._by_url[url] = connections.new_connection(settings)
        return list(current)

    @property
    def connected(self) -> bool:
        """See `Channel.connected`: to every master that has been met, but for those that could not be reached."""
        now, found = time.monotonic(), self._by_url.items()
        is_open = [connection._sock is not None for _, connection in found]
        wanting = (url for url, connection in found if connection._sock is None)
        if self._logins_due():
            return False
        return any(is_open) and all(url in self._down and now < self._down[url].until for url in wanting)

    def _logins_due(self) -> list[Any]:
        """Return the connections that have to log in again, if they owe no reply."""
        return [] if self._sent else [connection for connection in self._by_url.values() if is_due(connection)]

    async def connect(self) -> None:
        """See `Channel.connect`: to the masters of all shards; one that cannot be reached is left out."""
        try:
            if self._masters.wants_look:
                await self._masters.arefresh()
            urls = [url for url in self._urls() if self._by_url[url]._sock is None]
        except (RedisError, OSError) as error:
            self._masters.note(error)
            raise self._unavailable(error) from error
        answers = await asyncio.gather(*(asyncio.to_thread(self._open, url) for url in urls), return_exceptions=True)
        for failed in (answer for answer in answers if answer is not None):
            if not isinstance(failed, (RedisError, OSError)):
                raise failed
            self._masters.note(failed)
            if all(connection._sock is None for connection in self._by_url.values()):
                raise self._unavailable(failed) from failed
        await asyncio.gather(*(asyncio.to_thread(log_in_again, connection) for connection in self._logins_due()))

    async def replied(self) -> None:
        """See `Channel.replied`."""
        for url, _ in self._parts if self._sent else ():
            connection = self._by_url[url]
            try:
                if connection._sock is not None:
                    async with asyncio.timeout(connection.socket_timeout):
                        await readable(connection._sock.fileno())
            except (RedisError, OSError):  # TimeoutError is one
                connection.disconnect()

    def close(self) -> None:
        """See `Channel.close`."""
        for connection in self._by_url.values():
            connection.disconnect()

    # -- it does not wait ----------------------------------------------------------------------------

    def start_wait(self, claim: ClaimRequest | None = None) -> int:  # noqa: ARG002 - see the class
        """See `Channel.start_wait`: it cannot.

        Raises:
            StoreError: always.
        """
        raise StoreError("a channel to a Cluster cannot wait: it has several shards; see SupervisorStore.listen().")

    def wait_left_s(self) -> float:
        """See `Channel.wait_left_s`: there is no wait."""
        return 0.0

    def finish_wait(self) -> Exchange | None:
        """See `Channel.finish_wait`: there is no wait."""
        return None
