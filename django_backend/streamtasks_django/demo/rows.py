"""Build the rows of the page from the store's snapshots."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from streamtasks.protocol.state import Snapshot, State

from .. import get_task_backend
from ..tasks.snapshot_results import from_snapshot

if TYPE_CHECKING:
    from datetime import datetime

    from ..framework import TaskResult


__all__ = ["progress_of", "rows"]

_WORDS = {
    State.BLOCKED: "waiting",
    State.DELAYED: "delayed",
    State.LIMITED: "waiting",
    State.QUEUED: "waiting",
    State.RETRY: "delayed",
    State.STARTED: "running",
    State.PROGRESS: "running",
    State.SUCCESS: "successful",
    State.IGNORED: "successful",
}
"""The page's word for a state; all others are failures."""


def _read(ids: Sequence[str]) -> tuple[str, list[Snapshot | None]]:
    backend = get_task_backend()
    return backend.alias, backend.stores.plain.read(ids) if ids else []


def progress_of(task_id: str) -> dict[str, Any]:
    """Return the last progress of a running task, empty if there is none."""
    snapshot = _read((task_id,))[1][0]
    return snapshot.report()[1] if snapshot is not None and snapshot.progress else {}


def rows(ids: Sequence[str]) -> list[dict[str, Any]]:
    """Return one row per known id, read in one round trip. Times are ms since the epoch, or None."""
    now_ms = round(time.time() * 1000)
    alias, snapshots = _read(ids)
    return [_row(snapshot, alias, now_ms) for snapshot in snapshots if snapshot is not None]


def _row(snapshot: Snapshot, alias: str, now_ms: int) -> dict[str, Any]:
    result = from_snapshot(snapshot, alias)
    progress = snapshot.report()[1] if snapshot.progress else {}
    return {
        "id": result.id,
        "short": result.id[24:32],  # ids begin with the time: their ends tell them apart
        "name": result.task.name,
        "call": _call(result),
        "state": _WORDS.get(snapshot.state, "failed"),
        "finished": result.is_finished,
        "progress": {"done": progress["done"], "total": progress["total"]} if "total" in progress else None,
        "attempts": result.attempts,
        "workers": [_child(worker) for worker in result.worker_ids],
        "worker_ids": result.worker_ids,
        "now": now_ms,
        "enqueued": _ms(result.enqueued_at),
        "due": _ms(result.task.run_after),
        "started": _ms(result.started_at),
        "attempted": _ms(result.last_attempted_at),
        "ended": _ms(result.finished_at),
        "result": json.dumps(result.return_value, indent=2) if snapshot.state == State.SUCCESS else None,
        "errors": [{"type": error.exception_class_path, "traceback": error.traceback} for error in result.errors],
    }


def _call(result: TaskResult[..., Any]) -> str:
    parts = [repr(value) for value in result.args] + [f"{name}={value!r}" for name, value in result.kwargs.items()]
    return f"{result.task.name}({', '.join(parts)})"


def _child(worker_id: str) -> str:
    """Return the number of a child in its worker, the end of its name."""
    return worker_id.rsplit("-", 1)[-1]


def _ms(when: datetime | None) -> int | None:
    return None if when is None else round(when.timestamp() * 1000)
