"""What attempts have logged: kept with their tasks, and read; and the stacks of those that run."""

from __future__ import annotations

from collections.abc import Sequence

from ....protocol.keys import Keys
from ....protocol.log_lines import NO_LOGS, TaskLogs, decode_lines
from ....settings import StoreSettings
from ...inspection_types import NewLog
from ..batches import batches
from ..scripts import Call, script
from ..shards import Operation, Shards

__all__ = ["answer_stack", "append_logs", "append_logs_call", "logs", "logs_call", "stack"]


def append_logs_call(keys: Keys, some: Sequence[NewLog], nonce: str, settings: StoreSettings) -> Call:
    """Build append_logs: of up to 100 tasks."""
    ids = [one.id for one in some]
    return script("append_logs").call(
        keys,
        nonce=nonce,
        half=settings.log_bytes // 2,
        keep_ms=settings.log_keep_ms,
        more_keys=[*map(keys.record, ids), *map(keys.log, ids)],
        more_args=[word for one in some for word in one],
    )


def append_logs(shards: Shards, some: Sequence[NewLog], nonce: str) -> Operation[list[int]]:
    """See `SupervisorStore.append_logs`."""
    answers = [0] * len(some)
    for tag, places in shards.indexes_by_tag(one.id for one in some).items():
        for batch in batches(places, lambda place: len(some[place].first) + len(some[place].last)):
            tasks = [some[place] for place in batch]
            [reply] = yield [append_logs_call(shards.by_tag[tag].keys, tasks, nonce, shards.settings)]
            for place, code in zip(batch, reply, strict=True):
                answers[place] = code
    return answers


def logs_call(keys: Keys, task_id: str, known: int) -> Call:
    """Build logs."""
    return script("logs").call(keys, log=keys.log(task_id), known=known)


def logs(shards: Shards, task_id: str, known: int = 0) -> Operation[TaskLogs | None]:
    """See `Store.logs`."""
    [reply] = yield [logs_call(shards.of(task_id).keys, task_id, known)]
    if not reply:
        return None if known else NO_LOGS
    first, left_out, last = reply
    return TaskLogs(decode_lines(first), int(left_out), decode_lines(last))


def stack(shards: Shards, task_id: str, nonce: str, *, ask: bool) -> Operation[bytes | None]:
    """See `Store.stack`."""
    keys = shards.of(task_id).keys
    call = script("stack").call(keys, stack=keys.stack(task_id), id=task_id, nonce=nonce, ask=int(ask))
    [(runs, answer)] = yield [call]
    return answer if runs else None


def answer_stack(shards: Shards, task_id: str, nonce: str, answer: bytes) -> Operation[None]:
    """See `SupervisorStore.answer_stack`."""
    keys = shards.of(task_id).keys
    yield [script("answer_stack").call(keys, stack=keys.stack(task_id), nonce=nonce, answer=answer)]
