"""Scripts of schedules, called by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from streamtasks.protocol.shards import occurrence_id
from streamtasks.stores.redis.operations.schedules import (
    delete_schedule_call,
    due_call,
    fire_call,
    pause_call,
    put_call,
    undeclare_call,
)
from streamtasks.stores.schedule_store import DueSchedule, Firing, NewSchedule
from tests.support.schedule_samples import PAST_MS
from tests.support.script_lab import ScriptLab

if TYPE_CHECKING:
    from collections.abc import Mapping

CONFLICT, STORED, UNCHANGED, TAKEN = range(4)
TICK = DueSchedule("tick", 1, b"{}", PAST_MS)
ID = occurrence_id("tick", PAST_MS, "u0")


def put(lab: ScriptLab, *schedules: NewSchedule, revision: int = 0) -> list[int]:
    codes: list[int] = lab.run(put_call(lab.keys, schedules, revision))[1:]
    return codes


def pause(lab: ScriptLab, name: str, next_ms: int | None = None) -> int:
    code: int = lab.run(pause_call(lab.keys, name, next_ms))[1]
    return code


def drop(lab: ScriptLab, name: str) -> int:
    code: int = lab.run(delete_schedule_call(lab.keys, name))[1]
    return code


def undeclare(lab: ScriptLab, label: str, silent_ms: int) -> list[Any]:
    """Return whether there is more, and the names."""
    answer: list[Any] = lab.run(undeclare_call(lab.keys, label, silent_ms))[1:]
    return answer


def due(lab: ScriptLab, most: int = 100, passed: Mapping[str, int] | None = None, room: int | None = None) -> Any:
    """Return (wait in ms, names)."""
    call = due_call(lab.keys, most, passed or {})
    if room is not None:
        call.args[1] = room
    reply = lab.run(call)
    return reply[1], reply[2::3]


def fire(lab: ScriptLab, *firings: Firing) -> list[int]:
    codes: list[int] = lab.run(fire_call(lab.keys, firings, lab.settings))[1:]
    return codes
