"""A child by hand: claims and settles through the store's own channel, without a worker."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from streamtasks.protocol.errors import describe
from streamtasks.protocol.json import dumps
from streamtasks.protocol.message import split_body
from streamtasks.stores.types import Claimed, ClaimRequest, Filter, Outcome, Settled
from tests.support.users import as_worker

if TYPE_CHECKING:
    from collections.abc import Sequence

    from streamtasks.stores.base import Store
    from streamtasks.stores.channel import Channel
    from streamtasks.stores.supervisor_store import SupervisorStore
    from streamtasks.stores.types import Exchange

KEEP_MS = 900_000


class Consumer:
    """One consumer on one shard. Close it when done: a context manager."""

    def __init__(self, store: Store, consumer: str = "hand", tag: str | None = None) -> None:
        store = as_worker(store)
        self.channel: Channel = store.channel(tag or store.tags[0], consumer, Filter())
        self.sequence = 0

    def __enter__(self) -> Consumer:
        return self

    def __exit__(self, *_: object) -> None:
        self.channel.close()

    def exchange(self, outcomes: Sequence[Outcome], claim: ClaimRequest | None) -> Exchange:
        self.channel.send(outcomes, claim)
        return self.channel.receive()

    def claim(self, most: int = 100) -> list[Claimed]:
        self.sequence += 1
        return self.exchange([], ClaimRequest(self.sequence, most, True)).claimed

    def settle(self, *outcomes: Outcome) -> list[Settled]:
        return self.exchange(outcomes, None).settled

    def succeed(self, value: Any = None, most: int = 100) -> list[str]:
        """Claim messages and settle them as successes with a value; return the ids."""
        claimed = self.claim(most)
        settled = self.settle(*(outcome_of(c, "SUCCESS", dumps({"r": value})) for c in claimed)) if claimed else []
        assert all(answer is Settled.DONE for answer in settled)
        return [c.id for c in claimed]

    def fail(self, error: BaseException) -> None:
        """Claim one message and settle it as a failure."""
        [claimed] = self.claim(1)
        assert self.settle(outcome_of(claimed, "FAILURE", dumps({"e": describe(error)}))) == [Settled.DONE]


def report_progress(store: SupervisorStore, claimed: Claimed, said: bytes, tag: str = "u0") -> None:
    """Store progress of a claimed message."""

    async def call() -> list[bool]:
        return await store.progress(tag, [(claimed, said)])

    assert asyncio.run(call()) == [True]


def outcome_of(claimed: Claimed, state: str, result: bytes = b"", **changes: Any) -> Outcome:
    """An outcome of a claimed message that has started."""
    started_ms = claimed.first_started_ms or split_body(claimed.body)[0]
    made = Outcome(
        id=claimed.id,
        token=claimed.token,
        stream=claimed.stream,
        entry=claimed.entry,
        attempt=claimed.attempt,
        first_started_ms=claimed.first_started_ms,
        started_ms=started_ms,
        state=state,
        result=result,
        note='{"kind":"RETRY"}' if state == "RETRY" else "",
        keep_ms=0 if state == "RETRY" else KEEP_MS,
        body=claimed.body,
    )
    return made._replace(**changes)
