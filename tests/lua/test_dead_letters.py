"""Dead letters are capped by number and by bytes: both exact, the oldest go first, and it is said."""

from __future__ import annotations

from typing import Any

import pytest

from streamtasks import StoreSettings
from tests.support.script_lab import ScriptLab, claimed_batch, outcome

BODY = b"x" * 1000
SIZE = len("given up") + len("a0") + len("0:default") + len("mij3k9ab ") + len(BODY)


def settings(kept: int = 10_000, kept_bytes: int = 1 << 28) -> StoreSettings:
    return StoreSettings(max_dead_letters=kept, max_dead_letter_bytes=kept_bytes)


def give_up(lab: ScriptLab, *ids: str, body: bytes = BODY) -> None:
    lab.enqueue(*ids, body=body)
    lab.settle(*(outcome(c, "DEAD", started=5, note="given up") for c in lab.claim(f"w{ids[0]}", count=100).claimed))


def kept(lab: ScriptLab) -> list[str]:
    """The ids that are left, once what is counted agrees with them."""
    found: Any = lab.client.xrange(lab.keys.dead)
    sizes = [f"{entry.decode()} {sum(map(len, letter.values()))}" for entry, letter in found]
    assert [member.decode() for member in lab.client.zrange(lab.keys.dead_sizes, 0, -1)] == sizes
    assert int(lab.client.get(lab.keys.dead_bytes) or 0) == sum(int(size.split(" ")[1]) for size in sizes)
    return [letter[b"id"].decode() for _, letter in found]


def test_the_oldest_go_when_there_are_too_many_bytes(lab: ScriptLab) -> None:
    lab.settings = settings(kept_bytes=3 * SIZE)
    give_up(lab, "a0", "a1")
    assert kept(lab) == ["a0", "a1"]
    with lab.listen(lab.keys.control) as control:
        give_up(lab, "a2")
        assert control.heard() == []
        give_up(lab, "a3", "a4")
        assert control.heard() == ["dead 2"]
    assert kept(lab) == ["a2", "a3", "a4"]
    lab.settings = settings(kept_bytes=3 * SIZE - 1)
    give_up(lab, "a5")
    assert kept(lab) == ["a4", "a5"]


def test_a_large_one_pushes_many_small_ones_out(lab: ScriptLab) -> None:
    lab.settings = settings(kept_bytes=100_000)
    for batch in range(12):
        give_up(lab, *(f"{batch}-{number}" for number in range(100)), body=b"")
    assert len(kept(lab)) == 1200
    give_up(lab, "large", body=b"x" * 99_960)
    assert kept(lab)[-1] == "large"
    assert len(kept(lab)) < 3


def test_the_newest_stays_however_large_it_is(lab: ScriptLab) -> None:
    lab.settings = settings(kept_bytes=10)
    give_up(lab, "a0", "a1", "a2")
    assert kept(lab) == ["a2"]


def test_the_number_is_exact(lab: ScriptLab) -> None:
    lab.settings = settings(kept=3)
    with lab.listen(lab.keys.control) as control:
        give_up(lab, *(f"a{number}" for number in range(10)))
        assert control.heard() == ["dead 7"]
    assert kept(lab) == ["a7", "a8", "a9"]


def test_garbage_counts_too(lab: ScriptLab) -> None:
    lab.settings = settings(kept_bytes=2000)
    lab.enqueue("a")
    for number in range(30):
        lab.client.xadd(lab.stream(), {f"{number:02}": "x" * 100})
    assert lab.claim(count=100).ids == ["a"]
    letters: Any = lab.client.xrange(lab.keys.dead)
    sizes = [sum(map(len, letter.values())) for _, letter in letters]
    assert sum(sizes) <= 2000 < sum(sizes) + max(sizes)
    assert lab.client.get(lab.keys.dead_bytes) == f"{sum(sizes)}".encode()
    assert letters[-1][1][b"data"].startswith(b"29 ")


def test_one_call_deletes_5000_and_the_next_ones_go_on(lab: ScriptLab) -> None:
    pipeline = lab.client.pipeline()
    for number in range(1, 6001):
        pipeline.xadd(lab.keys.dead, {"id": f"o{number}"}, f"{number}-0")
        pipeline.zadd(lab.keys.dead_sizes, {f"{number}-0 {len(str(number)) + 1}": number})
        pipeline.incrby(lab.keys.dead_bytes, len(str(number)) + 1)
    pipeline.execute()
    lab.settings = settings(kept=10)
    give_up(lab, "a0")
    assert len(kept(lab)) == 1001
    give_up(lab, "a1")
    assert kept(lab) == [*(f"o{number}" for number in range(5993, 6001)), "a0", "a1"]


def test_dead_letters_deleted_by_hand_count_no_more(lab: ScriptLab) -> None:
    give_up(lab, "a0", "a1")
    lab.client.delete(lab.keys.dead)
    give_up(lab, "a2")
    assert kept(lab) == ["a2"]


@pytest.mark.parametrize("state", ["SUCCESS", "FAILURE"])
def test_what_ends_otherwise_costs_nothing(lab: ScriptLab, state: str) -> None:
    [claimed] = claimed_batch(lab, "a")
    lab.settle(outcome(claimed, state))
    assert not [key for key in lab.dump() if key.startswith("dead")]
