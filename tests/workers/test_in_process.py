"""Tasks run in-process, from a store in memory: a worker's own rules, on a clock that jumps."""

from __future__ import annotations

import asyncio
import threading
from datetime import timedelta
from typing import Any

import pytest

from streamtasks import ConfigurationError, Ignore, Retry, State, StreamTasks, current_attempt
from streamtasks.exceptions import NeverIdle
from streamtasks.operations.series import chart
from streamtasks_workers.testing.in_process import InProcessWorker


def test_plain_and_coroutine_tasks_run_on_the_calling_thread(app: StreamTasks, worker: InProcessWorker) -> None:
    @app.task(name="plain")
    def plain(word: str) -> list[Any]:
        return [word, threading.get_ident()]

    @app.task(name="coroutine")
    async def coroutine(word: str) -> list[Any]:
        await asyncio.sleep(0)
        return [word, threading.get_ident()]

    results = [plain.enqueue("a"), coroutine.enqueue("b")]
    assert [(ran.task, ran.attempt, ran.state) for ran in worker.run_until_idle()] == [
        ("plain", 1, "SUCCESS"),
        ("coroutine", 1, "SUCCESS"),
    ]
    here = threading.get_ident()
    assert [result.get(0) for result in results] == [["a", here], ["b", here]]
    assert worker.run_until_idle() == []


async def test_from_an_event_loop(app: StreamTasks, worker: InProcessWorker) -> None:
    @app.task(name="plain")
    def plain() -> int:
        answer: int = asyncio.run(coroutine.function())
        return answer

    @app.task(name="coroutine")
    async def coroutine() -> int:
        return await asyncio.sleep(0, 5)

    results = [await plain.aenqueue(), await coroutine.aenqueue()]
    assert len(await worker.arun_until_idle()) == 2
    assert [await result.aget(0) for result in results] == [5, 5]


def test_priorities_and_order(app: StreamTasks, worker: InProcessWorker, words: list[Any]) -> None:
    @app.task(name="note")
    def note(word: str) -> None:
        words.append(word)

    for word in ("a", "b"):
        note.enqueue(word)
    note.using(priority=5).enqueue("first")
    note.using(priority=-5).enqueue("last")
    worker.run_until_idle()
    assert words == ["first", "a", "b", "last"]


