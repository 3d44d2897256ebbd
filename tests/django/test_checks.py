"""``manage.py check`` in a project like the README's: the app is installed, and nothing imports ``django.tasks``."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

REDIS = "streamtasks_django.backends.redis.RedisBackend"
SENTINEL = "streamtasks_django.backends.redis.RedisSentinelBackend"
SERVER = {"url": "redis://127.0.0.1:1/0"}
SERVICE: dict[str, Any] = {"sentinels": [("127.0.0.1", 1), ("127.0.0.1", 2)], "service_name": "main"}

SCRIPT = """
import json, os, sys

import django.core.management  # what the children share is imported once
import streamtasks.schedules.schedules, streamtasks.stores.factory, streamtasks_workers.cli.main

for configuration in json.load(sys.stdin):
    child = os.fork()
    if child == 0:
        from django.conf import settings

        settings.configure(INSTALLED_APPS=["streamtasks_django"], SECRET_KEY="x", **configuration["settings"])
        import django

        assert "django.tasks" not in sys.modules
        django.setup()
        from django.core.checks import run_checks

        found = run_checks(include_deployment_checks=configuration["deploy"])
        ours = [[str(one.id), one.msg] for one in found if str(one.id).startswith("streamtasks")]
        print(json.dumps(ours), flush=True)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0, configuration
