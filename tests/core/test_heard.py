"""What a plain Python app says with its messages of who hears of their ends, and what a revocation makes of it."""

from __future__ import annotations

from typing import Any

import pytest

from streamtasks import Attempt, AttemptOutcome, ClassTask, Middleware, StreamTasks, chain, group
from streamtasks.protocol.heard import EVERYTHING, NOTHING
from streamtasks.protocol.message import Message
from streamtasks.stores.memory import MemoryStore
from streamtasks.stores.types import NewMessage


class Listener(Middleware):
    def after_outcome(self, attempt: Attempt, outcome: AttemptOutcome) -> None:
        pass


class AsyncListener(Middleware):
    async def after_outcome_async(self, attempt: Attempt, outcome: AttemptOutcome) -> None:
        pass


class WithHook(ClassTask):
    def run(self) -> None:
        pass

    def after_return(self, *_: Any, **__: Any) -> None:
        pass


class WithoutHook(ClassTask):
    def run(self) -> None:
        pass


def app_with(*middleware: Middleware) -> StreamTasks:
    return StreamTasks(f"memory://heard-{id(middleware)}", middleware=middleware)


def noted(app: StreamTasks) -> list[str]:
    """What is noted with each message, in the order of their ids."""
    store = app.store
    assert isinstance(store, MemoryStore)
    live = {task_id: one for tag in store.tags for task_id, one in store.shard(tag).live.items()}
    store.server.flush()
    return [live[task_id].hears for task_id in sorted(live)]


@pytest.mark.parametrize(
    ("middleware", "hears"),
    [((), NOTHING), ((Middleware(),), NOTHING), ((Listener(),), EVERYTHING)],
    ids=["none", "other", "listener"],
)
def test_middleware_that_is_called_with_outcomes_hears(middleware: tuple[Middleware, ...], hears: str) -> None:
    app = app_with(*middleware)
    task = app.task(name="t")(print)
    task.enqueue(1)
    assert noted(app) == [hears]
    assert app.listens_to_ends is (hears == EVERYTHING)


def test_asynchronous_middleware_hears() -> None:
    assert app_with(AsyncListener()).listens_to_ends


def test_middleware_that_is_added_later_hears() -> None:
    app = app_with()
    task = app.task(name="t")(print)
    app.middleware.append(Listener())
    task.enqueue(1)
    assert noted(app) == [EVERYTHING]


def test_hooks_hear() -> None:
    app = app_with()
    app.register(WithHook()).enqueue()
    assert noted(app) == [EVERYTHING]
    app.register(WithoutHook()).enqueue()
    assert noted(app) == [NOTHING]


def test_link_error_hears() -> None:
    app = app_with()
    task = app.task(name="t")(print)
    task.apply_async(link_error=task.s())
    assert noted(app) == [EVERYTHING]
    task.apply_async(link=task.s())
    assert noted(app) == [NOTHING]


def test_of_a_message_of_an_unknown_task_everything_is_heard() -> None:
    app = app_with()
    app.enqueue([Message(id="a", task="elsewhere")])
    assert noted(app) == [EVERYTHING]
    app.task(name="t")(print)
    app.enqueue([Message(id="a", task="t")])
    assert noted(app) == [NOTHING]


def test_nodes_of_a_workflow_say_it_one_by_one() -> None:
    app = app_with()
    task, hooked = app.task(name="t")(print), app.register(WithHook())
    chain(group(task.s(1), hooked.si()), group(task.si(2), task.si(3)), task.s()).apply_async()
    found = noted(app)
    assert found.count(EVERYTHING) == 1
    assert set(found) == {EVERYTHING, NOTHING}


@pytest.mark.parametrize("middleware", [(), (Listener(),)], ids=["nobody", "middleware"])
def test_a_revoked_workflow_sends_callbacks_only_if_something_hears(
    store_url: str, middleware: tuple[Middleware, ...]
) -> None:
    app = StreamTasks(store_url, middleware=middleware, timeout_s=60.0)
    task = app.task(name="t")(print)
    result = chain(group(task.s(n) for n in range(250)), task.s()).apply_async()
    result.workflow.revoke()
    assert app.store.statistics().outcomes["REVOKED"] == 251
    assert app.store.statistics().unfinished == (251 if middleware else 0)


def test_a_message_says_nothing_by_default() -> None:
    assert NewMessage("a", "default", 0, b"{}").hears == EVERYTHING
