"""Tasks run in-process are interrupted: by time limits, and by a revocation."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any

import pytest

from streamtasks import State, StreamTasks, chain, current_attempt, group
from streamtasks.exceptions import SoftTimeLimitExceeded, TimeLimitExceeded
from streamtasks.protocol.heard import EVERYTHING
from streamtasks_workers.testing.in_process import InProcessWorker


class TestInterrupts:
    def test_limits_of_plain_tasks(self, app: StreamTasks, worker: InProcessWorker) -> None:
        @app.task(name="soft", soft_time_limit=0.05)
        def soft() -> str:
            try:
                spin(10)
            except SoftTimeLimitExceeded:
                return "cleaned up"
            return "not interrupted"

        @app.task(name="hard", time_limit=0.05)
        def hard() -> None:
            spin(10)

        first, second = soft.enqueue(), hard.enqueue()
        worker.run_until_idle()
        assert first.get(0) == "cleaned up"
        with pytest.raises(TimeLimitExceeded, match=r"0\.05"):
            second.get(0)

    def test_the_limit_of_workers_holds_where_a_task_has_none(self, app: StreamTasks) -> None:
        @app.task(name="long")
        def long() -> None:
            spin(10)

        app.worker_defaults["time_limit_s"] = 0.05
        result = long.enqueue()
        InProcessWorker(app).run_until_idle()
        with pytest.raises(TimeLimitExceeded):
            result.get(0)

    async def test_limits_of_coroutine_tasks(self, app: StreamTasks, worker: InProcessWorker) -> None:
        @app.task(name="soft", soft_time_limit=0.05)
        async def soft() -> None:
            await asyncio.sleep(10)

        result: Any = await soft.aenqueue()
        await worker.arun_until_idle()
        with pytest.raises(SoftTimeLimitExceeded):
            await result.aget(0)

    def test_a_running_task_is_revoked_from_another_thread(
        self, app: StreamTasks, worker: InProcessWorker, words: list[Any]
    ) -> None:
        @app.task(name="long")
        def long() -> None:
            words.append("begun")
            thread = threading.Thread(target=lambda: app.get_result(result.id).revoke(terminate=True))
            thread.start()
            spin(10)
            words.append("not interrupted")

        result = long.enqueue()
        worker.run_until_idle()
        assert (words, result.state) == (["begun"], State.REVOKED)

    def test_without_terminate_it_runs_to_its_end(
        self, app: StreamTasks, worker: InProcessWorker, words: list[Any]
    ) -> None:
        @app.task(name="long")
        def long() -> None:
            app.get_result(current_attempt().id).revoke()
            words.append("ended")

        result = long.enqueue()
        worker.run_until_idle()
        assert (words, result.state) == (["ended"], State.REVOKED)

    def test_nobody_is_asked_for_hooks_of_our_own_tasks(
        self, app: StreamTasks, worker: InProcessWorker, caplog: pytest.LogCaptureFixture
    ) -> None:
        task = app.task(name="t")(lambda *_: None)
        nested = group(chain(group(task.s(), task.s()), group(task.s(), task.s())), task.s()).apply_async()
        store: Any = app.store
        for tag in store.tags:
            for message in store.shard(tag).live.values():
                message.hears = EVERYTHING
        nested.revoke()
        assert store.statistics().unfinished > 0  # callback messages
        worker.run_until_idle()
        assert store.statistics().unfinished == 0
        assert not caplog.records


def spin(seconds: float) -> None:
    """Work for so long, in bytecode."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        pass