"""


def checked(*configurations: dict[str, Any], deploy: bool = False) -> list[list[tuple[str, str]]]:
    """Return the messages of the system checks of each configuration, (id, text) each."""
    given = json.dumps([{"settings": settings, "deploy": deploy} for settings in configurations])
    done = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", SCRIPT],
        input=given,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [[(found[0], found[1]) for found in json.loads(line)] for line in done.stdout.splitlines()]


def tasks(options: Any = None, **more: Any) -> dict[str, Any]:
    """Return a setting TASKS with one alias."""
    return {"default": {"BACKEND": REDIS, "OPTIONS": SERVER if options is None else options, **more}}


def in_sql(isolation_level: int) -> dict[str, Any]:
    """Return settings with one alias in PostgreSQL, whose transactions have this level."""
    engine = {"ENGINE": "django.db.backends.postgresql", "NAME": "x", "OPTIONS": {"isolation_level": isolation_level}}
    tasks = {"default": {"BACKEND": "streamtasks_django.backends.database.DatabaseBackend", "OPTIONS": {}}}
    return {"DATABASES": {"default": engine}, "TASKS": tasks}


def by_sentinels(**options: Any) -> dict[str, Any]:
    """Return the setting TASKS with one alias whose master Sentinels know."""
    return {"TASKS": {"default": {"BACKEND": SENTINEL, "OPTIONS": {**SERVICE, **options}}}}


WRONG: list[tuple[dict[str, Any], str, str]] = [
    ({"TASKS": tasks({"url": "http://127.0.0.1"})}, "E001", "http://127.0.0.1"),
    ({"TASKS": tasks({"url": 6379})}, "E001", "6379"),
    ({"TASKS": tasks({"url": "redis://127.0.0.1/tasks"})}, "E001", "tasks"),
    ({"TASKS": tasks({"connection": {"host": "a", "port": "abc"}})}, "E001", "'abc'"),
    ({"TASKS": tasks({**SERVER, "connection": {"host": "a"}})}, "E001", "url and connection"),
    ({"TASKS": tasks({**SERVER, "result_expires": -1})}, "E001", "-1"),
    ({"TASKS": tasks({**SERVER, "serializer": "yaml"})}, "E001", "'yaml'"),
    ({"TASKS": tasks({**SERVER, "compression": "rar"})}, "E001", "'rar'"),
    ({"TASKS": tasks(["url"])}, "E001", "['url']"),
    ({"TASKS": tasks(QUEUES=["a b"])}, "E002", "'a b'"),
    (
        {"TASKS": {**tasks({**SERVER, "key_prefix": "x:"}), "b": tasks({**SERVER, "key_prefix": "x:"})["default"]}},
        "E003",
        "same keys",
    ),
    ({"TASKS": tasks({**SERVER, "worker": {"concurrency": -1}})}, "E004", "concurrency"),
    ({"TASKS": tasks(), "STREAMTASKS": {"MIDDLEWARE": ["no.such.Class"]}}, "E005", "no.such.Class"),
    ({"TASKS": tasks(), "STREAMTASKS": [1]}, "E006", "[1]"),
    ({"TASKS": tasks(), "TASK_IMPORTS": "shop.tasks"}, "E006", "shop.tasks"),
    ({"TASKS": tasks(), "STREAMTASKS": {"MAY_VIEW_TASK": "no.such.function"}}, "E008", "no.such.function"),
    ({"TASKS": tasks(), "TASK_MAX_RETRIES": -1}, "E009", "-1"),
    ({"TASKS": tasks(), "TASK_ROUTES": {"shop.*": {"que": "mail"}}}, "E010", "'que'"),
    ({"TASKS": tasks(), "TASK_SCHEDULE": {"nightly": {"schedule": "0 3 * * *"}}}, "E011", "nightly"),
    ({"TASKS": tasks({}, url="redis://127.0.0.1:1/0")}, "E013", "'url' beside OPTIONS"),
    ({"TASKS": tasks({**SERVER, "key_prefx": "x:"})}, "W001", "'key_prefix'"),
    ({"TASKS": tasks(), "STREAMTASKS": {"WORKERS": {}}}, "W002", "'WORKER'"),
    ({"TASKS": tasks(), "TASK_ROUTE": {}}, "W004", "'TASK_ROUTES'"),
    ({"TASKS": tasks(), "TASK_WORKERS": {"defualt": {}}}, "W005", "'default'"),
    ({"TASKS": tasks(QUEUE=["mail"])}, "W008", "'QUEUES'"),
    (by_sentinels(service_name=None), "E001", "service_name is None"),
    (by_sentinels(sentinels=None), "E001", "sentinels is None"),
    (by_sentinels(sentinels="s1:26379"), "E001", "[('host', 26379)]"),
    (by_sentinels(sentinels=["s1", ("s2", "abc")]), "E001", "sentinels[1] is"),
    (by_sentinels(sentinels=[["s1"]]), "E001", "sentinels[0] is ['s1']"),
    (by_sentinels(connection={"host": "a"}), "E001", "leaves that to Sentinels"),
    (by_sentinels(connection={"usrname": "a"}), "E001", "usrname"),
    (by_sentinels(sentinel_connection="x"), "E001", "sentinel_connection is of type str"),
    (by_sentinels(sentinel_connection={"pasword": "x"}), "E001", "pasword"),
    (by_sentinels(servce_name="x"), "W001", "'service_name'"),
    (in_sql(3), "E016", "REPEATABLE READ, but DatabaseBackend needs READ COMMITTED"),
    (in_sql(4), "E016", "SERIALIZABLE, but"),
]


def test_a_right_configuration_gives_no_message() -> None:
    secrets = {"connection": {"username": "a", "password": "b", "ssl": True}, "sentinel_connection": {"password": "c"}}
    assert checked({"TASKS": tasks()}, by_sentinels(), by_sentinels(**secrets), in_sql(2)) == [[], [], [], []]


@pytest.mark.slow
def test_each_wrong_configuration_gives_a_message() -> None:
    found = checked(*(settings for settings, _, _ in WRONG))
    assert len(found) == len(WRONG)
    for messages, (settings, wanted, text) in zip(found, WRONG, strict=True):
        assert [one for one, _ in messages] == [f"streamtasks.{wanted}"], settings
        assert text in messages[0][1]


def test_sentinels_need_their_own_backend() -> None:
    [messages] = checked({"TASKS": tasks(SERVICE)})
    assert [one for one, _ in messages] == ["streamtasks.W001", "streamtasks.W001", "streamtasks.E001"]
    assert "RedisSentinelBackend" in messages[2][1]


def test_deployment_checks_ask_the_server() -> None:
    for found in checked({"TASKS": tasks()}, by_sentinels(), deploy=True):
        assert [one for one, _ in found] == ["streamtasks.W003"]
        assert "127.0.0.1:1" in found[0][1]


@pytest.mark.parametrize("installed", [["streamtasks_django"], ["streamtasks_django.apps.StreamTasksConfig"]])
def test_the_command_fails_for_an_error(installed: list[str]) -> None:
    code = (
        "from django.conf import settings\n"
        f"settings.configure(INSTALLED_APPS={installed!r}, TASKS={tasks({'url': 5})!r})\n"
        "from django.core.management import execute_from_command_line\n"
        "execute_from_command_line(['manage.py', 'check'])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 1
    assert "(streamtasks.E001) TASKS['default']['OPTIONS']: url is 5" in done.stderr
