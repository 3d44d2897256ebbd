"""Series of counts and marks of releases: the whole state, once and twice."""

from __future__ import annotations

from typing import Any

from streamtasks.protocol.series import COUNTS
from streamtasks.stores.redis.operations.series import add_series_call, series_call
from streamtasks.stores.redis.scripts import script
from streamtasks.stores.series_types import NewSeries
from tests.support.script_lab import ScriptLab


def test_counts_are_added_once(lab: ScriptLab) -> None:
    hour = lab.hour()
    new = NewSeries("w", 5, 0, [("*", "a3"), ("q:mail", "a3c1"), ("*", "a1f7")])
    assert lab.run(add_series_call(lab.keys, new, hour)) == [1]
    state = lab.dump()
    minutes = state[f"minutes:{hour} (expires)"]
    minute = minutes["*"].removesuffix("a4f7")
    assert 0 <= int(minute) < 60
    written = {"#names": "\n*\nq:mail", "#q": "1", "#w": "5"}
    assert minutes == {"*": f"{minute}a4f7", "q:mail": f"{minute}a3c1", **written}
    day = f"\n{hour % 24}"
    del written["#w"]
    hours = {"*": f"{day}a4f7", "q:mail": f"{day}a3c1", **written}
    assert state == {f"minutes:{hour} (expires)": minutes, f"hours:{hour // 24} (expires)": hours}
    client: Any = lab.client
    assert client.pexpiretime(lab.keys.minute_series(hour)) == (hour + 26) * 3_600_000
    assert client.pexpiretime(lab.keys.hour_series(hour // 24)) == (hour // 24 + 32) * 86_400_000
    assert lab.run(add_series_call(lab.keys, new, hour)) == [0]
    assert lab.run(add_series_call(lab.keys, new._replace(number=6), hour - 1))[0] == "hour"
    assert lab.dump() == state
    call = series_call(lab.keys, ["*", "t:none"], hour // 24, [lab.keys.minute_series(hour)])
    assert lab.run(call)[1:] == [[], "\n*\nq:mail", [f"{minute}a4f7", None]]
    assert lab.dump() == state


def test_an_hour_of_a_series_takes_few_bytes(lab: ScriptLab) -> None:
    """The page of the dashboard says how much all series take at most."""
    usual = "a1200b3f54321g2000h30i7j1k1y900z300A20"
    text = "".join(f"\n{minute}{usual}" for minute in range(60))
    client: Any = lab.client
    empty = client.memory_usage(client.hset(name="h", mapping={"x": 1}) and "h", samples=0)
    client.hset("h", "t:" + "n" * 40, text)
    assert client.memory_usage("h", samples=0) - empty < 3500
    assert COUNTS == 36


def test_a_release_is_noted_when_it_changes(lab: ScriptLab) -> None:
    def note(release: str, project: str = "shop") -> Any:
        return lab.run(script("note_release").call(lab.keys, project=project, release=release))

    noted = [note("1"), note("1"), note("9", "other"), note("1"), note("2"), note("1")]
    assert noted == [[1], [0], [1], [0], [1], [1]]
    state = lab.dump()
    assert [one.partition(" ")[2] for one in state.pop("releases")] == [
        "shop\0001", "shop\0002", "other\0009", "shop\0001",
    ]  # fmt: skip
    assert state == {}
    for number in range(205):
        note(str(number))
    assert len(lab.dump()["releases"]) == 200
