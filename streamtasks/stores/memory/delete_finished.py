"""delete_finished.lua: records of finished messages are deleted."""

from __future__ import annotations

from ..rules.attempts import KNOWN_MS
from .shard import Shard
from .state import Record

__all__ = ["delete_finished", "delete_result"]


def delete_finished(shard: Shard, before_ms: int) -> int:
    """Delete records of what finished before a time; the ids of the youngest stay known."""
    old = [
        task_id
        for task_id in list(shard.records)
        if (record := _readable(shard, task_id)) is not None and record.finished_ms < before_ms
    ]
    for task_id in old:
        _delete(shard, task_id)
    return len(old)


def delete_result(shard: Shard, task_id: str) -> bool:
    """Delete one record; False: there is none."""
    if _readable(shard, task_id) is None:
        return False
    _delete(shard, task_id)
    return True


def _readable(shard: Shard, task_id: str) -> Record | None:
    record = shard.record(task_id)
    return record if record is not None and record.state and not record.deleted else None


def _delete(shard: Shard, task_id: str) -> None:
    record = shard.records[task_id]
    known_until_ms = record.finished_ms + KNOWN_MS
    if known_until_ms > shard.now_ms():
        record.deleted, record.expires_ms = True, known_until_ms
        record.body = record.result = record.history = b""
    else:
        del shard.records[task_id]
