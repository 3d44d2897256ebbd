"""Whether a worker lives, and whether it is ready: what probes ask."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, Final

from ..process.board import Slot
from ..roles.base import ServedApp
from ..roles.watched_child import FRESH_S, WatchedChild

__all__ = ["SILENT_S", "WorkerHealth"]

SILENT_S: Final = 15.0
"""A worker is ready if its last sign of life on the server is not older, seconds; `streamtasks health` counts alike."""

STUCK_S: Final = 30.0
"""A child that runs nothing asks the store more often than this, seconds, if it has one shard and a short idle_poll."""

STUCK_ON_SHARDS_S: Final = 120.0
"""Likewise if there are several shards: then children sleep longer, because the keeper wakes them."""


class WorkerHealth:
    """The health of a worker.

    Args:
        apps: that it serves.
        stopping: returns whether it claims no more.
    """

    def __init__(self, apps: Sequence[ServedApp], stopping: Callable[[], bool]) -> None:
        self._apps = apps
        self._stopping = stopping

    def live(self) -> tuple[bool, dict[str, Any]]:
        """Return whether starting the worker again would not help, and the state of each child.

        A child is stuck if it runs nothing and has not reached the store for long, although the keeper does. A store
        that is away makes no worker unhealthy: starting again would only end what runs.
        """
        children = [self._child(app, child) for app in self._apps for child in list(app.children.values())]
        is_well = not any(child["stuck"] for child in children)
        return is_well, {"status": "ok" if is_well else "stuck", "children": children}

    def ready(self) -> tuple[bool, dict[str, Any]]:
        """Return whether the worker takes tasks, and of each app how old its last sign of life on the server is."""
        now = time.monotonic()
        ages = {app.label: now - max(app.beats.values()) if app.beats else None for app in self._apps}
        is_ready = not self._stopping() and all(
            age is not None and age <= SILENT_S and app.children
            for app, age in zip(self._apps, ages.values(), strict=True)
        )
        status = "stopping" if self._stopping() else "ready" if is_ready else "not ready"
        beats = {label: None if age is None else round(age, 3) for label, age in ages.items()}
        return is_ready, {"status": status, "last_sign_of_life_s": beats}

    def _child(self, app: ServedApp, child: WatchedChild) -> dict[str, Any]:
        board, now = child.board, time.monotonic()
        answered_ns, away_ns = board.exchanges()
        silent_s = now - (answered_ns or child.born_ns) / 1e9
        running = board.states().count(Slot.RUNNING)
        limit_s = max(STUCK_S, 3 * app.settings.idle_poll_s) if app.table is None else STUCK_ON_SHARDS_S
        store_answers = now - app.store.answered_at(board.tag) < max(FRESH_S, 3 * app.settings.idle_poll_s)
        return {
            "app": app.label,
            "child": board.consumer,
            "running": running,
            "silent_s": round(silent_s, 3),
            "away": away_ns != 0,
            "stuck": bool(store_answers and not running and silent_s > limit_s),
        }