def test_the_clock_jumps_to_what_is_due(app: StreamTasks, worker: InProcessWorker, words: list[Any]) -> None:
    @app.task(name="note")
    def note(word: str) -> None:
        words.append((word, worker.clock.now_ms()))

    began_ms = worker.clock.now_ms()
    note.using(run_after=timedelta(days=7)).enqueue("next week")
    note.using(run_after=timedelta(hours=1)).enqueue("soon")
    note.enqueue("now")
    assert [ran.task for ran in worker.run_ready()] == ["note"]
    worker.run_until_idle()
    hours = [(word, (ms - began_ms) // 3_600_000) for word, ms in words]
    assert hours == [("now", 0), ("soon", 1), ("next week", 168)]


def test_attempts_are_counted_for_charts(app: StreamTasks, worker: InProcessWorker) -> None:
    @app.task(name="shop.send", queue="mail", max_retries=1)
    def send(ends: str) -> None:
        if ends == "fail":
            raise ValueError
        if ends == "retry":
            raise Retry(delay_s=180)

    for ends in ("well", "well", "fail", "retry"):
        send.enqueue(ends)
    worker.run_until_idle()
    for found in (chart(app.store), chart(app.store, queue="mail"), chart(app.store, task="shop.send")):
        points = [one for one in found.points if one.finished or one.retried]
        assert [(one.succeeded, one.failed, one.retried) for one in points] == [(2, 1, 1), (0, 1, 0)]
        assert points[1].at_ms - points[0].at_ms in (180_000, 240_000)
        assert points[0].run_p50_s is not None
        assert points[0].wait_p50_s is not None


def test_what_runs_without_a_pause_is_counted_meanwhile(
    app: StreamTasks, worker: InProcessWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streamtasks_workers.testing.in_process.COUNTS_NS", 0)
    seen: list[int] = []

    @app.task(name="look")
    def look() -> None:
        seen.append(sum(one.succeeded for one in chart(app.store).points))

    look.enqueue_many([()] * 3)
    worker.run_ready()
    assert seen == [0, 1, 2]


def test_what_becomes_due_while_it_looks_is_run(
    app: StreamTasks, worker: InProcessWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The clock goes on: a look may move the last delayed message, and then nothing more is due."""
    add = app.task(name="add")(lambda: 1)
    found: list[Any] = []

    def next_due_s() -> None:
        if not found:
            found.append(add.enqueue())

    monkeypatch.setattr(worker, "next_due_s", next_due_s)
    assert [one.id for one in worker.run_until_idle()] == [one.id for one in found]


def test_retries_wait_and_end(app: StreamTasks, worker: InProcessWorker) -> None:
    @app.task(name="flaky", max_retries=2, default_retry_delay=600)
    def flaky(fails: int) -> int:
        if current_attempt().number <= fails:
            raise Retry
        return current_attempt().number

    good, bad = flaky.enqueue(2), flaky.enqueue(9)
    ran = worker.run_until_idle()
    assert [r.state for r in ran if r.id == good.id] == ["RETRY", "RETRY", "SUCCESS"]
    assert [r.state for r in ran if r.id == bad.id] == ["RETRY", "RETRY", "FAILURE"]
    assert (good.get(0), good.attempts) == (3, 3)
    assert good.snapshot().finished_ms - good.snapshot().first_started_ms >= 1_200_000


def test_every_way_to_end(app: StreamTasks, worker: InProcessWorker) -> None:
    @app.task(name="end")
    def end(how: str) -> None:
        raise {"ignore": Ignore(), "fail": KeyError("x"), "exit": SystemExit(3)}[how]

    results = [end.enqueue(how) for how in ("ignore", "fail", "exit")]
    worker.run_until_idle()
    assert [result.state for result in results] == [State.IGNORED, State.FAILURE, State.FAILURE]
    late = end.using(expires=5).enqueue("fail")
    worker.clock.advance(6)
    worker.run_until_idle()
    assert late.state == State.EXPIRED


def test_progress_is_seen_while_it_runs(app: StreamTasks, worker: InProcessWorker, words: list[Any]) -> None:
    @app.task(name="show")
    def show() -> None:
        current_attempt().set_progress(done=1)
        result = app.get_result(current_attempt().id)
        words.append((result.state, result.progress))

    show.enqueue()
    worker.run_until_idle()
    assert words == [("PROGRESS", {"done": 1})]


def test_what_a_task_enqueues_runs_too(app: StreamTasks, worker: InProcessWorker) -> None:
    @app.task(name="split")
    def split(n: int) -> int:
        if n > 1:
            split.enqueue(n // 2)
            split.enqueue(n - n // 2)
        return n

    split.enqueue(5)
    assert len(worker.run_until_idle()) == 9


class TestBound:
    @pytest.fixture(params=["retries", "enqueues itself"])
    def endless(self, request: pytest.FixtureRequest, app: StreamTasks) -> Any:
        @app.task(name="endless", max_retries=None)
        def endless() -> None:
            if request.param == "retries":
                raise Retry(delay_s=60)
            endless.enqueue()

        endless.enqueue()
        return endless

    @pytest.mark.usefixtures("endless")
    def test_an_endless_loop_fails_and_names_the_task(self, worker: InProcessWorker) -> None:
        with pytest.raises(NeverIdle, match="endless 50 times"):
            worker.run_until_idle(most=50)

    def test_just_enough_is_enough(self, app: StreamTasks, worker: InProcessWorker) -> None:
        @app.task(name="one")
        def one() -> None:
            pass

        one.enqueue()
        assert len(worker.run_until_idle(most=1)) == 1


def test_a_task_nobody_knows_becomes_a_dead_letter(app: StreamTasks, worker: InProcessWorker) -> None:
    @app.task(name="known")
    def known() -> None:
        pass

    result = known.enqueue()
    del app.tasks["known"]
    assert [ran.state for ran in worker.run_until_idle()][-1] == "DEAD"
    assert result.state == State.DEAD
    assert [letter.reason for letter in app.dead_letters()] == ["unknown task"]


def test_many_shards(app: StreamTasks, words: list[Any]) -> None:
    app = StreamTasks(app.settings.url, tags=("u0", "qp", "dj"))

    @app.task(name="note")
    def note(word: int) -> None:
        words.append(word)

    for word in range(9):
        note.enqueue(word)
    InProcessWorker(app).run_until_idle()
    assert sorted(words) == list(range(9))


def test_only_tasks_in_memory() -> None:
    with pytest.raises(ConfigurationError, match="memory://"):
        InProcessWorker(StreamTasks("redis://127.0.0.1:1/0"))


class TestRateLimits:
    def test_the_clock_goes_as_fast_as_the_limit_lets_it(
        self, app: StreamTasks, worker: InProcessWorker, words: list[Any]
    ) -> None:
        @app.task(name="slow", rate_limit="10/m")
        def slow(word: int) -> None:
            words.append((word, worker.clock.now_ms()))

        @app.task(name="free")
        def free() -> None:
            words.append(("free", 0))

        for word in range(5):
            slow.enqueue(word)
        free.enqueue()
        began_ms = worker.clock.now_ms()
        assert len(worker.run_until_idle()) == 6
        assert [word for word, _ in words if word != "free"] == [0, 1, 2, 3, 4]
        assert words.index(("free", 0)) < 2, "others do not wait"
        seconds = [round((ms - began_ms) / 1000) for word, ms in words if word != "free"]
        assert seconds == [0, 6, 12, 18, 24]

    def test_what_is_idle_has_no_limit_to_wait_for(self, app: StreamTasks, worker: InProcessWorker) -> None:
        @app.task(name="hourly", rate_limit="1/h")
        def hourly() -> None:
            pass

        hourly.enqueue()
        before_ms = worker.clock.now_ms()
        assert len(worker.run_until_idle()) == 1
        assert worker.clock.now_ms() - before_ms < 60_000


def test_revoked_ones_are_told_of_and_do_not_run(app: StreamTasks, worker: InProcessWorker, words: list[Any]) -> None:
    @app.task(name="note")
    def note(word: str) -> None:
        words.append(word)

    result, later = note.enqueue("a"), note.using(run_after=timedelta(hours=1)).enqueue("b")
    assert result.revoke()
    assert later.revoke()
    assert worker.run_until_idle() == []
    assert (words, result.state, later.state) == ([], State.REVOKED, State.REVOKED)


def test_links_follow(app: StreamTasks, worker: InProcessWorker, words: list[Any]) -> None:
    @app.task(name="add")
    def add(a: int, b: int) -> int:
        return a + b

    @app.task(name="fail")
    def fail() -> None:
        raise ValueError("no")

    @app.task(name="note")
    def note(*args: Any) -> None:
        words.append(args)

    add.apply_async((1, 2), link=add.s(10))
    fail.apply_async(link_error=note.s("own"))
    worker.run_until_idle()
    assert [args[-1] for args in words] == ["own"]
    assert app.store.statistics().outcomes == {"SUCCESS": 3, "FAILURE": 1}
