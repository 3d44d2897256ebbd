"""The way of one call from ``enqueue()`` to the socket stays short: functions and files of ours that it passes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.test import override_settings

from contract.app import tasks
from contract.options import tasks_setting
from streamtasks import StreamTasks
from tests.support.call_count import calls_until_send


def check(call: Callable[[], Any], functions: int, files: int) -> None:
    for _ in range(2):  # connections, scripts and caches
        call()
    passed = calls_until_send(call)
    listed = "\n".join(f"{file}: {name}" for file, name in passed)
    assert len(passed) <= functions, listed
    assert len({file for file, _ in passed}) <= files, listed


def test_of_a_django_task(embedded_site_url: str) -> None:
    with override_settings(TASKS=tasks_setting(embedded_site_url, "idle:")):
        check(lambda: tasks.add.enqueue(1, b=2), functions=45, files=12)


def test_of_a_plain_task(embedded_url: str) -> None:
    add = StreamTasks(embedded_url).task(name="add")(lambda a, b: a + b)
    check(lambda: add.enqueue(1, b=2), functions=30, files=12)
