"""Compare claims with boards after a connection was lost, and hand back what no child holds any more."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Final

from streamtasks.stores.types import Claimed

from ..process.board import Board, Slot
from .base import Role, ServedApp
from .shards import on_each

__all__ = ["Reconciler"]

logger = logging.getLogger("streamtasks.worker")

NOTICES_S: Final = 1.0
"""How often it asks which calls of the keeper have failed, seconds; that needs no server."""

LOOKS: Final = 2
"""How often it looks after a connection was lost."""

AGAIN_S: Final = 2.0
"""So long after the first look comes the second, seconds: a child may have settled at the old master until then."""

_HELD: Final = (Slot.CLAIMED, Slot.RUNNING, Slot.FINISHED)


class Reconciler(Role):
    """The claims of one app's children on the store, beside what lies on their boards.

    A failover, or a restart that loses the last second, undoes what was settled or handed back last: by the store's
    word those messages are held, but no child knows of them, so nobody renews their leases, and all wait for these to
    end. What a child does hold stays as it is, also if the store has forgotten the claim.
    """

    per_shard = False

    def __init__(self, app: ServedApp, tag: str = "") -> None:
        super().__init__(app, tag)
        self.interval_s = AGAIN_S
        self._listens = False
        self._looks: dict[str, int] = {}  # tag -> how often to look there

    def missed(self, tag: str) -> None:
        """Look soon: the connection to a shard is a new one, and may lead to another server."""
        if self._listens:
            self._looks.update(dict.fromkeys((tag,) if tag else self.app.tags, LOOKS))
            self.wake()
        self._listens = True  # the first one is no news

    async def run_once(self) -> float:
        """Look at the shards to which a connection was lost, or whose server refused a call."""
        self._looks.update(dict.fromkeys(self.store.repeated() & set(self.app.tags), LOOKS))
        if not self._looks:
            return NOTICES_S
        boards = {board.consumer: board for board in self.app.boards}
        children = [*boards, *self.app.ended]
        looks = dict(self._looks)
        found = await on_each(looks, lambda tag, _: self.store.holdings(tag, children)) if children else {}
        back = {tag: lost for tag, held in found.items() if (lost := _not_held(held, boards))}
        returned = await on_each(back, self.store.hand_back)
        if count := sum(map(sum, returned.values())):
            logger.warning("handed back %d messages that no child holds: the server lost what became of them", count)
        for tag, left in looks.items():
            if self._looks.get(tag) == left:
                self._looks[tag] = left - 1
        self._looks = {tag: left for tag, left in self._looks.items() if left}
        return AGAIN_S if self._looks else NOTICES_S


def _not_held(held: Sequence[Claimed], boards: dict[str, Board]) -> list[Claimed]:
    """Return the messages that neither lie on the board of the child that holds them, nor are on their way there.

    The boards are read after the store was asked. So what was claimed and is not on a board has left it, and if that
    was settled meanwhile, its token holds nothing any more: handing it back changes nothing.
    """
    known: dict[str, tuple[set[int], set[tuple[str, str]]] | None] = {}
    lost = []
    for one in held:
        consumer, _, sequence = one.token.rpartition("#")
        if consumer not in known:
            known[consumer] = _on_board(boards[consumer], consumer) if consumer in boards else (set(), set())
        there = known[consumer]
        if there is not None and int(sequence) not in there[0] and (one.token, one.id) not in there[1]:
            lost.append(one)
    return lost


def _on_board(board: Board, consumer: str) -> tuple[set[int], set[tuple[str, str]]] | None:
    """Return which claims of a child are on their way, and what it holds: token and id. None: it cannot be told now."""
    with board.locked(timeout_s=0.05) as got:
        if not got or board.consumer != consumer:
            return None
        sent, received, invalidated, _ = board.sequences()
        on_their_way = set(board.unsure().values())
        if sent not in (received, invalidated):
            on_their_way.add(sent)
        slots = [slot for slot, state in enumerate(board.states()) if state in _HELD]
        held = [board.claimed(slot) for slot in slots]
        return on_their_way, {(one.token, one.id) for one in held}
