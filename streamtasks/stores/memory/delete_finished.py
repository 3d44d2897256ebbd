"""Delete records of finished messages (delete_finished.lua)."""

from __future__ import annotations

from ..rules.attempts import KNOWN_MS
from ..rules.fan_in import SUCCEEDED
from .shard import Shard
from .state import Record

__all__ = ["delete_finished", "delete_result", "expire_results"]


def delete_finished(shard: Shard, before_ms: int) -> int:
    """Delete records of messages that finished before a time; ids stay known for 15 minutes."""
    old = [
        task_id
        for task_id in list(shard.records)
        if (record := _readable(shard, task_id)) is not None and record.finished_ms < before_ms
    ]
    for task_id in old:
        _delete(shard, task_id)
    return len(old)


def expire_results(shard: Shard, success: bool, after: str = "") -> str:
    """Delete results that expire before their ids may be forgotten; ``after`` is not used."""
    settings = shard.settings
    until_ms = shard.now_ms() - round((settings.result_expires_s if success else settings.failure_expires_s) * 1000)
    for task_id in list(shard.records):
        record = _readable(shard, task_id)
        if record is not None and record.finished_ms <= until_ms and (record.state in SUCCEEDED) == success:
            _delete(shard, task_id)
    return after


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
    shard.logs.pop(task_id, None)
    known_until_ms = record.finished_ms + KNOWN_MS
    if known_until_ms > shard.now_ms():
        record.deleted, record.expires_ms = True, known_until_ms
        record.body = record.result = record.history = b""
    else:
        del shard.records[task_id]
