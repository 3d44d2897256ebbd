"""However a part of a workflow ends on a real worker, and whoever dies between any two steps, the whole ends."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from streamtasks import chain, chord
from streamtasks.exceptions import ParentFailed
from streamtasks.stores.redis.scripts import script
from tests.support.fleet import Fleet
from tests.support.killing_proxy import KillingProxy
from tests.support.waiting import wait_until
from tests.support.worker_process import Worker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from streamtasks.workflows.canvas import Canvas


def tasks_of(fleet: Fleet) -> Any:
    found: Any = fleet.app.tasks
    return found


class TestHowAMemberEnds:
    """The body fails with the cause, and all of the workflow is finished."""

    def ends(self, fleet: Fleet, member: Any, text: str, then: Callable[[Any], None] = lambda _: None) -> None:
        give_back = tasks_of(fleet)["give_back"]
        result = chord([member, give_back.s(1)], give_back.s()).apply_async()
        then(result)
        if not fleet.workers:
            fleet.start("--concurrency", "2")
        with pytest.raises(ParentFailed, match=text):
            result.get(timeout=60)
        wait_until(result.workflow.ready, "all of it is finished")
        assert result.parent.results[1].get(timeout=0) == 1
        fleet.wait_drained()

    def test_revoked_while_it_waits(self, fleet: Fleet) -> None:
        def revoke(result: Any) -> None:
            assert result.parent.results[0].revoke()

        self.ends(fleet, tasks_of(fleet)["nap"].s(60), "revoked", revoke)

    def test_revoked_while_it_runs(self, fleet: Fleet) -> None:
        fleet.start("--concurrency", "2")

        def revoke(result: Any) -> None:
            member = result.parent.results[0]
            fleet.record.wait_started(member)
            assert member.revoke(terminate=True)

        self.ends(fleet, tasks_of(fleet)["nap"].s(60), "revoked", revoke)

    def test_expired(self, fleet: Fleet) -> None:
        member = tasks_of(fleet)["nap"].s(60).set(expires=0.001)
        self.ends(fleet, member, "expired", lambda _: time.sleep(0.01))

    def test_a_dead_letter(self, fleet: Fleet) -> None:
        fleet.configure(crash_limit=2, crash_delay_s=0.05)
        self.ends(fleet, tasks_of(fleet)["die_by_signal"].s(), "ended with signal 9")

    def test_a_hard_time_limit(self, fleet: Fleet) -> None:
        member = tasks_of(fleet)["stubborn"].s(60).set(time_limit=0.1)
        self.ends(fleet, member, "TimeLimitExceeded")

    @pytest.mark.slow
    def test_its_whole_worker_dies(self, fleet: Fleet) -> None:
        """Nothing fails: another worker takes it over when its lease is over."""
        fleet.configure(lease_s=1.0)
        tasks = tasks_of(fleet)
        first = fleet.start("--concurrency", "1")
        result = chord([tasks["nap"].s(0.5), tasks["give_back"].s(1)], tasks["give_back"].s()).apply_async()
        fleet.record.wait_started(result.parent.results[0])
        first.end()
        fleet.start("--concurrency", "1")
        assert result.get(timeout=60) == [0.5, 1]


@pytest.fixture
def deadly(fleet: Fleet) -> Iterator[tuple[Fleet, KillingProxy]]:
    """A fleet with one worker behind a proxy that kills its processes."""
    fleet.configure(lease_s=2.0, crash_limit=50, lost_limit=50, crash_delay_s=0.02)
    with KillingProxy(urlsplit(fleet.url).port or 0) as proxy:
        worker = Worker(proxy.url, fleet.directory, "--concurrency", "2", settings=fleet.settings)
        fleet.workers.append(worker)
        worker.start()
        yield fleet, proxy


class Flows:
    """Workflows that need different steps, each with what it returns."""

    def __init__(self, fleet: Fleet) -> None:
        self._tasks = tasks_of(fleet)

    def plain(self) -> tuple[Canvas[Any], Any]:
        give_back = self._tasks["give_back"]
        return chain(give_back.s(1), chord([give_back.s(), give_back.si(2)], give_back.s())), [1, 2]

    def delayed(self) -> tuple[Canvas[Any], Any]:
        give_back = self._tasks["give_back"]
        return chain(give_back.s(1), give_back.s().set(countdown=0.02)), 1

    def cancelled(self) -> tuple[Canvas[Any], Any]:
        members = [self._tasks["fail"].s("boom"), *(self._tasks["give_back"].s().set(countdown=60) for _ in range(3))]
        return chord(members, self._tasks["give_back"].s(), fail_fast=True), ParentFailed

    def late(self) -> tuple[Canvas[Any], Any]:
        members = [self._tasks["give_back"].s(1), self._tasks["give_back"].s(2).set(countdown=60)]
        body = self._tasks["give_back"].s()
        return chord(members, body, deadline=2.0, on_error="collect", fail_fast=True), [1, None]


STEPS = [
    *(
        ("plain", name, turn)
        for name, turns in (("claim", 3), ("settle", 3), ("gather", 2))
        for turn in range(1, turns + 1)
    ),
    ("delayed", "promote", 1),
    ("delayed", "settle", 1),
    ("cancelled", "settle", 1),
    ("cancelled", "unfold", 1),
    ("cancelled", "revoke", 1),
    ("cancelled", "revoke", 2),
    ("late", "unfold", 1),
    ("late", "unfold", 2),
    ("late", "revoke", 1),
]


def outlives(fleet: Fleet, proxy: KillingProxy, kind: str, name: str, turn: int, *, before: bool) -> None:
    """A workflow ends as it must although a process dies at one of its steps."""
    canvas, expected = getattr(Flows(fleet), kind)()
    fleet.wait_idle(2)
    proxy.kill_at(script(name).sha.encode(), turn, before=before)
    result: Any = canvas.apply_async()
    if expected is ParentFailed:
        with pytest.raises(ParentFailed):
            result.get(timeout=60)
    else:
        assert result.get(timeout=60) == expected
    wait_until(result.workflow.ready, "all of it is finished")
    wait_until(lambda: proxy.losses, f"a process dies at call {turn} of {name}")
    fleet.wait_drained()


@pytest.mark.slow
@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
@pytest.mark.parametrize(("name", "turn"), [("stage", 1), ("stage", 2), ("unfold", 1), ("unfold", 2)])
def test_who_starts_a_linked_workflow_dies_at_any_step(
    deadly: tuple[Fleet, KillingProxy], name: str, turn: int, before: bool
) -> None:
    """It is started all the same, and once."""
    fleet, proxy = deadly
    give_back = tasks_of(fleet)["give_back"]
    fleet.wait_idle(2)
    proxy.kill_at(script(name).sha.encode(), turn, before=before)
    first = give_back.apply_async((1,), link=chord([give_back.s() for _ in range(2500)], give_back.s()))
    assert first.get(timeout=60) == 1
    [child] = first.children
    last = fleet.app.get_result(child)
    wait_until(lambda: fleet.app.store.wait_finished([child], 60), "the linked workflow is finished")
    assert last.get(timeout=0) == [1] * 2500
    assert proxy.losses
    assert fleet.totals()["SUCCESS"] == 2503


@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
def test_a_child_dies_at_a_step(deadly: tuple[Fleet, KillingProxy], before: bool) -> None:
    for name, turn in (("settle", 1), ("settle", 3), ("gather", 1)):
        outlives(*deadly, "plain", name, turn, before=before)


@pytest.mark.slow
@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
@pytest.mark.parametrize(("kind", "name", "turn"), STEPS)
def test_somebody_dies_at_any_step(
    deadly: tuple[Fleet, KillingProxy], kind: str, name: str, turn: int, before: bool
) -> None:
    outlives(*deadly, kind, name, turn, before=before)
