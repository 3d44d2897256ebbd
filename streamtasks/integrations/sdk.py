"""Whether Sentry's SDK is in use, without importing it."""

from __future__ import annotations

from typing import Any

__all__ = ["sends_events"]


def sends_events(sdk: Any) -> bool:
    """Return whether the SDK, the module ``sentry_sdk``, was initialised with somewhere to send events to."""
    client = sdk.get_client()
    return bool(client.is_active()) and client.transport is not None
