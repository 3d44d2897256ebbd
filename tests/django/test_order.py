"""Order of execution: priorities exactly, and first in first out inside one."""

from __future__ import annotations

import random
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from django.test import override_settings
from django.utils import timezone

from contract.app import tasks
from contract.options import tasks_setting
from tests.support.bounds import Bound
from tests.support.django_site import DjangoWorker

if TYPE_CHECKING:
    from pathlib import Path


def notes_in_order(worker: DjangoWorker) -> list[str]:
    return [note for note in worker.noted() if isinstance(note, str)]


CALLS = [(priority, number) for priority in (100, 99, 51, 50, 5, 1, 0, -1, -99, -100) for number in range(4)]
HANDED_BACK_S = 0.015
"""What waits behind a task that stands still for 20 ms is handed back, and what has less priority can be claimed in
that moment. On a machine that stands still so long any task does."""


def order_of_priorities(site_url: str, folder: Path) -> list[str]:
    with override_settings(TASKS=tasks_setting(site_url, "order:")):
        shuffled = CALLS.copy()
        random.Random(7).shuffle(shuffled)
        shuffled.sort(key=lambda call: call[1])  # numbers rise with time, priorities are mixed
        results = [tasks.note.using(priority=p).enqueue(f"{p}/{number}") for p, number in shuffled]
        with DjangoWorker(folder, site_url, "order:", "--concurrency", "1", "--backend", "default") as worker:
            for result in results:
                worker.finish(result)
        return notes_in_order(worker)


@pytest.mark.timing
def test_priorities_run_exactly_in_order_and_each_first_in_first_out(
    site_url: str, tmp_path: Path, bound: Bound
) -> None:
    found: list[str] = []
    for attempt in range(5):
        folder = tmp_path / str(attempt)
        folder.mkdir()
        found = order_of_priorities(site_url, folder)
        if found == [f"{p}/{number}" for p, number in CALLS]:
            return
        assert bound.stood_still_s > HANDED_BACK_S, f"{found}, although the machine did not stand still"
        bound.forget()
    assert sorted(found) == sorted(f"{p}/{number}" for p, number in CALLS)


def test_delayed_tasks_run_in_the_order_of_their_times(embedded_site_url: str, tmp_path: Path) -> None:
    with override_settings(TASKS=tasks_setting(embedded_site_url, "delayed:")):
        now = timezone.now()
        results = [
            tasks.note.using(run_after=now + timedelta(seconds=seconds)).enqueue(str(seconds))
            for seconds in (1.4, 0.8, 1.1, 1.7)
        ]
        with DjangoWorker(
            tmp_path, embedded_site_url, "delayed:", "--concurrency", "1", "--backend", "default"
        ) as worker:
            for result in results:
                worker.finish(result)
        assert notes_in_order(worker) == ["0.8", "1.1", "1.4", "1.7"]
        for result in results:
            assert result.started_at is not None
            assert result.task.run_after is not None
            assert result.started_at >= result.task.run_after - timedelta(milliseconds=1)
