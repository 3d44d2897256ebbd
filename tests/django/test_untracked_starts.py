"""TASK_TRACK_STARTED = False, on a server and in memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.tasks import task_backends
from django.test import override_settings

from contract.app import tasks
from streamtasks.stores.factory import open_supervisor_store
from tests.support.manual_consumer import Consumer, outcome_of, report_progress
from tests.support.users import worker_settings

pytestmark = pytest.mark.usefixtures("server_and_memory")


def backend() -> Any:
    return task_backends["default"]


def enqueue(*args: Any) -> Any:
    return tasks.echo.enqueue(*args)


class TestUntrackedStarts:
    """TASK_TRACK_STARTED = False."""

    @pytest.fixture(autouse=True)
    def _untracked(self) -> Iterator[None]:
        with override_settings(TASK_TRACK_STARTED=False):
            yield

    def test_a_running_task_is_shown_as_waiting(self, hand: Consumer) -> None:
        result = enqueue()
        [claimed] = hand.claim(1)
        assert not result.ready()
        assert (result.state, result.status, result.started_at, result.attempts) == ("QUEUED", "READY", None, 0)
        [listed] = backend().get_active_tasks()
        assert (listed["id"], listed["status"], listed["worker"]) == (result.id, "RUNNING", "hand")
        hand.settle(outcome_of(claimed, "SUCCESS", b'{"r":1}'))
        assert (result.state, result.status, result.worker_ids) == ("SUCCESS", "SUCCESSFUL", ["hand"])
        assert result.started_at is not None

    def test_until_it_says_something_of_its_progress(self, hand: Consumer) -> None:
        result = enqueue()
        [claimed] = hand.claim(1)
        report_progress(
            open_supervisor_store(worker_settings(backend().store_settings)), claimed, b'{"s":"SORTING","m":{"n":1}}'
        )
        assert (result.state, result.info, result.worker_ids) == ("SORTING", {"n": 1}, ["hand"])
        assert result.status == "RUNNING"

    def test_a_second_attempt_is_shown_as_the_retry_that_it_waits_for(self, hand: Consumer) -> None:
        result = enqueue()
        [claimed] = hand.claim(1)
        hand.settle(outcome_of(claimed, "RETRY"))
        hand.claim(1)
        assert (result.state, result.attempts, len(result.errors)) == ("RETRY", 1, 1)
        assert result.started_at is not None

    def test_it_can_be_revoked(self, hand: Consumer) -> None:
        result = enqueue()
        [claimed] = hand.claim(1)
        assert result.revoke()
        assert (result.state, result.status) == ("QUEUED", "READY")
        hand.settle(outcome_of(claimed, "SUCCESS", b'{"r":1}'))
        assert result.state == "REVOKED"
