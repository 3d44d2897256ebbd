"""Keys: one slot per shard, prefixes that never meet, names that can be names."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from redis.crc import key_slot

from streamtasks.exceptions import ConfigurationError, InvalidTask, UnknownQueue
from streamtasks.protocol.keys import Keys, check_id, check_prefix, check_queue, stream_name
from streamtasks.protocol.shards import ALL_TAGS

TAGS = ALL_TAGS[:16]
PREFIXES = st.text(st.characters(exclude_characters="{}", codec="utf-8"), max_size=20).filter(
    lambda prefix: not any(c.isspace() for c in prefix)
)


def all_of(keys: Keys) -> list[str]:
    found = [getattr(keys, name) for name in Keys.__slots__ if not name.startswith("_") and name != "tag"]
    plain = [key for key in found if isinstance(key, str)]
    made = [
        *(key("id") for key in found if not isinstance(key, str)),
        keys.stream(stream_name("a:{b}", -7)),
        keys.finished(5, 24),
        keys.counts(5),
        keys.minute_series(5),
        keys.hour_series(5),
        keys.done_channel("id"),
    ]
    return plain + made


@pytest.mark.parametrize("tag", TAGS)
@pytest.mark.parametrize("prefix", ["", "shop:", "a/b?c="])
def test_all_keys_of_a_shard_are_in_one_slot_and_differ(prefix: str, tag: str) -> None:
    keys = all_of(Keys(prefix, tag))
    assert {key_slot(key.encode()) for key in keys} == {key_slot(tag.encode())}
    assert len(set(keys)) == len(keys)
    assert all(key.startswith(f"{prefix}{{{tag}}}:") for key in keys)


@given(PREFIXES, PREFIXES, st.sampled_from(TAGS), st.sampled_from(TAGS))
def test_two_prefixes_never_meet(one: str, other: str, tag: str, other_tag: str) -> None:
    assume((one, tag) != (other, other_tag))
    assert not set(all_of(Keys(one, tag))) & set(all_of(Keys(other, other_tag)))


@pytest.mark.parametrize("prefix", ["", "streamtasks:", "x" * 128, "ä:é"])
def test_prefixes_that_may_be(prefix: str) -> None:
    assert check_prefix(prefix) == prefix


@pytest.mark.parametrize("prefix", ["{", "a}b", "a b", "a\n", "\t", "x" * 129, None, 5, b"x"])
def test_prefixes_that_may_not_be(prefix: Any) -> None:
    with pytest.raises(ConfigurationError, match="key_prefix"):
        check_prefix(prefix)


@pytest.mark.parametrize("queue", ["default", "a", "A.b_c-d:e", "0", "x" * 128])
def test_queues_that_may_be(queue: str) -> None:
    assert check_queue(queue) == queue


@pytest.mark.parametrize("queue", ["", "a b", "é", "a\n", "x" * 129, "a{b}", "*", None, 5])
def test_queues_that_may_not_be(queue: Any) -> None:
    with pytest.raises(UnknownQueue, match="cannot be a queue's name"):
        check_queue(queue)


@pytest.mark.parametrize("task_id", ["", "a b", "x" * 65, "a\n", "é", None, 7, "cb." + "0" * 40])
def test_ids_that_may_not_be(task_id: Any) -> None:
    with pytest.raises(InvalidTask, match="cannot be a task's id"):
        check_id(task_id)


def test_the_longest_id_and_queue_fit() -> None:
    assert check_id("x" * 64)
    assert stream_name("x" * 128, -100) == "-100:" + "x" * 128
