"""Streams that nothing is in go, with what is kept of their names; the next message makes one again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from streamtasks.protocol.keys import GROUP
from streamtasks.stores.redis.operations.queues import forget_queue_call, sweep_call
from streamtasks.stores.types import Limit
from tests.support.script_lab import ScriptLab, outcome
from tests.support.server_dump import Stream, text

if TYPE_CHECKING:
    from collections.abc import Callable

DAY_MS = 86_400_000
OF_QUEUE = ("q:", "ready", "streams", "wake")


def sweep(lab: ScriptLab, *names: str, retire_ms: int = -1) -> int:
    """Return how many streams were retired. By default nothing has come to any of them for long enough."""
    retired: int = lab.raw(sweep_call(lab.keys, names, DAY_MS, retire_ms, "", 16))[1]
    return retired


def forget(lab: ScriptLab, queue: str = "once") -> tuple[int, ...]:
    """Return (streams forgotten, messages left, of them held, whether to call again)."""
    return tuple(lab.raw(forget_queue_call(lab.keys, queue)))


RETIRE: list[Callable[[ScriptLab], Any]] = [lambda lab: sweep(lab, "0:once"), lambda lab: forget(lab)[0]]
WAYS = pytest.mark.parametrize("retire", RETIRE, ids=["sweep", "forget_queue"])


def use(lab: ScriptLab, task_id: str = "a", queue: str = "once", priority: int = 0) -> None:
    lab.enqueue(task_id, queue=queue, priority=priority)
    lab.settle(outcome(lab.claim_one(f"w{task_id}")))


def of_queues(lab: ScriptLab) -> dict[str, Any]:
    return {key: content for key, content in lab.dump().items() if key.startswith(OF_QUEUE)}


@WAYS
class TestEmpty:
    def test_all_that_is_kept_of_it_goes_and_nothing_else(
        self, lab: ScriptLab, retire: Callable[[ScriptLab], Any]
    ) -> None:
        lab.enqueue("stays", queue="other")
        before = of_queues(lab)
        use(lab)
        lab.client.hset(lab.keys.reserved, "0:once", f"w {lab.now}")
        others = {key: content for key, content in lab.dump().items() if not key.startswith((*OF_QUEUE, "reserved"))}
        assert retire(lab) == 1
        assert of_queues(lab) == before
        left = lab.dump()
        assert "reserved" not in left
        assert {key: content for key, content in left.items() if not key.startswith(OF_QUEUE)} == others
        assert retire(lab) == 0
        assert lab.dump() == left

    def test_a_message_before_keeps_it_and_one_after_makes_it_again(
        self, lab: ScriptLab, retire: Callable[[ScriptLab], Any]
    ) -> None:
        use(lab)
        lab.enqueue("b", queue="once")
        before = lab.dump()
        assert retire(lab) == 0
        assert lab.dump() == before
        lab.settle(outcome(lab.claim_one("wb")))
        assert retire(lab) == 1
        lab.enqueue("c", queue="once")
        left = of_queues(lab)
        assert (left["q:0:once"], left["streams"], left["ready"]) == (Stream(["c"], {}), {"0:once": 0}, {"0:once": 0})
        assert lab.claim("wc").ids == ["c"]

    def test_a_claim_that_remembers_it_finds_nothing_and_makes_nothing(
        self, lab: ScriptLab, retire: Callable[[ScriptLab], Any]
    ) -> None:
        use(lab)
        retire(lab)
        before = lab.dump()
        answer = lab.claim_with(["0:once"], "w", 7)
        assert (answer.kind, answer.ids, answer.flags) == ("ok", [], 0)
        assert lab.dump() == before
        lab.enqueue("b", queue="other")
        assert lab.claim_with(["0:once", "0:other"], "w", 8).ids == ["b"]
        lab.enqueue("c", queue="other")
        assert lab.claim_with(["0:once"], "w", 9).streams == ["0:other"]
        assert "q:0:once" not in lab.dump()

    def test_a_late_holder_changes_nothing(self, lab: ScriptLab, retire: Callable[[ScriptLab], Any]) -> None:
        lab.enqueue("a", queue="once")
        late = lab.claim_one("late")
        lab.expire_leases("late#1")
        lab.reclaim("0:once")
        [again] = lab.claim("w", 1).claimed
        lab.settle(outcome(again))
        lab.take_tokens()
        assert retire(lab) == 1
        before = lab.dump()
        assert lab.settle(outcome(late)) == [0]
        assert lab.hand_back(late, names=["0:once"]) == ([], [0])
        assert lab.dump() == before

    @pytest.mark.parametrize("options", [{"delay_ms": 3_600_000}, {"limit": Limit("slow", 1_000_000)}, {"after": "up"}])
    def test_what_waits_elsewhere_makes_it_again(
        self, lab: ScriptLab, retire: Callable[[ScriptLab], Any], options: dict[str, Any]
    ) -> None:
        lab.enqueue("up", queue="other")
        use(lab, "first")
        lab.settle(*(outcome(c) for c in lab.claim("w").claimed)) if "after" not in options else None
        lab.enqueue("b", queue="once", **options)
        assert retire(lab) == 1
        assert "q:0:once" not in lab.dump()
        if "after" in options:
            lab.settle(*(outcome(c, started=5) for c in lab.claim("v").claimed))
        lab.client.zadd(lab.keys.delayed, {"b": 1}, xx=True)
        lab.promote("0:once")
        lab.admit_now("0:once")
        assert lab.claim("last").ids == ["b"]

    def test_a_stream_without_its_group_goes_as_well(self, lab: ScriptLab, retire: Callable[[ScriptLab], Any]) -> None:
        use(lab)
        lab.client.xgroup_destroy(lab.keys.stream("0:once"), GROUP)
        assert retire(lab) == 1

    def test_one_that_was_deleted_by_hand_is_known_no_more(
        self, lab: ScriptLab, retire: Callable[[ScriptLab], Any]
    ) -> None:
        use(lab)
        lab.client.delete(lab.keys.stream("0:once"))
        assert retire(lab) == 1
        assert "streams" not in lab.dump()


def queued(lab: ScriptLab) -> None:
    """It waits to be claimed."""


def held(lab: ScriptLab) -> None:
    lab.claim_one("w")


def handed_back(lab: ScriptLab) -> None:
    lab.hand_back(lab.claim_one("w"), names=["0:once"])


def suspected(lab: ScriptLab) -> None:
    lab.claim_one("w")
    lab.expire_leases("w#1")
    lab.reclaim("0:once")


@WAYS
@pytest.mark.parametrize("state", [queued, held, handed_back, suspected], ids=lambda state: state.__name__)
def test_a_stream_with_a_message_stays(
    lab: ScriptLab, retire: Callable[[ScriptLab], Any], state: Callable[[ScriptLab], None]
) -> None:
    lab.enqueue("a", queue="once")
    state(lab)
    before = lab.dump()
    assert retire(lab) == 0
    assert lab.dump() == before


@WAYS
def test_a_held_message_keeps_its_stream_though_its_entry_was_deleted_by_hand(
    lab: ScriptLab, retire: Callable[[ScriptLab], Any]
) -> None:
    lab.enqueue("a", queue="once")
    claimed = lab.claim_one("w")
    lab.client.xdel(lab.keys.stream("0:once"), claimed.entry)
    before = lab.dump()
    assert retire(lab) == 0
    assert lab.dump() == before
    assert lab.settle(outcome(claimed)) == [1]
    assert retire(lab) == 1


class TestSweep:
    @pytest.mark.parametrize(("idle_days", "retired"), [(6, 0), (8, 1)])
    def test_the_latest_message_came_long_ago(self, lab: ScriptLab, idle_days: int, retired: int) -> None:
        key = lab.keys.stream("0:once")
        entry = lab.client.xadd(key, {"id": "gone"}, f"{lab.server_ms() - idle_days * DAY_MS}-0")
        lab.client.xgroup_create(key, GROUP, "0")
        lab.client.zadd(lab.keys.streams, {"0:once": 0})
        lab.client.xdel(key, entry)
        assert sweep(lab, "0:once", retire_ms=7 * DAY_MS) == retired

    def test_a_wake_token_stays_if_another_stream_of_the_queue_is_ready(self, lab: ScriptLab) -> None:
        use(lab)
        lab.take_tokens()
        lab.enqueue("b", queue="once", priority=5)
        assert sweep(lab, "0:once") == 1
        assert of_queues(lab)["wake:once"] == ["1"]
        lab.settle(outcome(lab.claim_one("v")))
        assert sweep(lab, "5:once") == 1
        assert "wake:once" not in of_queues(lab)

    def test_one_that_is_ready_and_empty_goes(self, lab: ScriptLab) -> None:
        use(lab)
        lab.client.zadd(lab.keys.ready, {"0:once": 0})
        assert sweep(lab, "0:once") == 1
        assert "ready" not in of_queues(lab)

    def test_the_names_of_those_that_are_left_follow_each_other(self, lab: ScriptLab) -> None:
        for number in range(40):
            use(lab, f"m{number}", f"q{number:02}")
        lab.enqueue("stays", queue="q17")
        after = ""
        names: list[str] = []
        seen: list[str] = []
        while True:
            _, _, raw = lab.raw(sweep_call(lab.keys, names, DAY_MS, -1, after, 16))
            names = text(raw)
            if not names:
                break
            after = names[-1]
            seen += names
        assert seen == [f"0:q{number:02}" for number in range(40)]
        assert of_queues(lab)["streams"] == {"0:q17": 0}


class TestForgetQueue:
    def test_all_priorities_of_it_and_of_no_other_queue(self, lab: ScriptLab) -> None:
        for priority in (-100, 0, 100):
            use(lab, f"a{priority}", priority=priority)
        use(lab, "b", "once:more")
        assert forget(lab) == (3, 0, 0, 0)
        assert of_queues(lab)["streams"] == {"0:once:more": 0}

    def test_it_says_how_many_are_left_and_how_many_are_held(self, lab: ScriptLab) -> None:
        lab.enqueue("a", "b", "c", queue="once")
        lab.enqueue("d", queue="once", priority=7)
        lab.claim_one("w")
        lab.hand_back(lab.claim_one("v"), names=["0:once", "7:once"])
        before = lab.dump()
        assert forget(lab) == (0, 4, 1, 0)
        assert lab.dump() == before

    def test_entries_of_what_was_revoked_do_not_keep_it(self, lab: ScriptLab) -> None:
        ids = [f"{number:03}" for number in range(250)]
        for start in (0, 100, 200):
            lab.enqueue(*ids[start : start + 100], queue="once")
        for task_id in ids:
            lab.client.hdel(lab.keys.messages, task_id)
        assert [forget(lab) for _ in range(4)] == [(0, 150, 0, 1), (0, 50, 0, 1), (1, 0, 0, 0), (0, 0, 0, 0)]

    def test_one_that_never_was(self, lab: ScriptLab) -> None:
        assert forget(lab) == (0, 0, 0, 0)
        assert lab.dump() == {}


def keys_and_bytes(lab: ScriptLab) -> tuple[int, int]:
    keys = lab.client.keys("*")
    pipeline = lab.client.pipeline(transaction=False)
    for key in keys:
        pipeline.memory_usage(key, samples=0)
    return len(keys), sum(pipeline.execute())


@pytest.mark.slow
def test_1500_queues_that_were_used_once_leave_nothing(lab: ScriptLab, figure: Callable[[str], None]) -> None:
    def use_and_delete(task_id: str, queue: str) -> None:
        use(lab, task_id, queue)
        lab.client.delete(lab.keys.record(task_id), lab.keys.claim(f"w{task_id}"))  # as they expire

    def settled() -> tuple[int, int]:
        for key in (*lab.client.keys("*finished:*"), *lab.client.keys("*counts:*")):
            lab.client.delete(key)
        return keys_and_bytes(lab)

    use_and_delete("first", "default")
    before = settled()
    for number in range(1500):
        use_and_delete(f"m{number}", f"tenant-{number}")
    grown = settled()
    names: list[str] = []
    retired = 0
    while True:
        _, some, raw = lab.raw(sweep_call(lab.keys, names, DAY_MS, -1, names[-1] if names else "", 16))
        retired += some
        names = [name for name in text(raw) if name != "0:default"]
        if not names:
            break
    after = settled()
    figure(f"keys and bytes: {before} before, {grown} with 1,500 queues, {after} after")
    assert retired == 1500
    assert grown[0] - before[0] >= 3000
    assert after[0] == before[0]
    # A set that was large gives its table back little by little.
    assert after[1] - before[1] < (grown[1] - before[1]) / 50
