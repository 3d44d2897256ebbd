"""The channel of a child: how it claims, settles and waits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol

from .types import ClaimRequest, Exchange, Outcome

__all__ = ["SETTLES_S", "Channel"]

SETTLES_S: Final = 6.0
"""A claim that waits may take effect for this long after its connection has broken, seconds."""


class Channel(Protocol):
    """Settles and claims in one exchange, and waits without polling. Belongs to one thread of one child.

    `send` and `receive` come in pairs; the child may work between them. If the reply is lost, `receive` sends the same
    again, and nothing happens twice.
    """

    def send(self, outcomes: Sequence[Outcome], claim: ClaimRequest | None) -> None:
        """Start an exchange: settle these outcomes, each on the shard of its claim, then claim."""
        ...

    def receive(self) -> Exchange:
        """Finish the exchange that `send` started.

        Raises:
            StoreUnavailable: no answer; call again to try again.
        """
        ...

    @property
    def connected(self) -> bool:
        """Whether `send`, `receive` and `start_wait` need not connect, which would block an event loop."""
        ...

    async def connect(self) -> None:
        """Connect without blocking the event loop.

        Raises:
            StoreUnavailable: the server cannot be reached.
        """
        ...

    async def replied(self) -> None:
        """Wait until `receive` has something to read, or has to connect, without blocking the event loop.

        A connection on which nothing comes in time is closed.
        """
        ...

    def drop(self, token: str) -> None:
        """Note that another process has handed back or settled a message of this claim.

        A claim ends when its last message is settled or dropped.
        """
        ...

    def start_wait(self, claim: ClaimRequest | None = None) -> int:
        """Start to wait for work; return a file descriptor that becomes readable when there may be some.

        ``claim``: claim at that moment, or when the wait ends by itself, after at most a quarter of the lease. Only for
        a child with nothing in hand, because the messages count as claimed since the wait began.
        """
        ...

    def wait_left_s(self) -> float | None:
        """Return how long to wait on that descriptor at most, seconds, before `finish_wait` is called; None: for ever.

        Nothing for longer than a wait lasts means that the network has lost the connection without a word.
        """
        ...

    def finish_wait(self) -> Exchange | None:
        """Finish the wait, so that `start_wait` can be called again; return the answer to its claim, if it had one.

        If it fails, the claim may still take effect within `SETTLES_S`: until then it must be repeated with the same
        sequence.
        """
        ...

    def close(self) -> None:
        """Close the connections."""
        ...
