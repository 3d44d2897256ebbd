"""The role that notices that the list of shards has grown, and what it means for settings and tables."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from streamtasks import ConfigurationError, StoreSettings, StreamTasks
from streamtasks import settings as settings_module
from streamtasks.protocol.shards import ALL_TAGS
from streamtasks_workers.process.options import WorkerOptions
from streamtasks_workers.process.shard_table import NOTHING, ShardTable, priority_code
from streamtasks_workers.roles.base import ServedApp
from streamtasks_workers.roles.shard_list import ShardList

TAGS = ("a", "b", "c")
URL = "redis://127.0.0.1:1/0"


class Store:
    noted: tuple[str, ...] = TAGS

    async def noted_tags(self) -> tuple[str, ...]:
        return self.noted


@pytest.fixture
def followed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings_module, "_followed", {})


@pytest.mark.parametrize(
    ("noted", "asked"),
    [
        (TAGS, []),
        ((*TAGS, "d"), [(*TAGS, "d")]),
        (("a", "b"), []),
        (("b", "a", "c", "d"), []),
        ((), []),
    ],
    ids=str,
)
async def test_only_a_list_that_goes_on_is_served(noted: tuple[str, ...], asked: list[Any]) -> None:
    store: Any = Store()
    store.noted = noted
    found: list[Any] = []
    app = ServedApp("shop", StoreSettings(tags=TAGS), store, WorkerOptions(), ask_growth=found.append)
    role = ShardList(app)
    assert await role.run_once() is None
    assert found == asked


def test_it_runs_when_the_list_may_have_been_missed_and_not_for_what_concerns_one_shard() -> None:
    store: Any = Store()
    app = ServedApp("shop", StoreSettings(tags=TAGS), store, WorkerOptions())
    role: Any = ShardList(app)
    role.missed("a")
    assert not role._woken.is_set()
    role.missed("")
    assert role._woken.is_set()
    assert ShardList.serves(app)
    assert not ShardList.serves(ServedApp("shop", StoreSettings(url="memory://x"), store, WorkerOptions()))


@pytest.mark.usefixtures("followed")
@pytest.mark.parametrize("given", [{"tags": TAGS}, {"tags": TAGS[:1]}], ids=str)
def test_settings_that_follow_have_what_is_known_by_then(given: dict[str, Any]) -> None:
    one = StoreSettings(url=URL, **given)
    one.follow_shards()
    assert StoreSettings(url=URL, **given).tags == given["tags"]
    one.follow_shards((*TAGS, "d"))
    one.follow_shards(TAGS)  # an older one
    for copy in (StoreSettings(url=URL, **given), replace(one), replace(replace(one), lease_s=5.0)):
        assert copy.tags == (*TAGS, "d")
    assert one.tags == given["tags"], "stores go on with what they have"
    assert StoreSettings(url=URL, key_prefix="other:", **given).tags == given["tags"]
    assert StoreSettings(url=URL, tags=("b", "a")).tags == ("b", "a"), "another list"


@pytest.mark.usefixtures("followed")
def test_a_number_of_shards_may_have_grown() -> None:
    app = StreamTasks("redis+cluster://127.0.0.1:1", shards=16)
    app.settings.follow_shards(ALL_TAGS)
    app.renew_settings()
    assert app.settings.tags == app.store.tags == ALL_TAGS
    assert replace(app.settings, lease_s=5.0).tags == ALL_TAGS
    with pytest.raises(ConfigurationError, match="give only one of them"):
        StoreSettings(url="redis+cluster://127.0.0.1:1", shards=16, tags=ALL_TAGS)


def test_tables_of_more_and_of_fewer_shards_are_one_memory() -> None:
    small = ShardTable(2)
    before = small.image()
    large = ShardTable(5, small)
    large.set_best(4, priority_code(7), 1)
    assert small.image() == before
    large.set_best(1, priority_code(3), 1)
    assert small.ready_code(1) == priority_code(3)
    assert small.ready_code(0) == NOTHING
    assert (small.shards, large.shards) == (2, 5)
    assert len(large.image()) == 5 * len(before) // 2
