"""Read what decides when a message is claimed."""

from __future__ import annotations

from typing import Final

from ....protocol.keys import Keys
from ....protocol.message import split_body
from ...inspection_types import MOST_AHEAD, Standing
from ...rules import phases
from ..scripts import Call, script
from ..shards import Operation, Shards
from .read import read_parts
from .revoke import stream_of

__all__ = ["standing", "standing_call"]

MOST_BETTER: Final = 16


def standing_call(keys: Keys, task_id: str, name: str, enqueued_ms: int) -> Call:
    """Build standing; ``name``: of the message's stream."""
    return script("standing").call(
        keys,
        stream=keys.stream(name),
        id=task_id,
        name=name,
        enqueued=enqueued_ms,
        most=MOST_AHEAD,
        most_better=MOST_BETTER,
    )


def standing(shards: Shards, task_id: str, /) -> Operation[Standing | None]:
    """See `Store.standing`. The first call tells which stream it is in."""
    keys = shards.of(task_id).keys
    parts = (yield from read_parts([(keys, [task_id])]))[task_id]
    if len(parts) <= 2:
        return None
    body, line = parts[0], parts[1].decode()
    name = line.split(" ")[2] if line else stream_of(body, shards.settings.wire, task_id)
    [reply] = yield [standing_call(keys, task_id, name, split_body(body)[0])]
    return _standing(name, *reply[:7], better=reply[7:]) if reply else None


def _standing(
    name: str,
    now_ms: int,
    line: bytes,
    lease: bytes,
    asked: bytes,
    beat: bytes,
    limit_ahead: int,
    ahead: int,
    *,
    better: list[bytes],
) -> Standing:
    last_beat, _, hold = beat.decode().partition(" ")
    found = Standing(
        now_ms,
        phases.QUEUED,
        name,
        ahead=ahead,
        better=tuple(raw.decode() for raw in better),
        last_beat_ms=int(last_beat or 0),
        hold_until_ms=int(hold or 0),
    )
    if not line:
        return found
    holder, phase, stream, _, _, crashes, lost, _, _, _, *marks = line.decode().split(" ")
    mark = {word[0]: word[2:] for word in marks if word}
    interval, _, limit = mark.get("l", "").partition(",")
    skip = mark.get("x", "")
    return found._replace(
        phase=phase,
        stream=stream,
        token="" if holder == "-" else holder,
        lease_ms=int(float(lease or 0)),
        crashes=int(crashes),
        lost=int(lost),
        skip_reason="revoked" if skip == "terminate" else skip,
        limit=limit.partition(",")[2],
        limit_us=int(interval or 0),
        limit_ms=int(float(asked or 0)),
        limit_ahead=limit_ahead,
    )
