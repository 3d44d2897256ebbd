"""Schedules of Django projects: ``backend.schedules``, what is declared, the checks, TIME_ZONE."""

from __future__ import annotations

import importlib
import logging
import os
import pickle
import sys
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.core.checks import run_checks
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
from streamtasks_django.tasks import declared_schedules, names
from streamtasks_django.worker.application import DjangoApplication
from tests.support.django_site import manage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

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


SHOP = """
from streamtasks_django import Task, task
from streamtasks_django.schedules import crontab

@task(schedule=crontab(minute=5), queue="mail")
def hourly(): ...

@task(name="shop.strictly", backend="strict", queue="mail", schedule={"schedule": 60, "args": [1], "misfire": "skip"})
def strictly(number): ...

class Tidy(Task):
    schedule = 3600

    def run(self): ...

tidy = Tidy()
"""


@pytest.fixture
def shop(site: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Any]]:
    """Make a module with tasks."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(names, "_named", {})

    def make(source: str) -> Any:
        (tmp_path / "some_shop.py").write_text(source)
        return importlib.import_module("some_shop")

    yield make
    sys.modules.pop("some_shop", None)


def test_what_a_project_declares(shop: Callable[[str], Any], caplog: pytest.LogCaptureFixture) -> None:
    module = shop(SHOP)
    copy = module.hourly.using(queue="default").using(priority=3)
    assert copy.schedule is module.hourly.schedule
    assert pickle.loads(pickle.dumps(module.hourly)) == module.hourly
    assert hash(module.strictly) == hash(module.strictly.using())
    entries = {
        "morning": {"task": ECHO, "schedule": crontab(hour=9, minute=0), "args": [1], "options": {"queue": "mail"}},
        "elsewhere": {"task": ECHO, "schedule": 60, "options": {"backend": "strict"}},
        "routed": {"task": "contract.app.tasks.add", "schedule": 60},
        "unknown": {"task": "shop.nothing", "schedule": 60},
        "wrong": {"task": ECHO, "schedule": 60, "arg": [1]},
    }
    routes = {"contract.app.tasks.add": {"backend": "strict"}}
    with override_settings(TASK_SCHEDULE=entries, TASK_ROUTES=routes), caplog.at_level(logging.ERROR):
        found, strict = declared(), declared("strict")
    assert list(found) == ["morning", "some_shop.hourly", "some_shop.tidy"]
    assert found["morning"].rule.as_dict()["tz"] == "Asia/Kathmandu"
    assert found["morning"].signature.options.queue == found["some_shop.hourly"].signature.options.queue == "mail"
    assert (found["some_shop.tidy"].rule, found["some_shop.tidy"].signature.task) == (every(3600), "some_shop.tidy")
    assert list(strict) == ["elsewhere", "routed", "shop.strictly"]
    assert (strict["shop.strictly"].signature.args, strict["shop.strictly"].misfire) == ((1,), "skip")
    assert [record.getMessage().split("'")[1] for record in caplog.records] == ["unknown", "wrong"]


def test_declarations_belong_to_the_settings_module_and_the_alias(monkeypatch: pytest.MonkeyPatch) -> None:
    """So another project on the same server and prefix, also with an alias "default", deletes none of them."""
    backend: Any = get_task_backend("default")
    application = DjangoApplication(backend)
    module = os.environ["DJANGO_SETTINGS_MODULE"]
    assert application.project_name == f"{module}:default"
    with override_settings(DEBUG=True):
        assert application.project_name == f"{module}:default"
        monkeypatch.delenv("DJANGO_SETTINGS_MODULE")
        assert application.project_name in {f"{module}:default", "default"}, "settings.configure() names no module"


def test_a_worker_tells_others_which_tasks_it_knows() -> None:
    backend: Any = get_task_backend("default")
    application = DjangoApplication(backend)
    known = application.task_names()
    assert {ECHO, "contract.app.tasks.add", "contract.elsewhere.elsewhere"} <= set(known)
    assert all(application.find(name) is not None for name in known if name.startswith("contract."))


def test_a_module_that_is_loaded_anew_declares_once(shop: Callable[[str], Any]) -> None:
    module = shop(SHOP)
    importlib.reload(module)
    assert [name for name, _ in declared_schedules.entries()] == ["some_shop.hourly", "shop.strictly", "some_shop.tidy"]


@pytest.mark.parametrize(
    ("schedule", "text"),
    [
        ("'never'", "schedule is 'never'"),
        ("{'schedule': 5, 'arg': []}", "unknown key 'arg'"),
        ("{'schedule': 5, 'options': {'queu': 1}}", "'queu' is no option"),
        ("{'task': 'x', 'schedule': 5}", "leave out 'task'"),
    ],
)
def test_a_wrong_schedule_of_a_task_is_an_error_where_it_stands(
    shop: Callable[[str], Any], schedule: str, text: str
) -> None:
    with pytest.raises(InvalidTask, match=text):
        shop(f"from streamtasks_django import task\n@task(schedule={schedule})\ndef tick(): ...")
    assert list(declared_schedules.entries()) == []


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


@pytest.mark.parametrize(
    ("entries", "expected"),
    [
        ([1], "The setting TASK_SCHEDULE is [1]; it must be a dict"),
        ({5: {}}, "The setting TASK_SCHEDULE is {5: {}}; it must be a dict"),
        ({"a": 5}, "TASK_SCHEDULE['a']: it is 5; it must be a dict such as"),
        ({"a": {"schedule": 5}}, "TASK_SCHEDULE['a']: it has no 'task'."),
        ({"a": {"task": ECHO}}, "TASK_SCHEDULE['a']: it has no 'schedule'."),
        ({"a": {"task": "no.such", "schedule": 5}}, "TASK_SCHEDULE['a']: task is 'no.such', which no tasks.py"),
        ({"a": {"task": ECHO, "schedule": 5, "arg": 1}}, "it has the unknown key 'arg'. Did you mean 'args'?"),
        ({"a": {"task": ECHO, "schedule": "0 25 * * *"}}, "TASK_SCHEDULE['a']: crontab(): hour is '25'"),
        ({"a": {"task": ECHO, "schedule": 5, "args": 1}}, "TASK_SCHEDULE['a']: args is 1"),
        ({"a": {"task": ECHO, "schedule": 5, "options": {"queu": 1}}}, "'queu' is no option of a call. Did you mean"),
        ({"a": {"task": ECHO, "schedule": 5, "options": 1}}, "TASK_SCHEDULE['a']: options is 1"),
        ({"a": {"task": ECHO, "schedule": 5, "misfire": "x"}}, "TASK_SCHEDULE['a']: misfire is 'x'"),
        ({"a": {"task": ECHO, "schedule": 5, "misfire_bound": 0}}, "TASK_SCHEDULE['a']: misfire_bound is 0"),
        (
            {"a": {"task": ECHO, "schedule": 5, "options": {"backend": "defualt"}}},
            "TASK_SCHEDULE['a']: backend is 'defualt', which is not an alias of TASKS. Did you mean 'default'?",
        ),
        (
            {"a": {"task": ECHO, "schedule": 5, "options": {"backend": "strict", "queue": "other"}}},
            "TASK_SCHEDULE['a']: Queue 'other' is not valid for backend 'strict'; its QUEUES are",
        ),
        ({"": {"task": ECHO, "schedule": 5}}, "TASK_SCHEDULE['']: '' cannot be a schedule's name"),
    ],
)
def test_a_wrong_entry_is_an_error_of_check(site: str, entries: Any, expected: str) -> None:
    with override_settings(TASK_SCHEDULE=entries):
        [found] = [one for one in run_checks() if str(one.id).startswith("streamtasks.E")]
    assert (found.id, expected in found.msg) == ("streamtasks.E011", True), found.msg


def test_two_of_one_name_are_an_error_of_check(shop: Callable[[str], Any]) -> None:
    shop(SHOP)
    with override_settings(TASK_SCHEDULE={"some_shop.hourly": {"task": ECHO, "schedule": 5}}):
        found = [one for one in run_checks() if str(one.id).startswith("streamtasks.E")]
    assert [(one.id, one.msg) for one in found] == [
        ("streamtasks.E012", "schedule of the task some_shop.hourly: TASK_SCHEDULE has an entry of that name, too.")
    ]


def test_documented_entries_bring_no_message(shop: Callable[[str], Any]) -> None:
    shop(SHOP)
    entries = {
        "morning": {"task": ECHO, "schedule": crontab(hour=9, minute=0), "args": [1]},
        "all": {
            "task": tasks.echo, "schedule": timedelta(minutes=5), "args": (1,), "kwargs": {"a": 1},
            "options": {"queue": "mail", "priority": 9, "expires": 60, "countdown": 5}, "misfire": "all",
            "misfire_bound": timedelta(hours=1),
        },
        "signature": {"task": tasks.echo.s(1).set(queue="mail"), "schedule": "*/5 * * * *"},
    }  # fmt: skip
    with override_settings(TASK_SCHEDULE=entries):
        assert [one for one in run_checks() if str(one.id).startswith("streamtasks.E")] == []
        assert {"morning", "all", "signature"} < set(declared())


def test_a_project_that_is_tested_without_schedules_checks_well() -> None:
    immediate = {"default": {"BACKEND": "streamtasks_django.backends.immediate.ImmediateBackend"}}
    entries = {"morning": {"task": ECHO, "schedule": crontab(hour=9, minute=0), "args": [1]}}
    with override_settings(TASKS=immediate, TASK_SCHEDULE=entries):
        assert [one for one in run_checks() if "streamtasks" in str(one.id)] == []
