"""A token that is replaced when a setting changes: what was derived from the settings is valid for one token only."""

from __future__ import annotations

from typing import Any

from django.core.signals import setting_changed

__all__ = ["renew", "token"]

token = object()
"""Read it as ``version.token``, and compare with ``is``."""


def renew(**_: Any) -> None:
    """Make all that was derived from the settings invalid."""
    global token
    token = object()


setting_changed.connect(renew, dispatch_uid="streamtasks.conf.version")
