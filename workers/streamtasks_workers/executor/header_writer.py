"""Store what a running task has changed of its message's headers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any
from weakref import ref

from streamtasks.protocol.message import Message
from streamtasks.settings import StoreSettings
from streamtasks.stores.types import Claimed

from .prepared import Prepared

__all__ = ["HeaderWriter", "Rewrite", "rewrite_nothing"]

type Rewrite = Callable[[Claimed, bytes], bool]
"""`Store.rewrite`."""


def rewrite_nothing(claimed: Claimed, envelope: bytes) -> bool:  # noqa: ARG001
    """Stand in for `Store.rewrite` where there is no store."""
    return True


class HeaderWriter:
    """Replaces the headers of held messages. What is signed or encrypted stays so.

    Args:
        rewrite: see `Store.rewrite`.
        settings: of the store.
    """

    def __init__(self, rewrite: Rewrite, settings: StoreSettings) -> None:
        self._rewrite = rewrite
        self._settings = settings

    def attach(self, prepared: Prepared) -> Prepared:
        """Let the attempt change its headers."""
        if prepared.attempt is not None:
            # A weak reference: a cycle of each attempt would cost the garbage collection a tenth of a no-op's time.
            prepared.attempt.keep_headers = partial(self._write, ref(prepared))
        return prepared

    def _write(self, of: ref[Prepared], headers: Mapping[str, Any]) -> bool:
        """Store the headers; return False if the claim was lost. The record of the outcome has them from now on."""
        prepared = of()
        if prepared is None:
            return False  # the attempt has ended
        claimed, wire = prepared.claimed, self._settings.wire
        accepted, _, envelope = claimed.body.partition(b" ")
        # Read again: the message of the attempt may have the results of its predecessors in its arguments.
        message = Message.decode(envelope, wire, claimed.id)
        message.headers = dict(headers)
        envelope = message.encode(self._settings.max_payload_bytes, wire)
        if not self._rewrite(claimed, envelope):
            return False
        prepared.claimed = claimed._replace(body=accepted + b" " + envelope)
        return True
