"""What a child keeps of each shard is what it would find if it made it anew each time."""

from __future__ import annotations

import random
import time
from types import SimpleNamespace
from typing import Any

import pytest

from streamtasks.stores.types import Claimed, Exchange
from streamtasks_workers.executor import shard_choice
from streamtasks_workers.executor.shard_choice import STAY_NS, ShardChoice
from streamtasks_workers.executor.shard_codes import ASK_FIRST, MOST_AGAIN_NS, ShardCodes
from streamtasks_workers.process.doorbell import Doorbell
from streamtasks_workers.process.shard_table import NOTHING, ShardTable, changed_states, priority_code
from streamtasks_workers.process.suspect_permit import SuspectPermit

CLAIMED = Claimed("m", "w#1", "0:default", "1-0", 1, 0, 0, b"1 {}")
STEPS = 400


def made_anew(codes: Any, now: int) -> dict[int, int]:
    """Return the codes without anything that is kept of them."""
    anew: Any = ShardCodes(codes._table)
    kept = {"_codes", "_good_until_ns", "_image"}
    vars(anew).update({name: value for name, value in vars(codes).items() if name not in kept})
    return {**anew.at(now)}


def one_after_the_other(choice: Any, order: list[int], codes: dict[int, int], now: int) -> tuple[int, int]:
    """Return the best shard and the best code of the others, by a look at each in the child's order."""
    best = choice._current
    wanted = codes.get(best, NOTHING) + (now - choice._since_ns <= STAY_NS)
    begin = order.index(best) + 1
    for place in [*order[begin:], *order[: begin - 1]]:
        if codes.get(place, NOTHING) >= max(wanted, 1):
            best, wanted = place, codes[place] + 1
    others = [code for place, code in codes.items() if place != best and code < ASK_FIRST]
    return best, max(others, default=NOTHING)


@pytest.mark.parametrize("shards", [2, 3, 64])
def test_whatever_happens_codes_and_choice_are_the_same(
    monkeypatch: pytest.MonkeyPatch, seed: int, shards: int
) -> None:
    chance = random.Random(seed)
    now = time.monotonic_ns()
    monkeypatch.setattr(shard_choice, "time", SimpleNamespace(monotonic_ns=lambda: now))
    table: Any = ShardTable(shards)
    order = chance.sample(range(shards), shards)
    choice: Any = ShardChoice([f"u{n}" for n in range(shards)], table, Doorbell(), SuspectPermit(), 0, order)
    chosen = set()
    for _ in range(STEPS):
        now += chance.choice((1_000, 1_000_000, STAY_NS, MOST_AGAIN_NS // 3))
        for shard in chance.choices(range(shards), k=chance.randrange(4)):
            earlier = now - chance.randrange(2_000_000)
            match chance.randrange(3):
                case 0:
                    table._words[4 * shard] = earlier
                case 1:
                    table.set_best(shard, priority_code(chance.choice((None, -1, 0, 0, 5))), earlier)
                case _:
                    table.set_emptied(shard, earlier)
        codes = made_anew(choice._codes, now)
        assert choice._codes.at(now) == codes
        assert choice.knows_of_nothing() is not bool(codes)
        if not choice._stays:
            best, floor = one_after_the_other(choice, order, codes, now)
            choice.next_tag()
            assert (choice._current, choice._floor) == (best, floor)
            chosen.add(best)
        now += 1_000
        if chance.random() < 0.2:
            choice.missed(unsure=chance.random() < 0.5)
            continue
        claimed = [CLAIMED] if chance.random() < 0.5 else []
        left = chance.choice((None, -1, 0, 5))
        again = chance.random() < 0.1
        choice.took(Exchange([], claimed, 1, False, False, again, False, left))
    assert len(chosen) > 1


def test_images_differ_in_the_shards_that_were_written() -> None:
    table = ShardTable(19)
    before = table.image()
    assert [shard for shard, _ in changed_states(before, b"")] == list(range(19))
    assert changed_states(table.image(), before) == []
    table.set_best(9, 1, 2)
    table.set_emptied(18, 3)
    changed = dict(changed_states(table.image(), before))
    assert (changed[9], changed[18]) == ((0, 2, 1, 0), (0, 0, 0, 3))
    assert all(changed[shard] == table.state(shard) for shard in changed)
