"""What a page says after a change: fixed texts, because everybody can write an address."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

__all__ = ["NOTES"]

NOTES: Final[Mapping[str, tuple[str, str]]] = {
    "done": ("good", "Done. The audit has it."),
    "paused": ("good", "Paused. What workers hold runs to its end."),
    "was_paused": ("warn", "It was paused before, by somebody else or by you: see who and why below."),
    "resumed": ("good", "Resumed."),
    "was_not_paused": ("warn", "It was not paused: somebody else has resumed it, see the audit."),
    "revoked": ("good", "Revoked."),
    "had_ended": ("warn", "It had ended before, or somebody else has revoked it: there was nothing to revoke."),
    "was_so": ("warn", "It was so already: nothing was changed."),
    "was_asked": ("warn", "It had been asked before, by somebody else or by you: see who and why below."),
    "asked": ("good", "The worker was asked to; it hears of it in some seconds."),
    "ran": ("good", "One call of it was enqueued."),
    "discarded": ("good", "Discarded."),
    "was_gone": ("warn", "Some were gone: somebody else has replayed or discarded them, see the audit."),
    "planned": ("good", "Nothing is changed yet: look at the number and the sample, then apply it."),
    "forgotten": ("good", "The queue has left the lists."),
}
"""What is said after a change, by what stands in the address."""
