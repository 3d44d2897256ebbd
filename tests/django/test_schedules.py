"""Schedules of Django projects: ``backend.schedules``, what is declared, the checks, TIME_ZONE."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.tasks import task_backends
from django.tasks.exceptions import InvalidTask as DjangoInvalidTask
from django.tasks.signals import task_enqueued
from django.test import override_settings

from contract.app import tasks as contract_tasks
from contract.options import tasks_setting
from streamtasks import ConfigurationError
from streamtasks_django import get_task_backend
from streamtasks_django.exceptions import InvalidTask, ScheduleExists, ScheduleNotFound
from streamtasks_django.schedules import crontab, every
from streamtasks_django.tasks import declared_schedules
from streamtasks_django.worker.application import DjangoApplication
from tests.support.django_site import manage

if TYPE_CHECKING:
    from collections.abc import Iterator

tasks: Any = contract_tasks
ECHO = "contract.app.tasks.echo"


@pytest.fixture(autouse=True)
def _no_other_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the tests of this file define with a schedule is forgotten."""
    monkeypatch.setattr(declared_schedules, "_scheduled", {})


@pytest.fixture
def backend(site: str) -> Iterator[Any]:
    backend: Any = task_backends["default"]
    names = ("tick", "morning")
    for name in names:
        backend.stores.plain.delete_schedule(name)
    yield backend
    for name in names:
        backend.stores.plain.delete_schedule(name)


def declared(alias: str = "default") -> dict[str, Any]:
    backend: Any = get_task_backend(alias)
    return {one.name: one for one in DjangoApplication(backend).declared_schedules()}


def test_times_are_those_of_the_project() -> None:
    nine = crontab(hour=9, minute=0)
    assert nine.next_after(datetime(2026, 1, 1, 0, 0, tzinfo=UTC)).isoformat() == "2026-01-01T09:00:00+05:45"
    with override_settings(TIME_ZONE="Europe/Berlin"):
        assert nine.next_after(datetime.fromisoformat("2026-01-01T10:00")).isoformat() == "2026-01-02T09:00:00+01:00"
    assert crontab(hour=9, minute=0, tz="UTC").next_after(datetime(2026, 1, 1, tzinfo=UTC)).hour == 9
    assert (nine, repr(nine)) == (crontab(hour="9", minute=[0]), "crontab(minute=0, hour=9)")


def test_a_life(backend: Any) -> None:
    schedules = backend.schedules
    made = schedules.create("tick", tasks.echo, crontab(hour=9, minute=0), [1], {"a": 2}, queue_name="mail", priority=5)
    assert (made.task, made.args, made.kwargs) == (ECHO, (1,), {"a": 2})
    assert (made.options, made.rule.tz) == ({"queue": "mail", "priority": 5}, "Asia/Kathmandu")
    with pytest.raises(ScheduleExists):
        schedules.create("tick", ECHO, 60)
    changed = schedules.update("tick", schedule=every(60), args=[3], run_after=timedelta(seconds=5))
    assert (changed.rule, changed.args) == (every(60), (3,))
    assert changed.options == {"queue": "mail", "priority": 5, "countdown": 5.0}
    schedules.pause("tick")
    assert [(one.name, one.paused) for one in backend.schedules.list()] == [("tick", True)]
    schedules.delete("tick")
    with pytest.raises(ScheduleNotFound, match="There is no schedule 'tick' in the backend 'default'"):
        schedules.get("tick")


async def test_the_same_from_an_event_loop(site: str) -> None:
    schedules: Any = task_backends["default"].schedules  # type: ignore[attr-defined]
    made = await schedules.acreate("tick", ECHO, 3600)
    assert (await schedules.aupdate("tick", args=[1])).args == (1,)
    await schedules.apause("tick")
    await schedules.aresume("tick")
    result = await schedules.arun_now("tick")
    assert (result.task.name, result.args) == ("echo", [1])
    assert [one.next_run for one in await schedules.alist()] == [made.next_run]
    await schedules.adelete("tick")


def test_a_call_now_is_told_of(backend: Any) -> None:
    heard: list[Any] = []

    def hear(sender: Any, task_result: Any, **_: Any) -> None:
        heard.append(task_result.id)

    backend.schedules.create("tick", tasks.echo, 60, [1], countdown=30)
    task_enqueued.connect(hear)
    try:
        result = backend.schedules.run_now("tick")
    finally:
        task_enqueued.disconnect(hear)
    assert heard == [result.id]
    assert (result.args, result.backend, result.task.module_path) == ([1], "default", ECHO)
    known = backend.get_result(result.id)
    assert known.state == "DELAYED"
    assert abs(known.task.run_after - datetime.now(UTC) - timedelta(seconds=30)) < timedelta(seconds=20)


