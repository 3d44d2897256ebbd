"""However a part of a workflow ends on a real worker, and whoever dies between any two steps, the whole ends."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from streamtasks import chain, chord
from streamtasks.exceptions import ParentFailed
from streamtasks.stores.redis.scripts import script
from tests.support.proxy import StrikingProxy
from tests.support.workers import Field, Worker, wait_for_value

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from streamtasks.workflows.canvas import Canvas


def tasks_of(field: Field) -> Any:
    found: Any = field.app.tasks
    return found


class TestHowAMemberEnds:
    """The body fails with the cause, and all of the workflow is finished."""

    def ends(self, field: Field, member: Any, text: str, then: Callable[[Any], None] = lambda _: None) -> None:
        give_back = tasks_of(field)["give_back"]
        result = chord([member, give_back.s(1)], give_back.s()).apply_async()
        then(result)
        if not field.workers:
            field.start("--concurrency", "2")
        with pytest.raises(ParentFailed, match=text):
            result.get(timeout=15)
        wait_for_value(result.workflow.ready, 15, "all of it is finished")
        assert result.parent.results[1].get(timeout=0) == 1
        field.wait_drained(10)

    def test_revoked_while_it_waits(self, field: Field) -> None:
        def revoke(result: Any) -> None:
            assert result.parent.results[0].revoke()

        self.ends(field, tasks_of(field)["nap"].s(60), "revoked", revoke)

    def test_revoked_while_it_runs(self, field: Field) -> None:
        field.start("--concurrency", "2")

        def revoke(result: Any) -> None:
            member = result.parent.results[0]
            field.record.wait_started(member)
            assert member.revoke(terminate=True)

        self.ends(field, tasks_of(field)["nap"].s(60), "revoked", revoke)

    def test_expired(self, field: Field) -> None:
        member = tasks_of(field)["nap"].s(60).set(expires=0.001)
        self.ends(field, member, "expired", lambda _: time.sleep(0.01))

    def test_a_dead_letter(self, field: Field) -> None:
        field.configure(crash_limit=2, crash_delay_s=0.05)
        self.ends(field, tasks_of(field)["die_by_signal"].s(), "ended with signal 9")

    def test_a_hard_time_limit(self, field: Field) -> None:
        member = tasks_of(field)["stubborn"].s(60).set(time_limit=0.1)
        self.ends(field, member, "TimeLimitExceeded")

    @pytest.mark.slow
    def test_its_whole_worker_dies(self, field: Field) -> None:
        """Nothing fails: another worker takes it over when its lease is over."""
        field.configure(lease_s=1.0)
        tasks = tasks_of(field)
        first = field.start("--concurrency", "1")
        result = chord([tasks["nap"].s(0.5), tasks["give_back"].s(1)], tasks["give_back"].s()).apply_async()
        field.record.wait_started(result.parent.results[0])
        first.end()
        field.start("--concurrency", "1")
        assert result.get(timeout=15) == [0.5, 1]


@pytest.fixture
def struck(field: Field) -> Iterator[tuple[Field, StrikingProxy]]:
    """A field whose one worker is behind a proxy that kills."""
    field.configure(lease_s=2.0, crash_limit=50, lost_limit=50, crash_delay_s=0.02)
    with StrikingProxy(urlsplit(field.url).port or 0) as proxy:
        worker = Worker(proxy.url, field.directory, "--concurrency", "2", settings=field.settings)
        field.workers.append(worker)
        worker.start()
        yield field, proxy


class Flows:
    """Workflows that need different steps, each with what it returns."""

    def __init__(self, field: Field) -> None:
        self._tasks = tasks_of(field)

    def plain(self) -> tuple[Canvas, Any]:
        give_back = self._tasks["give_back"]
        return chain(give_back.s(1), chord([give_back.s(), give_back.si(2)], give_back.s())), [1, 2]

    def delayed(self) -> tuple[Canvas, Any]:
        give_back = self._tasks["give_back"]
        return chain(give_back.s(1), give_back.s().set(countdown=0.02)), 1

    def cancelled(self) -> tuple[Canvas, Any]:
        members = [self._tasks["fail"].s("boom"), *(self._tasks["give_back"].s().set(countdown=60) for _ in range(3))]
        return chord(members, self._tasks["give_back"].s(), fail_fast=True), ParentFailed

    def late(self) -> tuple[Canvas, Any]:
        members = [self._tasks["give_back"].s(1), self._tasks["give_back"].s(2).set(countdown=60)]
        body = self._tasks["give_back"].s()
        return chord(members, body, deadline=0.05, on_error="collect", fail_fast=True), [1, None]


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


def outlives(field: Field, proxy: StrikingProxy, kind: str, name: str, turn: int, *, before: bool) -> None:
    """A workflow ends as it must although a process dies at one of its steps."""
    canvas, expected = getattr(Flows(field), kind)()
    field.wait_idle(2)
    proxy.strike(script(name).sha.encode(), turn, before=before)
    result: Any = canvas.apply_async()
    if expected is ParentFailed:
        with pytest.raises(ParentFailed):
            result.get(timeout=20)
    else:
        assert result.get(timeout=20) == expected
    wait_for_value(result.workflow.ready, 20, "all of it is finished")
    wait_for_value(lambda: proxy.struck, 10, f"a process dies at call {turn} of {name}")
    field.wait_drained(20)


@pytest.mark.slow
@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
@pytest.mark.parametrize(("name", "turn"), [("stage", 1), ("stage", 3), ("unfold", 1), ("unfold", 2)])
def test_who_starts_a_linked_workflow_dies_at_any_step(
    struck: tuple[Field, StrikingProxy], name: str, turn: int, before: bool
) -> None:
    """It is started all the same, and once."""
    field, proxy = struck
    give_back = tasks_of(field)["give_back"]
    field.wait_idle(2)
    proxy.strike(script(name).sha.encode(), turn, before=before)
    first = give_back.apply_async((1,), link=chord([give_back.s() for _ in range(2500)], give_back.s()))
    assert first.get(timeout=20) == 1
    [child] = first.children
    last = field.app.get_result(child)
    wait_for_value(lambda: field.app.store.wait_finished([child], 1), 30, "the linked workflow is finished")
    assert last.get(timeout=0) == [1] * 2500
    assert proxy.struck == 1
    assert field.totals()["SUCCESS"] == 2503


@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
def test_a_child_dies_at_a_step(struck: tuple[Field, StrikingProxy], before: bool) -> None:
    for name, turn in (("settle", 1), ("settle", 3), ("gather", 1)):
        outlives(*struck, "plain", name, turn, before=before)


@pytest.mark.slow
@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
@pytest.mark.parametrize(("kind", "name", "turn"), STEPS)
def test_somebody_dies_at_any_step(
    struck: tuple[Field, StrikingProxy], kind: str, name: str, turn: int, before: bool
) -> None:
    outlives(*struck, kind, name, turn, before=before)
