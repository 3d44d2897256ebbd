"""Keep what attempts have logged with their tasks (append_logs.lua, logs.lua)."""

from __future__ import annotations

from ...protocol.log_lines import NO_LOGS, TaskLogs, decode_lines
from ..inspection_types import NewLog
from ..rules.bounded_log import BoundedLog
from .shard import Shard

__all__ = ["append", "logs"]


def append(shard: Shard, new: NewLog, nonce: str) -> int:
    """Keep lines of one task; see `SupervisorStore.append_logs`."""
    is_finished = _is_finished(shard, new.id)
    if not is_finished and new.id not in shard.live:
        return 0
    known, log = shard.logs.get(new.id) or ("", BoundedLog(shard.settings.log_bytes // 2))
    if (new.first or new.left_out or new.last) and known != nonce:
        log.put(new.first)
        log.skip(new.left_out)
        log.put(new.last)
        shard.logs[new.id] = (nonce, log)
    return 2 if is_finished else 1


def logs(shard: Shard, task_id: str, known: int = 0) -> TaskLogs | None:
    """Return what the attempts of a task have logged; see `Store.logs`."""
    found = shard.logs.get(task_id)
    if found is None or not (task_id in shard.live or _is_finished(shard, task_id)):
        return None if known else NO_LOGS
    log = found[1]
    kept = TaskLogs(decode_lines(bytes(log.first)), log.left_out, decode_lines(bytes(log.last)))
    return None if kept.total == known else kept


def _is_finished(shard: Shard, task_id: str) -> bool:
    record = shard.record(task_id)
    return record is not None and bool(record.state) and not record.deleted
