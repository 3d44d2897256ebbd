"""The view with the metrics of what lies in all stores."""

from __future__ import annotations

import pytest
from django.test import RequestFactory, override_settings

from contract.app import tasks
from contract.options import tasks_setting
from streamtasks_django.metrics import metrics
from tests.support.unreachable import closed_port


@pytest.mark.usefixtures("server_and_memory")
def test_what_waits_is_shown() -> None:
    tasks.echo.enqueue(1)
    answer = metrics(
        RequestFactory().get("/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"})
    )
    text = answer.content.decode()
    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith("application/openmetrics-text")
    assert 'streamtasks_queue_tasks{queue="default",state="ready"} 1.0' in text.splitlines()
    assert text.endswith("# EOF\n")
    assert "streamtasks_limit_tokens" not in text
    assert b"# TYPE streamtasks_limit_tokens gauge" in metrics(RequestFactory().get("/metrics?limits=1")).content


def test_only_reading() -> None:
    assert metrics(RequestFactory().post("/metrics")).status_code == 405


def test_a_server_that_is_away() -> None:
    with closed_port() as url:
        tasks = tasks_setting(url)
        for alias in tasks.values():
            alias["OPTIONS"]["timeout"] = 0.3
        with override_settings(TASKS=tasks):
            answer = metrics(RequestFactory().get("/metrics"))
    assert answer.status_code == 503
    assert answer.headers["Content-Type"].startswith("text/plain")
