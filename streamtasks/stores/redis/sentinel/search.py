"""Decide which server is the master, from the answers of Sentinels; no input and output.

A Sentinel may be dead, slow, cut off from the others or out of date. So the master is the server that two of them name
(or all that answer), by an epoch of configuration not older than the newest seen, and that says itself that it is one.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Generator, Set
from typing import Final, NamedTuple

from redis.exceptions import AuthenticationError
from redis.exceptions import ConnectionError as RedisConnectionError

from ..addresses import SentinelAddress
from ..faults import Course, fault_of
from ..nodes import Node
from ..sentinel_errors import NoMaster, NotMaster, SentinelsRefuse, ServiceUnknown
from .replicas import Replicas, Report

__all__ = ["Answer", "Ask", "Search", "Try"]

ENOUGH: Final = 2
"""So many Sentinels that name the same master are enough."""

SKIPPED_S: Final = 5.0
"""A Sentinel that did not answer is asked again after so long, seconds, unless no other one answers."""

LOOK_EVERY_S: Final = 1.0
"""Producers look whether the master has changed at most this often, seconds."""

_SLOW_S: Final = 60.0

_replicas: Final[dict[tuple[str, tuple[Node, ...]], Replicas]] = {}
"""The replicas of each service, for all searches: they may share connections, and then only one of them asks."""


class Answer(NamedTuple):
    """What a Sentinel says of a service.

    Attributes:
        master: the address of the master; None: it does not know the service.
        epoch: of the configuration; larger is newer. None: it does not tell us.
        services: names of the services that it knows, as far as it tells; only if ``master`` is None.
        report: of the replicas; None: it does not tell us.
    """

    master: Node | None
    epoch: float | None = None
    services: tuple[str, ...] = ()
    report: Report | None = None


class Ask(NamedTuple):
    """Ask this Sentinel; send back an `Answer`, or the error."""

    sentinel: Node


class Try(NamedTuple):
    """Connect to this server; send back None if it is a master, else the error (`NotMaster`: it is a replica)."""

    server: Node


type Steps = Generator[Ask | Try, Answer | Exception | None, Node]


class Search:
    """What this process knows of a service and its Sentinels. May be shared between threads.

    Attributes:
        master: where it was found last; None: not yet, or it has changed since.
        tried: the server that was connected to last.
        changes: how often it has changed: connections that were made before a change are to be replaced.
        look_at: when producers should look again, `time.monotonic`.
    """

    def __init__(self, address: SentinelAddress) -> None:
        self.address = address
        self.master: Node | None = None
        self.tried: Node | None = None
        self.changes = 0
        self.look_at = math.inf
        self._last: Node | None = None
        self._epoch = 0.0
        self._looks_failed = 0
        self._replicas = _replicas.setdefault(address[:2], Replicas())
        self._answers_in_s = dict.fromkeys(address.sentinels, 0.0)
        self._failed_at = dict.fromkeys(address.sentinels, -math.inf)

    @property
    def replicas(self) -> int | None:
        """How many replicas there are, also those that are away, as a Sentinel told us last; None: none has told us."""
        return self._replicas.total

    @property
    def away(self) -> int:
        """How many replicas of the master that was found last are away, by most Sentinels."""
        return self._replicas.away(self.master, len(self.address.sentinels), time.monotonic())

    def outranks(self, connected: Set[Node]) -> bool:
        """Whether a replica that is away would be promoted before any of these; see `Replicas.outranks`."""
        return self._replicas.outranks(connected, self.master, len(self.address.sentinels), time.monotonic())

    def quickest(self) -> list[Node]:
        """Return the Sentinels in the order in which they are asked."""
        return sorted(self.address.sentinels, key=self._answers_in_s.__getitem__)

    def steps(self) -> Steps:
        """Find the master: yield what to do next, be sent how it went; return the address of the master.

        Raises:
            NoMaster, NotMaster: there is none at present.
            ServiceUnknown, SentinelsRefuse: asking again does not help.
            RedisError: as sent for a `Try`.
        """
        polled = _Poll(self._epoch)
        for sentinel in self.quickest():
            if polled.epochs and time.monotonic() - self._failed_at[sentinel] < SKIPPED_S:
                continue
            yield from self._ask(sentinel, polled)
            server = polled.agreed(min(ENOUGH, len(self.address.sentinels)))
            if server is not None and (yield from self._is_master(server, polled)):
                return server
        for server in polled.by_age():
            if server not in polled.tried and (yield from self._is_master(server, polled)):
                return server
        raise polled.failure(self.address)

    def look(self) -> Generator[Ask, Answer | Exception | None, None]:
        """Ask the quickest Sentinel whether the master is still the one found last; note a change.

        If a replica is away, more Sentinels are asked, so that most of them have said so.
        """
        began, known = time.monotonic(), self.master
        self.look_at = began + LOOK_EVERY_S  # one thread at a time
        polled = _Poll(self._epoch)
        for sentinel in self.quickest():
            answer = yield from self._ask(sentinel, polled)
            if answer is None or answer.report is None or not (answer.report.away or answer.report.unseen):
                break
            if 2 * len(polled.named) > max(len(self.address.sentinels), answer.report.sentinels):
                break
        for server, epoch in polled.epochs.items():
            if known is not None and known == self.master and server != known and epoch >= self._epoch:
                self._forget()
        self._looks_failed = 0 if polled.epochs else min(5, self._looks_failed + 1)
        self.look_at = began + LOOK_EVERY_S * 2.0**self._looks_failed

    def is_slow(self, sentinel: Node) -> None:
        """Note that a Sentinel cannot be reached, or is out of date: others are asked first."""
        self._answers_in_s[sentinel] += _SLOW_S

    def announced(self, server: Node) -> bool:
        """Take in that a Sentinel has announced a new master; return whether that is news.

        Others may not know it yet: what they say of an older configuration is not believed any more.
        """
        if server == self._last:
            return False
        self._last = server
        self._forget()
        self._epoch += 1
        return True

    def changes_at(self, server: Node) -> int:
        """Return `changes` for a connection to this server; -1: another one has been found in the meantime."""
        changes = self.changes
        return changes if self.master == server else -1

    def _forget(self) -> None:
        # In this order, see `changes_at`: other threads may look in between.
        self.master = None
        self.changes += 1

    def _ask(self, sentinel: Node, polled: _Poll) -> Generator[Ask, Answer | Exception | None, Answer | None]:
        began = time.monotonic()
        reply = yield Ask(sentinel)
        polled.take(sentinel, reply)
        answer = reply if isinstance(reply, Answer) else None
        now = time.monotonic()
        if answer is None:
            self._failed_at[sentinel] = now
        elif answer.report is not None:
            self._replicas.take(sentinel, answer.report, now)
        self._answers_in_s[sentinel] = now - began + (_SLOW_S if answer is None else 0.0)
        return answer

    def _is_master(self, server: Node, polled: _Poll) -> Generator[Try, Answer | Exception | None, bool]:
        self.tried = server
        error = yield Try(server)
        polled.tried[server] = error if isinstance(error, Exception) else None
        if isinstance(error, Exception):
            if fault_of(error).course is Course.LASTS:
                raise error
            return False
        for sentinel, named in polled.named.items():
            if named != server:
                self.is_slow(sentinel)
        before, self.master, self._last = self.master, server, server
        if before not in {None, server}:
            self.changes += 1  # behind the assignment, see `changes_at`
        self._epoch = max(self._epoch, polled.epochs[server])
        self.look_at = time.monotonic() + LOOK_EVERY_S
        return True


class _Poll:
    """The answers of one search. ``epoch``: the newest configuration that is known already."""

    def __init__(self, epoch: float) -> None:
        self._epoch = epoch
        self.named: dict[Node, Node] = {}
        self.epochs: dict[Node, float] = {}
        self.tried: dict[Node, Exception | None] = {}
        self._votes: Counter[Node] = Counter()
        self._services: set[str] = set()
        self._unknown: list[Node] = []
        self._errors: dict[Node, Exception] = {}

    def take(self, sentinel: Node, reply: Answer | Exception | None) -> None:
        """Take in what a Sentinel answered."""
        if not isinstance(reply, Answer):
            self._errors[sentinel] = reply if reply is not None else NoMaster("no answer")
        elif reply.master is None:
            self._unknown.append(sentinel)
            self._services.update(reply.services)
        else:
            server = self.named[sentinel] = reply.master
            self._votes[server] += 1
            # An epoch that is not told counts as current.
            self.epochs[server] = max(self.epochs.get(server, 0), self._epoch if reply.epoch is None else reply.epoch)

    def agreed(self, enough: int) -> Node | None:
        """Return the server that so many Sentinels name, None if there is none of the newest configuration."""
        newest = max(self.epochs.values(), default=0)
        for server in self.by_age():
            if self._votes[server] >= enough and self.epochs[server] >= max(newest, self._epoch):
                return None if server in self.tried else server
        return None

    def by_age(self) -> list[Node]:
        """Return the servers that were named, that of the newest configuration first."""
        return sorted(self.epochs, key=lambda server: (self.epochs[server], self._votes[server]), reverse=True)

    def failure(self, address: SentinelAddress) -> Exception:
        """Return what to raise because there is no master."""
        who = "; ".join(f"{sentinel}: {error}" for sentinel, error in self._errors.items())
        service = repr(address.service)
        if self.tried:
            replicas = [error for error in self.tried.values() if isinstance(error, NotMaster)]
            if len(replicas) == len(self.tried):
                by = ", ".join(map(str, self.named))
                servers = " and ".join(map(str, self.tried))
                return NotMaster(f"{servers}, named as the master of {service} by Sentinel {by}, is a replica")
            return next(
                error for error in self.tried.values() if error is not None and not isinstance(error, NotMaster)
            )
        if 2 * len(self._unknown) > len(address.sentinels):
            known = f"; known there: {', '.join(sorted(map(repr, self._services)))}" if self._services else ""
            return ServiceUnknown(
                f"Sentinel {', '.join(map(str, self._unknown))} does not know the service {service}{known}. "
                "Correct the name of the service"
            )
        if self._errors and all(isinstance(error, AuthenticationError) for error in self._errors.values()):
            return SentinelsRefuse(who)
        if self._errors and all(fault_of(error).untrusted for error in self._errors.values()):
            return RedisConnectionError(who)
        unknown = f"; unknown to {', '.join(map(str, self._unknown))}" if self._unknown else ""
        return NoMaster(f"no Sentinel names a master of {service} ({who}{unknown})")
