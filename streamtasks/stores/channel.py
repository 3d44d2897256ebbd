"""How a child reaches the store: the interface that every store's channel has."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol

from .types import ClaimRequest, Exchange, Outcome

__all__ = ["SETTLES_S", "Channel"]

SETTLES_S: Final = 6.0
"""A claim that waits may take effect for this long after its connection has broken, seconds."""


class Channel(Protocol):
    """A child's own way to the store: settles and claims in one exchange, waits without polling.

    `send` and `receive` come in pairs; work may go on between them. If the reply is lost, `receive` sends
    the same again by itself: nothing happens twice.
    """

    def send(self, outcomes: Sequence[Outcome], claim: ClaimRequest | None) -> None:
        """Start an exchange: settle these outcomes, then claim."""
        ...

    def receive(self) -> Exchange:
        """Finish the exchange that `send` started.

        Raises:
            StoreUnavailable: no answer yet; call again to go on trying.
        """
        ...

    async def replied(self) -> None:
        """Wait until `receive` has something to read, or has to connect, without blocking the event loop."""
        ...

    def drop(self, token: str) -> None:
        """Note that a message of this claim has left the child's hands otherwise: somebody else returned or settled it.

        A claim's lease ends with the outcome of the last message that is still in the child's hands.
        """
        ...

    def start_wait(self, claim: ClaimRequest | None = None) -> int:
        """Start to wait for work; return a file descriptor that becomes readable when there may be some.

        With ``claim``, it is claimed at that moment, or when the wait ends by itself. It is for empty hands only, and
        what it takes counts as claimed from now on: a wait lasts no longer than a quarter of the lease.
        """
        ...

    def finish_wait(self) -> Exchange | None:
        """Take what woke the wait, so that `start_wait` can be called again; return what was claimed, if asked to.

        If it fails, the claim may yet take effect within `SETTLES_S`: until then its sequence must be asked again.
        """
        ...

    def close(self) -> None:
        """Close the connections."""
        ...