def test_what_is_stored_does_not_hold_the_time_it_was_made(backend: Any) -> None:
    backend.schedules.create("tick", tasks.echo, 60, countdown=30)
    definition = backend.stores.plain.schedules(["tick"])[0].definition
    assert b"run_after" not in definition
    assert backend.schedules.create("tick", tasks.echo, 60, countdown=30).options["countdown"] == 30


@pytest.mark.parametrize(
    ("more", "text"),
    [
        ({"task": "shop.nothing"}, "task is 'shop.nothing', which no tasks.py"),
        ({"task": print}, "it must be a task, its name"),
        ({"schedule": "x"}, "schedule is 'x'"),
        ({"queu": "x"}, "'queu' is no option"),
        ({"backend": "nowhere"}, "backend is 'nowhere'"),
        ({"backend": "strict"}, "goes to the backend 'strict', but this schedule belongs to 'default'"),
        ({"task_id": "x"}, "task_id is 'x'"),
        ({"eta": datetime(2026, 1, 1, tzinfo=UTC)}, "eta is "),
        ({"queue": "sp ace"}, "cannot be a queue's name"),
        ({"misfire": "x"}, "misfire is 'x'"),
    ],
)
def test_what_is_wrong_is_djangos_error_too(backend: Any, more: dict[str, Any], text: str) -> None:
    given: dict[str, Any] = {"name": "tick", "task": ECHO, "schedule": 60, **more}
    with pytest.raises(ValueError, match=text) as caught:
        backend.schedules.create(**given)
    assert isinstance(caught.value, DjangoInvalidTask) or "queue" in text
    assert backend.schedules.list() == []


@pytest.mark.parametrize("path", ["immediate.ImmediateBackend", "dummy.DummyBackend"])
def test_backends_without_schedules_say_so(path: str) -> None:
    with override_settings(TASKS={"default": {"BACKEND": f"streamtasks_django.backends.{path}"}}):
        backend: Any = get_task_backend()
        with pytest.raises(InvalidTask, match=r"'default' \(.*Backend\) has no schedules. Use RedisBackend"):
            _ = backend.schedules


def test_a_worker_tells_others_which_tasks_it_knows() -> None:
    backend: Any = get_task_backend("default")
    application = DjangoApplication(backend)
    known = application.task_names()
    assert {ECHO, "contract.app.tasks.add", "contract.elsewhere.elsewhere"} <= set(known)
    assert all(application.find(name) is not None for name in known if name.startswith("contract."))


def test_it_belongs_to_the_definition(site: str) -> None:
    with pytest.raises(InvalidTask, match=r"schedule belongs to the definition of a task; using\(\) cannot"):
        tasks.echo.using(schedule=5)


def test_a_setting_that_is_no_dict_stops_a_worker(site: str) -> None:
    with override_settings(TASK_SCHEDULE=[1]), pytest.raises(ConfigurationError, match=r"TASK_SCHEDULE is \[1\]"):
        declared()


def test_the_command_line_finds_the_project(site_url: str) -> None:
    from click.testing import CliRunner

    from streamtasks_workers.cli.schedules import schedules_command

    with override_settings(TASKS=tasks_setting(site_url, "line:")):

        def run(*words: str) -> tuple[int, str]:
            found = CliRunner().invoke(schedules_command, words)
            return found.exit_code, found.output

        assert run("create", "tick", ECHO, "--every", "60")[0] == 0
        assert (
            run("--backend", "strict", "create", "tock", ECHO, "--every", "5", "--options", '{"backend": "strict"}')[0]
            == 0
        )
        listed = run("list")[1]
        assert "default: tick" in listed
        assert "strict: tock" in listed
        assert run("delete", "tick") == (0, "tick: deleted\n")
        assert run("--backend", "strict", "delete", "tock", "--force") == (0, "tock: deleted\n")


def test_manage_py_has_the_same_words(site_url: str) -> None:
    there = {"CONTRACT_URL": site_url, "CONTRACT_PREFIX": "manage:"}
    shown = manage("streamtasks_schedules", "--backend", "default", "list", **there)
    assert (shown.returncode, shown.stdout.split()[:3]) == (0, ["name", "task", "rule"]), shown.stderr
    missing = manage("streamtasks_schedules", "show", "x", **there)
    assert (missing.returncode, "There is no schedule 'x'" in missing.stderr) == (1, True), missing.stderr


# -- system checks ---------------------------------------------------------------------------------------
