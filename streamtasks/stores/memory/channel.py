"""A child's channel to a memory store. Its file descriptors are pipes, which can be waited for like sockets."""

from __future__ import annotations

import os
from collections.abc import Sequence

from ...exceptions import StoreError
from ...settings import StoreSettings
from ..claims_held import ClaimsHeld
from ..types import ClaimRequest, Exchange, Filter, Outcome, Settled
from .claim import claim, wake_lists
from .server import MemoryServer, Waiter
from .settle import settle

__all__ = ["MemoryChannel"]


class MemoryChannel:
    """See `Channel`. Belongs to one thread."""

    def __init__(self, server: MemoryServer, settings: StoreSettings, tag: str, consumer: str, queues: Filter) -> None:
        self._server = server
        self._settings = settings
        self._tag = tag
        self._consumer = consumer
        self._queues = queues
        self._answer: Exchange | None = None
        self._waiter: Waiter | None = None
        self._waits_to_claim: ClaimRequest | None = None
        self._held = ClaimsHeld()
        self._wait_pipe: tuple[int, int] | None = None

    def send(self, outcomes: Sequence[Outcome], claim: ClaimRequest | None) -> None:
        """See `Channel.send`: it is done at once."""
        places = self._by_tag(outcomes)
        released = self._held.emptied(outcome.token for outcome in outcomes)
        self._answer = self._exchange(outcomes, places, claim, released)

    def receive(self) -> Exchange:
        """See `Channel.receive`."""
        if self._answer is None:
            raise StoreError("receive() without send(): they come in pairs.")
        answer, self._answer = self._answer, None
        return answer

    @property
    def connected(self) -> bool:
        """See `Channel.connected`."""
        return True

    async def connect(self) -> None:
        """See `Channel.connect`: there is nothing to do."""

    async def replied(self) -> None:
        """See `Channel.replied`: there is always something to read."""

    def drop(self, token: str) -> None:
        """See `Channel.drop`."""
        self._held.drop(token)

    def start_wait(self, claim: ClaimRequest | None = None) -> int:
        """See `Channel.start_wait`."""
        self._waits_to_claim = self._waits_to_claim or claim
        if self._wait_pipe is None:
            self._wait_pipe = os.pipe()
        if self._waiter is None:
            self._waiter = Waiter(self._settings, self._tag, wake_lists(self._queues), self._woken)
            self._server.wait(self._waiter)
        return self._wait_pipe[0]

    def wait_left_s(self) -> None:
        """See `Channel.wait_left_s`: nothing can be lost."""

    def finish_wait(self) -> Exchange | None:
        """See `Channel.finish_wait`; blocks until the child is woken."""
        if self._waiter is not None and self._wait_pipe is not None:
            os.read(self._wait_pipe[0], 1)
            self._waiter = None
        request, self._waits_to_claim = self._waits_to_claim, None
        return None if request is None else self._exchange((), {}, request, ())

    def close(self) -> None:
        """See `Channel.close`."""
        if self._waiter is not None:
            self._server.stop_waiting(self._waiter)
            self._waiter = None
        if self._wait_pipe is not None:
            os.close(self._wait_pipe[0])
            os.close(self._wait_pipe[1])
            self._wait_pipe = None

    def _woken(self) -> None:
        if self._wait_pipe is not None:
            os.write(self._wait_pipe[1], b".")

    def _exchange(
        self,
        outcomes: Sequence[Outcome],
        places_of: dict[str, list[int]],
        request: ClaimRequest | None,
        released: Sequence[str],
    ) -> Exchange:
        server, settings = self._server, self._settings
        settled = [Settled.STALE] * len(outcomes)
        with server.step():
            for tag, places in places_of.items():
                shard = server.shard(settings, tag)
                some = settle(shard, [outcomes[place] for place in places], "revoked", released=released)
                for place, answer in zip(places, some, strict=True):
                    settled[place] = answer
        if request is None:
            return Exchange(settled, [], server.clock.now_ms() if outcomes else 0, False, False, False, False)
        tag = request.tag or self._tag
        with server.step():
            found = claim(server.shard(settings, tag), self._consumer, request, self._queues)
        if found.claimed:
            self._held.take(found.claimed[0].token, len(found.claimed), request.tag)
        return found._replace(settled=settled)

    def _by_tag(self, outcomes: Sequence[Outcome]) -> dict[str, list[int]]:
        """Group outcomes by the shards of their claims: tag -> their indexes."""
        found: dict[str, list[int]] = {}
        for place, outcome in enumerate(outcomes):
            found.setdefault(self._held.tag_of(outcome.token) or self._tag, []).append(place)
        return found
