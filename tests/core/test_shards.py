"""Ids that say where they live, and tags that lie evenly over a Cluster's slots."""

from __future__ import annotations

import time
from collections import Counter
from itertools import pairwise
from uuid import RFC_4122, UUID

import pytest
from redis.crc import key_slot

from streamtasks.protocol.keys import check_id
from streamtasks.protocol.shards import (
    ALL_TAGS,
    Tags,
    limiter_tag,
    new_id,
    node_id,
    node_of,
    schedule_tag,
    tag_of,
)


def test_ids_are_valid_and_differ() -> None:
    ids = {new_id(ALL_TAGS) for _ in range(1000)}
    assert len(ids) == 1000
    for task_id in ids:
        assert check_id(task_id) == task_id
        assert len(task_id) <= 64


def test_the_first_part_is_a_uuid_of_version_7_with_the_time_in_it() -> None:
    before = time.time_ns() // 1_000_000
    for made in [UUID(new_id(ALL_TAGS)[:32]) for _ in range(100)]:
        assert (made.version, made.variant) == (7, RFC_4122)
        assert before <= made.int >> 80 <= time.time_ns() // 1_000_000


def test_later_ids_sort_after_earlier_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    ids = []
    for ms in (1, 1_700_000_000_000, 1_700_000_000_001, 2**48 - 1):
        monkeypatch.setattr(time, "time_ns", lambda ms=ms: ms * 1_000_000)
        ids.append(new_id(ALL_TAGS))
    assert ids == sorted(ids)
    assert {len(task_id) for task_id in ids} == {35}


def test_an_id_names_its_shard_and_shards_take_turns() -> None:
    few = ALL_TAGS[:16]
    assert Counter(tag_of(new_id(few), few) for _ in range(160)) == dict.fromkeys(few, 10)
    assert Counter(tag_of(new_id(ALL_TAGS), ALL_TAGS) for _ in range(512)) == dict.fromkeys(ALL_TAGS, 8)


def test_many_shards_are_given_some_ids_in_a_row() -> None:
    """A call with a hundred messages would else have a part for each of them."""
    assert len({tag_of(new_id(ALL_TAGS), ALL_TAGS) for _ in range(100)}) <= 26


def test_one_shard_takes_every_id() -> None:
    assert tag_of("anything", ("u0",)) == "u0"
    assert tag_of(new_id(ALL_TAGS), ("u0",)) == "u0"


@pytest.mark.parametrize("task_id", ["a", "order-17", "x" * 64, "g" * 32 + "-u0", "0" * 32 + "-zz", "0" * 32 + "u0"])
def test_ids_of_users_are_spread_and_stay_where_they_are(task_id: str) -> None:
    first = ALL_TAGS[:4]
    assert tag_of(task_id, first) in first
    grown = Tags(ALL_TAGS)
    grown.first = first
    assert tag_of(task_id, grown) == tag_of(task_id, first)
    assert limiter_tag(task_id, grown) == limiter_tag(task_id, first)
    assert schedule_tag(task_id, grown) == schedule_tag(task_id, first)


def test_ids_of_users_reach_every_shard() -> None:
    assert {tag_of(f"order-{n}", ALL_TAGS) for n in range(2000)} == set(ALL_TAGS)


@pytest.mark.parametrize("tags", [ALL_TAGS[:16], ALL_TAGS[:32], ALL_TAGS], ids=["16", "32", "64"])
@pytest.mark.parametrize("masters", [1, 2, 3, 4, 6, 8, 16])
def test_tags_are_spread_over_the_masters_of_a_cluster(masters: int, tags: tuple[str, ...]) -> None:
    counts = Counter(key_slot(tag.encode()) * masters // 16384 for tag in tags)
    assert len(counts) == masters
    assert max(counts.values()) - min(counts.values()) <= 1


def test_tags_lie_evenly() -> None:
    slots = [key_slot(tag.encode()) for tag in ALL_TAGS]
    assert len(set(ALL_TAGS)) == 64
    for line, offset in enumerate((512, 0, 256, 768)):
        assert all(
            abs(slot - (place * 1024 + offset)) < 100 for place, slot in enumerate(slots[16 * line : 16 * line + 16])
        )
    every = sorted(slots)
    assert max(after - before for before, after in pairwise(every)) < 400


class TestNodes:
    def test_a_workflows_nodes_live_where_it_does(self) -> None:
        for _ in range(50):
            workflow = new_id(ALL_TAGS)
            nodes = {tag_of(node_id(workflow, number), ALL_TAGS) for number in (0, 7, 12_345)}
            assert nodes == {tag_of(workflow, ALL_TAGS)} == {workflow[33:]}

    def test_an_id_tells_its_workflow_and_number(self) -> None:
        assert node_of("wf.w12") == ("wf", 12)
        assert node_of(node_id("a.w1", 2)) == ("a.w1", 2)

    def test_other_ids_are_no_nodes(self) -> None:
        for other in ("wf", ".w1", "wf.w", "wf.wx", "wf.w1x", "wf.w-1", "wf.w\u0661"):
            assert node_of(other) is None
