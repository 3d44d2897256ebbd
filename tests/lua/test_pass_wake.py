"""pass_wake: a wake token that a busy child took reaches another one, and only if there is work for it."""

from __future__ import annotations

import pytest

from streamtasks.stores.redis.operations.claim import pass_wake_call, wake_lists
from streamtasks.stores.types import Filter
from tests.support.script_lab import ScriptLab


def passed_on(lab: ScriptLab, queues: Filter) -> list[int]:
    answer: list[int] = lab.run(pass_wake_call(lab.keys, queues))
    return answer


def test_with_nothing_ready_nobody_is_rung(lab: ScriptLab) -> None:
    before = lab.dump()
    assert passed_on(lab, Filter()) == [0]
    assert lab.dump() == before


def test_a_ring_comes_back_once(lab: ScriptLab) -> None:
    lab.enqueue("a")
    before = lab.dump()
    assert lab.client.lpop(lab.keys.wake)
    assert passed_on(lab, Filter()) == [1]
    assert lab.dump() == before
    assert passed_on(lab, Filter()) == [1]
    assert lab.dump() == before


@pytest.mark.parametrize(
    ("queues", "rings"),
    [
        (Filter("only", ("default",)), 1),
        (Filter("only", ("other", "default")), 1),
        (Filter("only", ("other",)), 0),
        (Filter("except", ("other",)), 1),
        (Filter("except", ("default",)), 0),
    ],
    ids=str,
)
def test_only_work_that_the_child_serves_counts(lab: ScriptLab, queues: Filter, rings: int) -> None:
    lab.enqueue("a")
    lists = wake_lists(lab.keys, queues)
    lab.client.delete(*lists)
    assert passed_on(lab, queues) == [rings]
    assert [lab.client.llen(name) for name in lists] == [rings] * len(lists)


@pytest.mark.parametrize("others", [63, 64, 1023])
def test_work_behind_many_better_streams_counts(lab: ScriptLab, others: int) -> None:
    lab.enqueue("a", queue="mail", priority=-1)
    lab.client.zadd(lab.keys.ready, {f"0:q{n}": 0 for n in range(others)})
    assert passed_on(lab, Filter("only", ("mail",))) == [1]
    assert passed_on(lab, Filter("only", ("none",))) == [1 if others == 1023 else 0], "more may be ready"
