"""Which ends without a child (a revocation, a dead letter) have a callback message, as a producer notes it.

Hooks, middleware, receivers of signals and ``link_error`` run in children, so such an end sends a callback message to
one. A producer that knows that there is none of these spares it.
"""

from __future__ import annotations

from typing import Final

__all__ = ["EVERYTHING", "FAILURES", "NOTHING", "ZEROS"]

EVERYTHING: Final = ""
"""Everything is heard of, or what is heard of is not known."""

FAILURES: Final = "1"
"""All but a revocation."""

NOTHING: Final = "0"
"""Nothing."""

ZEROS: Final = {EVERYTHING: "", FAILURES: "0", NOTHING: "00"}
"""How a store notes it: before the time in ``<enqueued ms> <envelope>``, where readers of numbers pass over them."""
