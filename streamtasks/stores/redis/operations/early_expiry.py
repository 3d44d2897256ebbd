"""Delete results that expire earlier than their ids may be forgotten."""

from __future__ import annotations

from typing import Final

from ....protocol.keys import retention_class
from ....settings import MIN_DEDUP_S
from ...rules.fan_in import SUCCEEDED
from ..batches import MOST
from ..shards import Operation, Shards
from .delete_finished import IndexEntry, delete_records_call, finished_call, index_page

__all__ = ["expire_results"]

_HOUR_MS: Final = 3_600_000
_KNOWN_MS: Final = round(MIN_DEDUP_S * 1000)


def expire_results(shards: Shards, tag: str, success: bool, after: str = "") -> Operation[str]:
    """See `SupervisorStore.expire_results`: page by page through the index, from where the last look ended."""
    shard, settings = shards.by_tag[tag], shards.settings
    [[now_ms, _]] = yield [delete_records_call(shard.keys, [])]
    until_ms = now_ms - round((settings.result_expires_s if success else settings.failure_expires_s) * 1000)
    oldest_ms = now_ms - _KNOWN_MS  # older records are gone by themselves
    retentions = (retention_class(settings.keep_ms(success=success)),)
    last = IndexEntry(retentions[0], after or "0-0", {})
    if last.at_ms < oldest_ms:
        last = last._replace(entry=f"{oldest_ms}-0")
    for hour in range(last.at_ms // _HOUR_MS, until_ms // _HOUR_MS + 1):
        while True:
            [reply] = yield [finished_call(shard.keys, hour, retentions, last)]
            due = [one for one in index_page(reply, retentions) if one.at_ms <= until_ms]
            ids = [task_id for one in due for task_id in _of_outcome(one, success=success)]
            for start in range(0, len(ids), MOST):
                yield [delete_records_call(shard.keys, ids[start : start + MOST])]
            if due:
                last = due[-1]
            if len(due) < MOST:
                break
    return last.entry


def _of_outcome(entry: IndexEntry, *, success: bool) -> list[str]:
    """Return the ids of the tasks that succeeded, or of the others."""
    succeeded = {text: text.partition(" ")[0] in SUCCEEDED for text in entry.ids}
    return [task_id for text, ids in entry.ids.items() if succeeded[text] == success for task_id in ids]
