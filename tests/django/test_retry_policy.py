"""``max_attempts`` and ``backoff``, as they are proposed for Django."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from django.tasks import task_backends
from django.test import override_settings

from contract.app import tasks
from streamtasks import ConfigurationError
from streamtasks_django import task
from streamtasks_django.checks import check_backend
from streamtasks_django.exceptions import InvalidTask

if TYPE_CHECKING:
    from tests.support.django_site import DjangoWorker

attempted: Any = tasks.attempted
NAME = "contract.app.tasks.attempted"


def local(name: str, **params: Any) -> dict[str, Any]:
    path = f"streamtasks_django.backends.{name}.{name.capitalize()}Backend"
    options = {"autostart": False, "url": "memory://attempts"} if name == "memory" else {}
    return {"default": {"BACKEND": path, "OPTIONS": options, **params}}


def finished(called: Any, *args: Any) -> Any:
    result = called.enqueue(*args)
    backend: Any = task_backends["default"]
    if hasattr(backend, "run_until_idle"):
        backend.run_until_idle()
        result.refresh()
    return result


@pytest.mark.parametrize("name", ["memory", "immediate"])
class TestRuns:
    def test_attempts_end(self, name: str, capsys: pytest.CaptureFixture[str]) -> None:
        with override_settings(TASKS=local(name)):
            result = finished(attempted, "os")
        assert (result.status, result.attempts) == ("FAILED", 3)
        assert [error.exception_class for error in result.errors] == [OSError] * 3
        first = f"backoff {result.id} OSError('os') FAILED 1 builtins.OSError"
        assert capsys.readouterr().out.splitlines() == [first, first.replace(" 1 ", " 2 ")]

    def test_one_that_succeeds_in_time(self, name: str) -> None:
        with override_settings(TASKS=local(name)):
            result = finished(attempted, "third")
        assert (result.return_value, result.attempts) == (3, 3)

    def test_the_function_may_end_it(self, name: str) -> None:
        with override_settings(TASKS=local(name)):
            result = finished(attempted, "value")
        assert (result.status, result.attempts) == ("FAILED", 1)

    @pytest.mark.parametrize("backoff", [lambda *_: 1 / 0, lambda *_: "soon", lambda *_: -1])
    def test_a_broken_function_ends_it(self, name: str, backoff: Any, caplog: pytest.LogCaptureFixture) -> None:
        with override_settings(TASKS=local(name, BACKOFF=backoff)):
            result = finished(tasks.fail, "plain")
        assert (result.status, result.attempts) == ("FAILED", 1)
        assert "so it is not retried" in caplog.text

    def test_the_settings_of_an_alias(self, name: str) -> None:
        asked: list[int] = []

        def backoff(exception: BaseException, task_result: Any) -> float:
            asked.append(task_result.attempts)
            return 0

        with override_settings(TASKS=local(name, MAX_ATTEMPTS=4, BACKOFF=backoff)):
            result = finished(tasks.fail, "plain")
            own = finished(attempted, "os")
        assert (result.attempts, own.attempts, asked) == (4, 3, [1, 2, 3])

    def test_a_function_by_its_path_and_no_number(self, name: str) -> None:
        with override_settings(TASKS=local(name, BACKOFF="contract.app.tasks.backoff")):
            assert finished(tasks.fail, "plain").attempts == 1, "a ValueError"


def test_a_worker_does_the_same(worker: DjangoWorker) -> None:
    results = [attempted.enqueue(kind) for kind in ("os", "third", "value")]
    assert [worker.finish(result).attempts for result in results] == [3, 3, 1]
    assert [result.status for result in results] == ["FAILED", "SUCCESSFUL", "FAILED"]
    assert f"backoff {results[1].id} OSError('third') FAILED 2 builtins.OSError" in worker.logged()


def plain() -> None:
    """A task to be."""


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"max_attempts": 0}, "max_attempts is 0"),
        ({"max_attempts": 3, "max_retries": 2}, "give one of them"),
        ({"backoff": 30}, "backoff is 30; it must be a function"),
    ],
)
def test_wrong_options_are_refused(options: Any, text: str) -> None:
    with override_settings(TASKS=local("memory")), pytest.raises(InvalidTask, match=text):
        task(**options)(plain)


def test_a_similar_name_is_suggested() -> None:
    wrong: Any = {"max_atempts": 3}
    with override_settings(TASKS=local("memory")), pytest.raises(TypeError, match="Did you mean 'max_attempts'"):
        task(**wrong)(plain)


def test_they_belong_to_the_definition() -> None:
    with pytest.raises(InvalidTask, match="max_attempts belongs to the definition"):
        attempted.using(max_attempts=3)


@pytest.mark.parametrize(
    ("params", "text"),
    [
        ({"MAX_ATTEMPTS": "many"}, "MAX_ATTEMPTS is 'many'"),
        ({"BACKOFF": 30}, "BACKOFF is 30; it must be a function"),
        ({"BACKOFF": "no.such"}, "BACKOFF is 'no.such', which cannot be imported"),
    ],
)
def test_wrong_settings_are_reported(params: Any, text: str) -> None:
    with override_settings(TASKS=local("memory", **params)):
        backend: Any = task_backends["default"]
        found = [(one.id, one.msg) for one in check_backend(backend)]
        assert found[0][0] == "streamtasks.E001"
        assert text in found[0][1]
        with pytest.raises(ConfigurationError, match=text):
            tasks.fail.run_options()  # type: ignore[attr-defined]
