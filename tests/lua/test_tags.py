"""tags: the first list is noted, grows at its end, and is never changed otherwise."""

from __future__ import annotations

import pytest

from streamtasks.protocol.keys import Keys
from streamtasks.stores.redis.operations.tags import NOTE_TAG, tags_call
from streamtasks.stores.types import SHARDS
from tests.support.script_lab import ScriptLab
from tests.support.server_dump import dump
from tests.support.waiting import DEADLINE_S

PREFIX = "t:"


def noted(lab: ScriptLab, *tags: str, grows: bool = True) -> tuple[int, list[str]]:
    first, *found = lab.run(tags_call(PREFIX, tags, grows=grows))
    return first, found


def test_the_first_list_is_noted(lab: ScriptLab) -> None:
    assert noted(lab, "a", "b") == (2, ["a", "b"])
    before = dump(lab.client, PREFIX)
    assert noted(lab, "a", "b") == (2, ["a", "b"])
    assert dump(lab.client, PREFIX) == before


def test_a_list_that_continues_it_is_noted_too(lab: ScriptLab) -> None:
    noted(lab, "a")
    assert noted(lab, "a", "b", "c") == (1, ["a", "b", "c"])
    assert noted(lab, "a", "b", "c", "d") == (1, ["a", "b", "c", "d"])


def test_workers_hear_of_what_is_added(lab: ScriptLab) -> None:
    with lab.client.pubsub() as heard:
        heard.ssubscribe(Keys(PREFIX, NOTE_TAG).control)
        heard.get_sharded_message(timeout=DEADLINE_S)
        noted(lab, "a")
        noted(lab, "a")
        noted(lab, "a", "b", grows=False)
        noted(lab, "a", "b")
        noted(lab, "b")
        assert heard.get_sharded_message(timeout=DEADLINE_S)["data"] == SHARDS.encode()
        assert heard.get_sharded_message(timeout=0.05) is None, "once"


def test_a_default_does_not_make_it_grow(lab: ScriptLab) -> None:
    assert noted(lab, "a", grows=False) == (1, ["a"])
    assert noted(lab, "a", "b", grows=False) == (1, ["a"])
    assert noted(lab, "a", "b") == (1, ["a", "b"])


@pytest.mark.parametrize("other", [("a",), ("b", "a"), ("a", "c"), ("b", "a", "c"), ("c",), ("a", "c", "b")])
def test_any_other_list_changes_nothing(lab: ScriptLab, other: tuple[str, ...]) -> None:
    noted(lab, "a", "b")
    before = dump(lab.client, PREFIX)
    assert noted(lab, *other) == (2, ["a", "b"])
    assert dump(lab.client, PREFIX) == before
