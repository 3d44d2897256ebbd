"""Check that a signed message runs where its producer put it."""

from __future__ import annotations

from streamtasks.exceptions import NotAuthentic
from streamtasks.protocol.message import Message
from streamtasks.stores.types import Claimed

__all__ = ["check_place"]


def check_place(message: Message, claimed: Claimed) -> None:
    """Check a message's own id and queue against those under which it was claimed.

    Raises:
        NotAuthentic: somebody has moved it.
    """
    queue = claimed.stream.partition(":")[2]
    for what, own, found in (("id", message.id, claimed.id), ("queue", message.queue, queue)):
        if own != found:
            raise NotAuthentic(
                f"Message {claimed.id} is not authentic: its {what} is {own!r}, and it was claimed from {found!r}. It "
                "was moved on the server. Find out who may write there, and enqueue the task again.",
                f"moved to another {what}: find out who may write to the server, and enqueue it again",
            )
