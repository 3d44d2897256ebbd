"""Class-based tasks of plain Python: options, a copy for each run, and hooks that see what it has left."""

from __future__ import annotations

import logging
from typing import Any, ClassVar

import pytest

from streamtasks import ClassTask, InvalidTask, State, StreamTasks
from streamtasks.exceptions import TimeLimitExceeded
from streamtasks_workers.testing.memory_tasks import MemoryTasks, memory_tasks


class Import(ClassTask):
    """Counts what it is given, and remembers what its hooks hear."""

    name = "import"
    queue = "files"
    max_retries = 1
    default_retry_delay = 5
    heard: ClassVar[list[tuple[Any, ...]]] = []

    def run(self, rows: list[int], how: str = "") -> int:
        self.done = sum(rows)
        if how == "retry":
            raise self.retry(exc=ValueError("again"))
        if how == "fail":
            raise ValueError("no")
        self.update_state("COUNTED", {"done": self.done})
        return self.done

    def before_start(self, task_id: str, args: list[Any], kwargs: dict[str, Any]) -> None:
        assert not hasattr(self, "done"), "nothing of an earlier run"
        self.heard.append(("before_start", self.request.retries))

    def on_success(self, retval: Any, task_id: str, args: list[Any], kwargs: dict[str, Any]) -> None:
        self.heard.append(("on_success", self.done, retval, task_id == self.request.id))

    def on_failure(self, exc: Any, task_id: str, args: list[Any], kwargs: dict[str, Any], einfo: Any) -> None:
        self.heard.append(("on_failure", self.done, str(exc), "ValueError: " in str(einfo), args, kwargs))

    def on_retry(self, exc: Any, task_id: str, args: list[Any], kwargs: dict[str, Any], einfo: Any) -> None:
        self.heard.append(("on_retry", self.done, str(exc)))

    def after_return(
        self, status: str, retval: Any, task_id: str, args: list[Any], kwargs: dict[str, Any], einfo: Any
    ) -> None:
        self.heard.append(("after_return", status))
        raise RuntimeError("a broken hook")


class Later(ClassTask):
    """A coroutine."""

    async def run(self, value: int) -> int:
        self.value = value
        return value

    def on_success(self, retval: Any, task_id: str, args: list[Any], kwargs: dict[str, Any]) -> None:
        Import.heard.append(("later", self.value))


class Plain(ClassTask):
    """One without hooks."""

    executor = "inline"

    def run(self, value: int = 1) -> int:
        return value


@pytest.fixture
def app() -> StreamTasks:
    Import.heard.clear()
    return StreamTasks()


def run(tasks: MemoryTasks) -> list[tuple[Any, ...]]:
    tasks.run_until_idle()
    return Import.heard


def test_a_success(app: StreamTasks) -> None:
    task = app.register(Import())
    with memory_tasks(app) as tasks:
        result = task.delay([1, 2])
        tasks.assert_enqueued(task, args=[[1, 2]], queue="files")
        assert run(tasks) == [("before_start", 0), ("on_success", 3, 3, True), ("after_return", "SUCCESS")]
        assert (result.state, result.get(0)) == (State.SUCCESS, 3)


def test_a_failure_and_its_broken_hook(app: StreamTasks, caplog: pytest.LogCaptureFixture) -> None:
    task = app.register(Import())
    with memory_tasks(app) as tasks, caplog.at_level(logging.ERROR):
        result = task.delay([4], how="fail")
        assert run(tasks)[1:] == [
            ("on_failure", 4, "no", True, [[4]], {"how": "fail"}),
            ("after_return", "FAILURE"),
        ]
        with pytest.raises(ValueError, match="no"):
            result.get(0)
    assert "after_return of task" in caplog.text


def test_retries_follow_the_class_s_options(app: StreamTasks) -> None:
    task = app.register(Import())
    with memory_tasks(app) as tasks:
        task.delay([4], how="retry")
        assert run(tasks) == [
            ("before_start", 0),
            ("on_retry", 4, "again"),
            ("after_return", "RETRY"),
            ("before_start", 1),
            ("on_failure", 4, "again", True, [[4]], {"how": "retry"}),
            ("after_return", "FAILURE"),
        ]


def test_a_coroutine_and_workflows(app: StreamTasks) -> None:
    later = app.register(Later())
    assert later.name == f"{__name__}.Later"
    with memory_tasks(app) as tasks:
        result = (later.s(3) | later.s()).delay()
        assert run(tasks) == [("later", 3), ("later", 3)]
        assert result.get(0) == 3


def test_options_and_direct_calls(app: StreamTasks) -> None:
    body = Plain()
    plain = app.register(body)
    assert (plain.options.has_hooks, plain.options.executor, body.task) == (False, "inline", plain)
    task = app.register(Import())
    assert (task.options.has_hooks, task.options.max_retries, task.options.retry_delay_s) == (True, 1, 5)
    assert task([1, 2]) == 3, "a direct call runs it, and no hook"
    assert Import.heard == []
    with pytest.raises(ValueError, match="again"):
        task([1], how="retry")
    assert task.using(priority=7)([5]) == 5
    with memory_tasks(app) as tasks:
        task.using(priority=7).delay([5])
        tasks.assert_enqueued("import", priority=7)
        assert ("on_success", 5, 5, True) in run(tasks)


def test_what_is_wrong_is_named(app: StreamTasks) -> None:
    class Nothing(ClassTask):
        pass

    class Waits(ClassTask):
        def run(self) -> None: ...

        async def on_success(self, *_: Any) -> None: ...  # type: ignore[override]

    class Wrong(ClassTask):
        time_limit = -1

        def run(self) -> None: ...

    class Elsewhere(Later):
        executor = "inline"

    register: Any = app.register
    body = Plain()
    app.register(body)
    for given, named in (
        (Plain, "takes an instance"),
        (Nothing(), "has no run"),
        (Waits(), "on_success is a coroutine function"),
        (Wrong(), "time_limit is -1"),
        (Elsewhere(), "executor is 'inline', but"),
        (body, "registered already"),
        (Plain(), "registered already"),
    ):
        with pytest.raises(InvalidTask, match=named):
            register(given)


def test_a_limit_is_told(app: StreamTasks) -> None:
    class Endless(ClassTask):
        time_limit = 0.05

        def run(self) -> None:
            while True:
                pass

        def on_failure(self, exc: Any, task_id: str, args: list[Any], kwargs: dict[str, Any], einfo: Any) -> None:
            Import.heard.append((type(exc),))

    task = app.register(Endless())
    with memory_tasks(app) as tasks:
        task.delay()
        assert run(tasks) == [(TimeLimitExceeded,)]
