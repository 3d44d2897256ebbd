"""Schedules that a project declares: in its code, in its settings, and what a check says about them."""

from __future__ import annotations

import importlib
import logging
import os
import pickle
import sys
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.core.checks import run_checks
from django.test import override_settings

from contract.app import tasks as contract_tasks
from streamtasks_django import get_task_backend
from streamtasks_django.exceptions import InvalidTask
from streamtasks_django.schedules import crontab, every
from streamtasks_django.tasks import declared_schedules, names
from streamtasks_django.worker.application import DjangoApplication

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

tasks: Any = contract_tasks
ECHO = "contract.app.tasks.echo"


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


@pytest.fixture(autouse=True)
def _no_other_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the tests of this file define with a schedule is forgotten."""
    monkeypatch.setattr(declared_schedules, "_scheduled", {})


def declared(alias: str = "default") -> dict[str, Any]:
    backend: Any = get_task_backend(alias)
    return {one.name: one for one in DjangoApplication(backend).declared_schedules()}


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
