"""What goes into one call is bounded, in members, messages and bytes."""

from __future__ import annotations

import pytest

from streamtasks.stores.redis.batches import MOST, MOST_BYTES, batches


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ([], []),
        ([1] * (2 * MOST + 1), [MOST, MOST, 1]),
        ([MOST_BYTES] * 3, [2, 1]),  # what begins within the bound is taken whole
        ([MOST_BYTES + 1] * 3, [1, 1, 1]),
        ([MOST_BYTES * 9, 1, 1], [1, 2]),
    ],
)
def test_sizes(sizes: list[int], expected: list[int]) -> None:
    found = list(batches(sizes, int))
    assert [len(some) for some in found] == expected
    assert [size for some in found for size in some] == sizes


def test_messages_of_a_member_are_counted_and_stay_together() -> None:
    found = list(batches([60, 40, 1, 250, 1], lambda _: 0, messages=int))
    assert found == [[60, 40], [1], [250], [1]]


def test_what_does_not_go_together_is_parted() -> None:
    found = list(batches(["a1", "a2", "b1", "a3"], len, together=lambda one, other: one[0] == other[0]))
    assert found == [["a1", "a2"], ["b1"], ["a3"]]
