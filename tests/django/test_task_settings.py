"""The settings TASK_...: what they mean to stores and workers, and what the system checks say of wrong ones."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.core.checks import run_checks
from django.test import override_settings

from contract.app import tasks as contract_tasks
from streamtasks import ConfigurationError
from streamtasks_django import plugin
from streamtasks_django.conf import options, project, task_settings

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.django_site import DjangoWorker

tasks: Any = contract_tasks
BACKEND = "streamtasks_django.backends.redis.RedisBackend"


def messages(**settings: Any) -> list[tuple[str, str]]:
    with override_settings(**settings):
        found = run_checks()
    return [(str(one.id).removeprefix("streamtasks."), one.msg) for one in found if "streamtasks" in str(one.id)]


def test_documented_settings_bring_no_message() -> None:
    assert (
        messages(
            TASKS={"default": {"BACKEND": BACKEND}, "redis": {"BACKEND": BACKEND}},
            TASK_ROUTES={
                "myapp.tasks.send_email": {"backend": "default"},
                "myapp.tasks.process_image": {"backend": "redis"},
            },
            TASK_WORKERS={
                "default": {"concurrency": 4, "max_tasks_per_worker": 100, "timeout": 300},
                "redis": {"concurrency": 8, "max_tasks_per_worker": 50, "timeout": 600},
            },
            TASK_SERIALIZER="json",
            TASK_RESULT_EXPIRES=3600,
            TASK_DEFAULT_RETRY_DELAY=60,
            TASK_MAX_RETRIES=3,
            TASK_SEND_EVENTS=True,
            TASK_TRACK_STARTED=False,
        )
        == []
    )


@pytest.mark.parametrize(
    ("settings", "expected", "named"),
    [
        ({"TASK_MAX_RETRIES": -1}, "E009", "The setting TASK_MAX_RETRIES is -1"),
        ({"TASK_DEFAULT_RETRY_DELAY": "1m"}, "E009", "The setting TASK_DEFAULT_RETRY_DELAY is '1m'"),
        ({"TASK_SEND_EVENTS": 1}, "E009", "The setting TASK_SEND_EVENTS is 1"),
        ({"TASK_TRACK_STARTED": "yes"}, "E009", "The setting TASK_TRACK_STARTED is 'yes'"),
        ({"TASK_ROUTES": {"x": {"que": "mail"}}}, "E010", "unknown key 'que'"),
        ({"TASK_ROUTES": {"x": {"backend": "nowhere"}}}, "E010", "'nowhere', which is not an alias of TASKS"),
        (
            {"TASK_ROUTES": {"x": {"backend": "strict", "queue": "q"}}},
            "E010",
            "which is not in QUEUES of TASKS['strict']",
        ),
        ({"TASK_ROUTE": {}}, "W004", "The setting TASK_ROUTE is unknown. Did you mean 'TASK_ROUTES'?"),
        (
            {"TASK_WORKERS": {"defualt": {}}},
            "W005",
            "TASK_WORKERS has 'defualt', which is not an alias of TASKS. Did you",
        ),
        ({"TASK_WORKERS": {"strict": {"concurency": 4}}}, "E004", "unknown key 'concurency'"),
        ({"TASK_WORKERS": {"strict": {"timeout": -4}}}, "E004", "time_limit_s is -4"),
    ],
)
def test_a_wrong_setting_is_named(site: str, settings: Any, expected: str, named: str) -> None:
    # The project in memory gives its backend a url, which that needs nowhere else.
    [(identity, message)] = [found for found in messages(**settings) if found[0] != "W001"]
    assert (identity, named in message) == (expected, True), message


def test_contradictions_are_named() -> None:
    backend = {"BACKEND": BACKEND, "OPTIONS": {"worker": {"concurrency": 2}, "max_retries": -1}}
    found = messages(TASKS={"default": backend}, TASK_WORKERS={"default": {"concurrency": 4}})
    assert [identity for identity, _ in found] == ["E001", "W007"]
    assert "which takes effect" in found[1][1]


def test_how_long_results_are_kept() -> None:
    assert options.store_settings("x", {}).result_expires_s == 86_400
    with override_settings(TASK_RESULT_EXPIRES=3600):
        assert options.store_settings("x", {}).result_expires_s == 3600
        assert options.store_settings("x", {"result_expires": 7200}).result_expires_s == 7200
        assert options.store_settings("x", {}).failure_expires_s == 7 * 86_400
    with override_settings(TASK_RESULT_EXPIRES=timedelta(hours=2)):
        assert options.store_settings("x", {}).result_expires_s == 7200
    with override_settings(TASK_RESULT_EXPIRES=0), pytest.raises(ConfigurationError, match="TASK_RESULT_EXPIRES is 0"):
        options.store_settings("x", {})


def test_options_of_workers_lie_on_top_of_each_other() -> None:
    said = {"default": {"concurrency": 4, "max_tasks_per_worker": 100, "timeout": timedelta(minutes=5)}}
    with override_settings(TASK_WORKERS=said, STREAMTASKS={"WORKER": {"threads": 3, "concurrency": 1}}):
        assert project.worker_defaults({"worker": {"concurrency": 9}}, "default") == {
            "concurrency": 9,
            "threads": 3,
            "max_tasks_per_child": 100,
            "time_limit_s": 300,
        }
        [application] = plugin.load(None, ["strict"])
        assert application.worker_defaults == {"threads": 3, "concurrency": 1}


def test_retries_of_an_alias() -> None:
    backend = {"BACKEND": BACKEND, "OPTIONS": {"max_retries": 5, "default_retry_delay": timedelta(seconds=2)}}
    with override_settings(TASKS={"default": backend}, TASK_MAX_RETRIES=9, TASK_DEFAULT_RETRY_DELAY=8):
        options = tasks.add.run_options()
        assert (options.max_retries, options.retry_delay_s) == (5, 2)


def test_an_exact_name_wins_over_globs_and_an_earlier_glob_over_a_later() -> None:
    routes = {"a.*": {"queue": "1"}, "a.b": {"queue": "2"}, "*": {"queue": "3"}, "c.[de]": {"priority": 1}}
    with override_settings(TASK_ROUTES=routes):
        assert task_settings.route_of("a.b").queue == "2"
        assert task_settings.route_of("a.c").queue == "1"
        assert task_settings.route_of("c.d") == task_settings.Route(queue="3")
        assert task_settings.route_of("named", "x.a.b").queue == "3"


def test_the_timeout_of_a_worker_ends_tasks_without_a_limit(embedded_site_url: str, tmp_path: Path) -> None:
    from contract.options import tasks_setting
    from tests.support.django_site import DjangoWorker

    served: DjangoWorker
    more = {"CONTRACT_WORKERS": '{"default": {"concurrency": 1, "timeout": 0.3}}'}
    with (
        override_settings(TASKS=tasks_setting(embedded_site_url, "limited:")),
        DjangoWorker(tmp_path, embedded_site_url, "limited:", **more) as served,
    ):
        result: Any = tasks.sleep.delay(20)
        served.finish(result)
        assert result.errors[-1].exception_class_path == "streamtasks.exceptions.TimeLimitExceeded"
