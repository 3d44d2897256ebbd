"""Measure how long the store takes to answer a keeper."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import wraps
from typing import Any, Final, cast

from streamtasks.stores.supervisor_store import SupervisorStore

from ..process.counters import Counters

__all__ = ["TIMED", "timed"]

TIMED: Final = ("beat", "hand_back", "mark_running", "promote", "reclaim", "renew", "settle")
"""The calls that are measured, each of which runs the script of its name."""


class _TimedStore:
    """A store of a keeper; calls in `TIMED` are counted with the time they took, if they succeeded."""

    def __init__(self, store: SupervisorStore, counters: Counters) -> None:
        self._store = store
        for name in TIMED:
            setattr(self, name, _timed(getattr(store, name), name, counters))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


def _timed(call: Callable[..., Any], name: str, counters: Counters) -> Callable[..., Any]:
    @wraps(call)
    async def measured(*args: Any, **kwargs: Any) -> Any:
        began = time.monotonic_ns()
        answer = await call(*args, **kwargs)
        counters.called(name, time.monotonic_ns() - began)
        return answer

    return measured


def timed(store: SupervisorStore, counters: Counters) -> SupervisorStore:
    """Return the same store, with its calls measured."""
    return cast("SupervisorStore", _TimedStore(store, counters))
