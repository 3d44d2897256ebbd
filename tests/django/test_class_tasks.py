"""Tasks as classes, without a worker: what they are, and how they are called."""

from __future__ import annotations

import copy
import pickle
import threading
from typing import Any

import pytest
from django.tasks import default_task_backend
from django.tasks.exceptions import InvalidTask

from contract.app import classes, documented
from streamtasks_django import Task
from streamtasks_django.tasks.registry import find_task

pytestmark = pytest.mark.usefixtures("site")


def test_class_attributes_are_options() -> None:
    one: Any = classes.data_migration_task
    assert (one.name, one.max_retries, one.time_limit) == ("data_migration", 1, 7200)
    assert (one.run_options().retry_delay_s, one.run_options().has_hooks) == (0.05, True)
    other: Any = classes.file_processing_task
    assert (other.queue_name, other.run_options().has_hooks) == ("high_priority", False)
    with pytest.raises(AttributeError, match="change it with using"):
        one.max_retries = 5


def test_it_is_known_by_its_name_or_by_the_path_of_its_instance() -> None:
    assert find_task("data_migration") is classes.data_migration_task
    assert find_task("contract.app.classes.unnamed") is classes.unnamed
    assert classes.data_migration_task.module_path == "contract.app.classes.data_migration_task"
    assert classes.unnamed.registered_name == "contract.app.classes.unnamed"


def test_it_is_enqueued_like_any_task() -> None:
    result: Any = classes.data_migration_task.delay(migration_type="x", batch_size=5, name="mine")
    assert result.kwargs == {"migration_type": "x", "batch_size": 5, "name": "mine"}
    read: Any = default_task_backend.get_result(result.id)
    assert read.task == classes.data_migration_task
    assert isinstance(read.task, classes.DataMigrationTask)
    result = classes.file_processing_task.using(priority=3).apply_async(["p"], queue="other", countdown=60)
    read = default_task_backend.get_result(result.id)
    assert (read.task.priority, read.task.queue_name, read.state) == (3, "other", "DELAYED")
    assert classes.unnamed.s(1).task == "contract.app.classes.unnamed"


@pytest.mark.parametrize("name", ["data_migration_task", "file_processing_task", "unnamed"])
def test_it_can_be_copied_pickled_and_hashed(name: str) -> None:
    one = getattr(classes, name)
    for changed in (one, one.using(priority=7, max_retries=9)):
        for again in (pickle.loads(pickle.dumps(changed)), copy.deepcopy(changed)):
            assert again == changed
            assert hash(again) == hash(changed)
            assert type(again) is type(one)


def test_every_direct_call_has_a_copy_to_itself() -> None:
    file: Any = classes.file_processing_task
    assert file("p", width=3) == ["p", {"width": 3}, 1]
    assert file("p") == ["p", {}, 1]
    assert file.seen == 0
    assert not hasattr(classes.data_migration_task, "migration_type")
    found: list[Any] = []
    threads = [threading.Thread(target=lambda n=n: found.append(file(str(n)))) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [seen for *_, seen in found] == [1, 1, 1, 1]


async def test_a_class_may_have_a_coroutine_function() -> None:
    assert await classes.unnamed.acall("x") == ["x", "contract.app.classes.unnamed", "Unnamed"]
    assert await classes.file_processing_task.acall("p") == ["p", {}, 1]


def test_a_coroutine_function_can_be_called_plainly() -> None:
    assert classes.unnamed.call("x") == ["x", "contract.app.classes.unnamed", "Unnamed"]


def test_wrong_classes_are_refused_when_they_are_made() -> None:
    class NoRun(Task):
        pass

    class Twice(Task):
        name = "data_migration"

        def run(self) -> None: ...

    class AsyncHook(Task):
        def run(self) -> None: ...

        async def on_success(self, *args: Any) -> None: ...  # type: ignore[override]

    class Context(Task):
        takes_context = True

        def run(self) -> None: ...

    class Limit(Task):
        time_limit = -1

        def run(self) -> None: ...

    for cls, named in (
        (NoRun, "has no run"),
        (Twice, r"Two tasks are named 'data_migration': contract.app.classes.DataMigrationTask and .*Twice"),
        (AsyncHook, "on_success is a coroutine function"),
        (Context, "takes_context is for functions"),
        (Limit, "time_limit is -1"),
        (classes.DataMigrationTask, "Two tasks are named"),
    ):
        cls.__qualname__ = cls.__name__  # as if it stood in the module
        with pytest.raises(InvalidTask, match=named):
            cls()


def test_a_bound_function_knows_its_own_options() -> None:
    robust: Any = documented.robust
    assert robust(0)["max_retries"] == 2
