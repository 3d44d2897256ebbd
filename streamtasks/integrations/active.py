"""Middleware that is added by itself where the service that it reports to is in use."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from ..tasks.middleware import Middleware
from .sdk import sends_events

__all__ = ["active_middleware"]


def active_middleware(given: Sequence[Middleware]) -> list[Middleware]:
    """Return middleware for what is in use in this process and not in ``given``: Sentry, if it was initialised."""
    sdk = sys.modules.get("sentry_sdk")
    if sdk is None or not sends_events(sdk):
        return []
    from .sentry import Sentry  # needs a package that others do not have

    return [] if any(isinstance(one, Sentry) for one in given) else [Sentry()]
