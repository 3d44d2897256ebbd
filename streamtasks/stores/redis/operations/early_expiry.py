"""Delete results that expire earlier than their ids may be forgotten."""

from __future__ import annotations

from typing import Any, Final

from ....protocol.keys import Keys
from ....settings import MIN_DEDUP_S
from ...rules.fan_in import SUCCEEDED
from ..batches import MOST
from ..scripts import Call
from ..shards import Operation, Shards
from .inspection import delete_finished_call, finished_call

__all__ = ["expire_results"]

_HOUR_MS: Final = 3_600_000
_KNOWN_MS: Final = round(MIN_DEDUP_S * 1000)
_EVER_MS: Final = 1 << 52
_NO_ENTRY: Final = "0-1"  # the place in the index stays: other ids may stand there


def expire_results(shards: Shards, tag: str, success: bool, after: str = "") -> Operation[str]:
    """See `SupervisorStore.expire_results`: page by page through the index, from where the last look ended."""
    shard, settings = shards.by_tag[tag], shards.settings
    [[now_ms, _]] = yield [_delete_call(shard.keys, [])]
    until_ms = now_ms - round((settings.result_expires_s if success else settings.failure_expires_s) * 1000)
    oldest_ms = now_ms - _KNOWN_MS  # older records are gone by themselves
    if not after or _ms_of(after) < oldest_ms:
        after = f"{oldest_ms}-0"
    for hour in range(_ms_of(after) // _HOUR_MS, until_ms // _HOUR_MS + 1):
        while True:
            [page] = yield [finished_call(shard.keys, hour, after, MOST)]
            due = [(entry, flat) for entry, flat in page if _ms_of(entry.decode()) <= until_ms]
            ids = [one for _, flat in due for one in _of_class(flat, success=success)]
            for start in range(0, len(ids), MOST):
                yield [_delete_call(shard.keys, ids[start : start + MOST])]
            if due:
                after = due[-1][0].decode()
            if len(due) < MOST:
                break
    return after


def _ms_of(entry: str) -> int:
    return int(entry.partition("-")[0])


def _of_class(flat: list[Any], *, success: bool) -> list[str]:
    """Return the ids in an entry of the index that succeeded, or did not."""
    pairs = zip(flat[::2], flat[1::2], strict=True)
    return [one.decode() for one, text in pairs if (text.decode().partition(" ")[0] in SUCCEEDED) == success]


def _delete_call(keys: Keys, ids: list[str]) -> Call:
    return delete_finished_call(keys, 0, [(_NO_ENTRY, ids)] if ids else [], _EVER_MS, _KNOWN_MS)
