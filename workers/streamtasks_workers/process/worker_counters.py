"""The counters of a worker: one for each board, and those of the keeper."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from streamtasks.exceptions import AccessDenied, NotDurable, StoreFull, StoreUnavailable
from streamtasks.stores.types import Charge

from .counted import OTHER
from .counters import Counters

__all__ = ["WorkerCounters", "kind_of_error"]

_KINDS: Final = (
    (StoreUnavailable, "unavailable"),
    (StoreFull, "full"),
    (AccessDenied, "denied"),
    (NotDurable, "durability"),
)


def kind_of_error(error: BaseException) -> str:
    """Return the label of an error that the store raised."""
    return next((name for kind, name in _KINDS if isinstance(error, kind)), OTHER)


@dataclass(frozen=True, slots=True)
class WorkerCounters:
    """Made before the forks.

    Attributes:
        boards: of children, by the numbers of their boards.
        keeper: of what the keeper does, also in the name of children that cannot.
    """

    boards: tuple[Counters, ...]
    keeper: Counters = field(default_factory=Counters)

    def enforced(self, board: int, slot: int, state: str, ran_ns: int) -> None:
        """Count the outcome of an attempt that its child did not end itself."""
        self.keeper.ended(self._row(board, slot), state, ran_ns)

    def charged(self, board: int, slot: int, charge: Charge, ran_ns: int) -> None:
        """Count what follows for an attempt whose process has ended."""
        if charge is Charge.LIMIT:
            self.keeper.ended(self._row(board, slot), "DEAD", ran_ns)
            self.keeper.count("dead", "crashed")
        elif charge is not Charge.STALE:
            self.keeper.crashed(self._row(board, slot))

    def _row(self, board: int, slot: int) -> int:
        """Return the keeper's row of the task that runs in a slot."""
        counters = self.boards[board]
        row = counters.row_at(counters.task_of(slot))
        return self.keeper.task_row(OTHER, OTHER) if row is None else self.keeper.task_row(row.first, row.second)
