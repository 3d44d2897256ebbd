"""A child's channel to a SQL store."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from streamtasks.exceptions import StoreError
from streamtasks.stores.claims_held import ClaimsHeld
from streamtasks.stores.memory.settle import settle
from streamtasks.stores.types import ClaimRequest, Exchange, Filter, Outcome, Settled

from .listener import Listener, can_listen
from .notify import WAKE
from .quick import QuickSettle, claim_quickly, may_settle_quickly, settle_quickly
from .take import claim

if TYPE_CHECKING:
    from .steps import Steps

__all__ = ["SqlChannel"]

POLL_S: Final = 0.5
"""How often a child asks a database that cannot notify, seconds."""

LOOK_S: Final = 0.05
"""How often it looks whether SQLite's file has changed, seconds."""

SELDOM_S: Final = 0.2
"""How often it looks whether there was something for it on a server that cannot notify, seconds."""


class SqlChannel:
    """See `Channel`. Belongs to one thread."""

    def __init__(self, steps: Steps, tag: str, consumer: str, queues: Filter) -> None:
        self._steps = steps
        self._tag = tag
        self._consumer = consumer
        self._queues = queues
        self._sent: tuple[Sequence[Outcome], ClaimRequest | None, Sequence[str]] | None = None
        self._answer: Exchange | None = None
        self._waits_to_claim: ClaimRequest | None = None
        self._held = ClaimsHeld()
        self._listener: Listener | None = None
        self._pipe: tuple[int, int] | None = None
        self._until = 0.0
        self._version = 0

    def send(self, outcomes: Sequence[Outcome], claim: ClaimRequest | None) -> None:
        """See `Channel.send`: it is done at once. If that fails, `receive` does it again."""
        released = self._held.emptied(outcome.token for outcome in outcomes)
        self._sent, self._answer = (outcomes, claim, released), None
        with suppress(StoreError):
            self._answer = self._exchange(*self._sent, retry_s=0)

    def receive(self) -> Exchange:
        """See `Channel.receive`."""
        if self._sent is None:
            raise StoreError("receive() without send(): they come in pairs.")
        answer = self._answer
        if answer is None:
            answer = self._exchange(*self._sent, retry_s=0)
        self._sent = self._answer = None
        return answer

    @property
    def connected(self) -> bool:
        """See `Channel.connected`: a call connects when it has to."""
        return True

    async def connect(self) -> None:
        """See `Channel.connect`: there is nothing to do."""

    async def replied(self) -> None:
        """See `Channel.replied`: there is always something to read."""

    def drop(self, token: str) -> None:
        """See `Channel.drop`."""
        self._held.drop(token)

    def start_wait(self, claim: ClaimRequest | None = None) -> int:
        """See `Channel.start_wait`.

        The first wait only begins to listen, and returns at once: something may have come before.
        """
        session = self._steps.session
        longest_s = 2 * self._steps.settings.idle_poll_s if can_listen(session) else POLL_S
        self._waits_to_claim = self._waits_to_claim or claim
        self._until = time.monotonic() + longest_s
        if not can_listen(session):
            self._pipe = self._pipe or os.pipe()
            return self._pipe[0]
        if self._listener is None:
            self._listener = Listener(session, WAKE)
            self._pipe = os.pipe()
            os.write(self._pipe[1], b".")
        return self._listener.fd if self._pipe is None else self._pipe[0]

    def wait_left_s(self) -> float | None:
        """See `Channel.wait_left_s`. What was lost of notifications is made up for as often as the settings say."""
        left_s = max(0.0, self._until - time.monotonic())
        if self._listener is not None or left_s == 0.0:
            return left_s
        session = self._steps.session
        wait_s = LOOK_S if session.vendor == "sqlite" else SELDOM_S
        version = session.run(session.version, 0)
        if version == self._version:
            return min(left_s, wait_s if version else left_s)
        self._version = version
        return 0.0

    def finish_wait(self) -> Exchange | None:
        """See `Channel.finish_wait`."""
        if self._listener is not None:
            if self._pipe is not None:
                self._close_pipe()
            try:
                self._listener.take()
            except StoreError:
                self._listener.close()
                self._listener = None
                raise
        request, self._waits_to_claim = self._waits_to_claim, None
        return None if request is None else self._exchange((), request, (), retry_s=0)

    def close(self) -> None:
        """See `Channel.close`."""
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        self._close_pipe()
        self._steps.session.close()

    def _close_pipe(self) -> None:
        if self._pipe is not None:
            os.close(self._pipe[0])
            os.close(self._pipe[1])
            self._pipe = None

    def _exchange(
        self, outcomes: Sequence[Outcome], request: ClaimRequest | None, released: Sequence[str], *, retry_s: float
    ) -> Exchange:
        settled, now_ms = self._settle(outcomes, released, retry_s)
        if request is None:
            return Exchange(settled, [], now_ms, False, False, False, False)
        found = self._claim_quickly(request, retry_s)
        if found is None:
            found = self._steps.change(lambda shard: claim(shard, self._consumer, request, self._queues), retry_s)
        if found.claimed:
            self._held.take(found.claimed[0].token, len(found.claimed))
        return found._replace(settled=settled)

    def _settle(
        self, outcomes: Sequence[Outcome], released: Sequence[str], retry_s: float
    ) -> tuple[list[Settled], int]:
        if not outcomes:
            return [], 0
        session, done = self._steps.session, set[str]()
        is_quick = session.vendor == "postgresql" and not self._steps.settings.events_kept
        quick = [outcome for outcome in outcomes if may_settle_quickly(outcome)] if is_quick else []
        if quick:
            some = QuickSettle(quick, self._consumer, released if len(quick) == len(outcomes) else ())
            receiver = self._steps.receiver

            def settle_these(one_by_one: bool) -> set[str]:
                return settle_quickly(session, some, receiver, one_by_one=one_by_one)

            done = self._steps.with_receiver(session, settle_these, retry_s)
        rest = [outcome for outcome in outcomes if outcome.id not in done]
        answers: dict[int, Settled] = {}
        now_ms = 0
        if rest or len(quick) < len(outcomes):

            def slow(shard: Any) -> tuple[list[Settled], int]:
                shard.live.load(outcome.id for outcome in rest)
                return settle(shard, rest, "revoked", released=released), shard.now_ms()

            some_settled, now_ms = self._steps.change(slow, retry_s)
            answers = {id(outcome): answer for outcome, answer in zip(rest, some_settled, strict=True)}
        return [answers.get(id(outcome), Settled.DONE) for outcome in outcomes], now_ms

    def _claim_quickly(self, request: ClaimRequest, retry_s: float) -> Exchange | None:
        session, settings = self._steps.session, self._steps.settings
        if session.vendor != "postgresql" or settings.events_kept or request.tag or request.most < 1:
            return None
        found = session.run(lambda: claim_quickly(session, settings, self._consumer, request, self._queues), retry_s)
        if found is None or (not found[1] and self._queues.mode != "all"):
            return None  # the common way also learns whether other queues have something
        return Exchange([], found[1], found[0], False, False, False, False)
