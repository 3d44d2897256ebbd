"""A child's link to the store: exchanges that survive an absent server, and the adaptive batch size."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Sequence

from streamtasks.exceptions import StoreError, StoreUnavailable
from streamtasks.stores.backoff import Backoff
from streamtasks.stores.channel import SETTLES_S, Channel
from streamtasks.stores.types import Claimed, ClaimRequest, Exchange, Outcome, Settled

from ..process.board import Board
from ..process.counters import Counters
from ..process.worker_counters import kind_of_error
from .runner import Runner
from .shard_choice import ShardChoice

__all__ = ["Link", "Pace"]

logger = logging.getLogger("streamtasks.worker")

BATCH_NS = 10_000_000
"""A child holds about this much work, what runs and what is prefetched together (design: 10 ms)."""

MOST = 100

CUT_OFF_S = 2.5
"""A child logs that it alone does not reach the store after so long, seconds."""

QUICK_NS = 20_000_000

OWED_S = 0.5
"""A child that waits asks so often, seconds, what has become of outcomes that could not be settled."""


class Pace:
    """How many messages to claim: about 5 ms of work, because another 5 ms run while the reply is on its way."""

    def __init__(self) -> None:
        self._average_ns = 0.0

    def measured(self, attempts: int, spent_ns: int) -> None:
        """Take in how long some attempts took."""
        if attempts:
            mean = spent_ns / attempts
            self._average_ns = mean if self._average_ns == 0 else 0.7 * self._average_ns + 0.3 * mean

    @property
    def count(self) -> int:
        """How many to claim. 1: alone, and nothing is claimed ahead."""
        if self._average_ns == 0:
            return 1
        return max(1, min(MOST, int(BATCH_NS / 2 / self._average_ns)))


class Link:
    """One child's exchanges over its channel, with the board kept in step.

    While the server is away it retries with jittered backoff for ever and logs each change of state once.

    Args:
        channel: to the store.
        board: of the child.
        runner: learns the store's time.
        choice: of the shard of each claim; None: there is one shard, and claims wait there for work.
        counters: for metrics and charts.
    """

    def __init__(
        self,
        channel: Channel,
        board: Board,
        runner: Runner,
        choice: ShardChoice | None = None,
        counters: Counters | None = None,
    ) -> None:
        self.channel = channel
        self._counters = counters
        self._choice = choice
        self.board = board
        self.runner = runner
        self._sequence = 0
        self._sent_ns = 0
        self._away_since = 0.0
        self._warned = False
        self._backoff = Backoff(0.1, 2.0)
        self._outcomes_out: Sequence[Outcome] = ()
        self._slots_out: Sequence[int] = ()
        self._owed: dict[tuple[str, str], int] = {}  # outcomes that are away: token and id -> slot
        self._last_sequence = 0  # of all shards
        self._unsure: dict[str, int] = {}  # shard -> the claim that was not answered there
        self._claiming = self._one = False
        self._waiting = False  # a claim waits with us for work
        self._repeat_until = 0.0  # the last claim may yet take effect: until then (monotonic seconds) it is asked again
        self.suspects = False  # one waits for this child's empty hands
        self.runs_suspect = False  # one was claimed last: nothing is claimed beside it, or ahead
        self.others_only = False
        self.again = False
        self._drained = False

    def send(
        self, outcomes: Sequence[Outcome], slots: Sequence[int], count: int, *, alone: bool, look: bool = False
    ) -> None:
        """Start an exchange: settle ``outcomes`` (which lie in ``slots``), claim up to ``count`` messages.

        ``look``: claim nothing, but learn whether a suspect still waits.
        """
        self._outcomes_out, self._slots_out = outcomes, slots
        self._claiming, self._one = count > 0 or look, count == 1
        claim = None
        if outcomes:
            self.board.settling()
        if self._claiming:
            claim = self._next_claim(count, alone=alone)
        self._sent_ns = time.monotonic_ns()
        self.channel.send(outcomes, claim)

    def start_wait(self, count: int = 0) -> int:
        """Wait for work, and claim up to ``count`` of it the moment it is there, with nothing else in hand.

        Return a file descriptor that becomes readable. 0: only wait; `send` a claim afterwards.

        Raises:
            StoreUnavailable: the server is away.
        """
        if self._choice is not None:
            return self._choice.start_wait()
        if not count or self._waiting:
            return self.channel.start_wait()
        self._outcomes_out = self._slots_out = ()
        self._claiming, self._one = True, count == 1
        claim = self._next_claim(count, alone=True)
        self._sent_ns = time.monotonic_ns()
        self._waiting = True
        try:
            return self.channel.start_wait(claim)
        except StoreError:
            self._wait_broke()
            raise

    def finish_wait(self) -> Exchange | None:
        """Take what woke the wait; return what was claimed, if that was asked for and could be.

        Raises:
            StoreUnavailable: the server is away.
        """
        if self._choice is not None:
            self._choice.finish_wait()
            self.again = True
            return None
        try:
            exchange = self.channel.finish_wait()
        except StoreError:
            self._wait_broke()
            raise
        self._waiting = False
        self.back()
        return exchange

    def wait_left_s(self) -> float | None:
        """See `Channel.wait_left_s`."""
        if self._choice is None:
            return self.channel.wait_left_s()
        left_s = self._choice.wait_left_s()
        return min(left_s, OWED_S) if self._owed else left_s

    def _wait_broke(self) -> None:
        if self._waiting:
            self._repeat_until = time.monotonic() + SETTLES_S
        self._waiting = False
        self.again = True  # the wait may have used up the token that woke it: claim now, then wait

    def _next_claim(self, count: int, *, alone: bool) -> ClaimRequest:
        choice = self._choice
        if choice is None:
            if time.monotonic() >= self._repeat_until:
                self._sequence += 1
            self.board.sent(self._sequence)
            return ClaimRequest(self._sequence, count, alone)
        tag = choice.next_tag()
        sequence = self._unsure.get(tag)
        if sequence is None:
            sequence = self._last_sequence = self._last_sequence + 1
        self._sequence = sequence
        self.board.sent(sequence, tag)
        return ClaimRequest(self._sequence, count, alone, tag, choice.may_take_suspect(alone=alone), choice.least)

    def expects_nothing(self) -> bool:
        """Whether a claim would find nothing, as far as is known without asking: to wait for work is as good then."""
        return self._drained if self._choice is None else self._choice.knows_of_nothing()

    @property
    def settling(self) -> bool:
        """Whether the exchange under way carries outcomes: it must be waited for."""
        return bool(self._slots_out)

    def try_receive(self) -> Exchange | None:
        """Finish the exchange; None if the server is away (wait `pause_s`, then call again)."""
        try:
            exchange = self.channel.receive()
        except StoreError as error:
            self.away(error)
            return None
        if exchange.error is not None:
            return exchange if self._can_go_on(exchange, exchange.error) else None
        self.back()
        return exchange

    def _can_go_on(self, exchange: Exchange, error: Exception) -> bool:
        """Return whether to go on although a shard has not answered: what it is owed must be safe on the board."""
        settled = exchange.settled
        away = [slot for slot, answer in zip(self._slots_out, settled, strict=True) if answer is Settled.AWAY]
        if len(away) < len(settled) or exchange.late or (self._claiming and not exchange.missed):
            self.back()
        else:
            self.away(error)
        return len(self._owed) + len(away) <= MOST and all(map(self.board.is_finished, away))

    async def connected(self) -> bool:
        """Connect, if the channel is not connected, without blocking the event loop; return whether it is."""
        if not self.channel.connected:
            try:
                await self.channel.connect()
            except StoreError as error:
                self.away(error)
                return False
        return True

    async def received(self) -> Exchange | None:
        """Do as `try_receive`, but wait for the answer without blocking the event loop."""
        if not await self.connected():
            return None
        await self.channel.replied()
        return self.try_receive()

    def taken(self, exchange: Exchange) -> tuple[list[Claimed], list[int]]:
        """Apply an exchange: free settled slots, place what was claimed; return messages and their slots."""
        if exchange.now_ms:
            self._set_clock(exchange.now_ms)
        if exchange.error is not None or self._owed:
            self._keep_owed(exchange)
        else:
            for slot in self._slots_out:
                self.board.free(slot)
        if Settled.STALE in exchange.settled:
            stale = exchange.settled.count(Settled.STALE)
            if self._counters is not None:
                self._counters.count("fenced", "settle", stale)
            logger.warning("%d outcomes came too late: their messages belong to another worker by now", stale)
        self._slots_out = ()
        self._outcomes_out = ()
        if not self._claiming:
            return [], []  # only the answer to a claim shows what waits
        if exchange.missed:
            self._missed(exchange)
            return [], []
        self.suspects, self.others_only, self.again = exchange.suspects, exchange.others_only, exchange.again
        self.runs_suspect = exchange.run_alone and bool(exchange.claimed)
        self._drained = exchange.drained
        if self._choice is not None:
            tag = self._choice.took(exchange)
            if self._unsure.pop(tag, None) is not None:
                self.board.note_unsure(self._unsure)
        slots = self.board.place(self._sequence, exchange.claimed, recorded=self._one)
        if slots is None or exchange.claimed:
            self._repeat_until = 0.0
        if slots is None:
            return [], []  # the keeper has invalidated this claim and handed its messages back
        return exchange.claimed, slots

    def _keep_owed(self, exchange: Exchange) -> None:
        """Free the slots of what is settled; what is away stays on the board, where the keeper sees it."""
        for token, task_id, _ in exchange.late:
            slot = self._owed.pop((token, task_id), None)
            if slot is not None:
                self.board.free(slot)
        for outcome, slot, settled in zip(self._outcomes_out, self._slots_out, exchange.settled, strict=True):
            if settled is Settled.AWAY:
                self._owed[outcome.token, outcome.id] = slot
            else:
                self.board.free(slot)

    def _missed(self, exchange: Exchange) -> None:
        """Go on without an answer to the claim. If it may have taken effect, it is the next one on its shard."""
        assert self._choice is not None
        self.suspects = self.others_only = self.again = self.runs_suspect = False
        tag = self._choice.missed(unsure=exchange.unsure)
        self.board.give_up(self._sequence)
        if exchange.unsure and tag not in self._unsure:
            self._unsure[tag] = self._sequence
            self.board.note_unsure(self._unsure)

    def _set_clock(self, now_ms: int) -> None:
        """Learn the store's time. A reply that lay unread while a task ran is old: it is at least this late."""
        now_ns = time.monotonic_ns()
        offset_ns = now_ms * 1_000_000 - now_ns
        if now_ns - self._sent_ns < QUICK_NS or offset_ns > self.runner.clock_offset_ns:
            self.runner.clock_offset_ns = offset_ns

    def away(self, error: Exception) -> None:
        """Note that the server does not answer."""
        now = time.monotonic()
        away_s = now - (self._away_since or now)
        if away_s >= CUT_OFF_S and self.board.cut_off_since() and not self._warned:
            self._warned = True
            why = "does not reach the store, which the keeper reaches"
            logger.warning("child %d %s, for %.0f s: %s", os.getpid(), why, away_s, error)
        if not self._away_since:
            self._away_since = now
            self.board.away()
            if self._counters is not None:
                self._counters.count("store_error", kind_of_error(error))
            # The keeper logs that the server is away, once per worker; anything else is logged here.
            level = logging.DEBUG if isinstance(error, StoreUnavailable) else logging.ERROR
            logger.log(level, "the store does not answer as it should (%s); trying again until it does", error)

    def back(self) -> None:
        """Note that the server answers."""
        self.board.answered()
        if self._away_since:
            if self._counters is not None:
                self._counters.count("reconnect")
            logger.debug("the store answers again after %.1f s", time.monotonic() - self._away_since)
            self._away_since = 0.0
            self._warned = False
        self._backoff.reset()

    def pause_s(self) -> float:
        """How long to wait before the next try, seconds."""
        return self._backoff.next_s()
