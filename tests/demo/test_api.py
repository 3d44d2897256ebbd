"""The example site's views for other people's projects, with a worker by hand."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, cast

import pytest

from tests.support.manual_consumer import Consumer, outcome_of

if TYPE_CHECKING:
    from django.test import Client

    from streamtasks_django.backends.redis import RedisBackend

UNKNOWN = "01900000000070008000000000000000-u0"


@pytest.fixture
def hand(demo_settings: dict[str, Any]) -> Iterator[Consumer]:
    from streamtasks_django import get_task_backend

    with Consumer(cast("RedisBackend", get_task_backend()).stores.plain) as opened:
        yield opened


def post(client: Client, path: str, **fields: Any) -> Any:
    client.get("/")
    token = client.cookies["streamtasks_demo_csrf"].value
    return client.post(path, {"csrfmiddlewaretoken": token, **fields})


def start(client: Client) -> str:
    answer = post(client, "/tasks/start/", seconds=1)
    assert answer.status_code == 201
    content = answer.json()
    assert (content["status"], content["message"]) == ("started", "Task has been queued")
    return str(content["task_id"])


def test_started_and_looked_at(client: Client, hand: Consumer) -> None:
    task_id = start(client)
    content = client.get(f"/tasks/{task_id}/status/").json()
    assert (content["status"], content["state"], content["ready"], content["successful"]) == (
        "READY", "QUEUED", False, None,
    )  # fmt: skip
    [claimed] = hand.claim(1)
    assert client.get(f"/tasks/{task_id}/status/").json()["status"] == "RUNNING"
    hand.settle(outcome_of(claimed, "SUCCESS", b'{"r":{"pages":4}}'))
    content = client.get(f"/tasks/{task_id}/status/").json()
    assert (content["status"], content["successful"], content["failed"]) == ("SUCCESSFUL", True, False)
    assert content["result"] == {"pages": 4}
    assert [row["id"] for row in client.get("/tasks/").json()["tasks"]] == [task_id]  # on the page as well


def test_a_failed_one(client: Client, hand: Consumer) -> None:
    task_id = start(client)
    hand.fail(ValueError("no paper"))
    content = client.get(f"/tasks/{task_id}/status/").json()
    assert (content["failed"], content["error"]) == (True, "no paper")
    assert "ValueError: no paper" in content["traceback"]
    answer = client.get(f"/tasks/{task_id}/wait/")
    assert (answer.status_code, answer.json()["error"]) == (500, "no paper")


def test_waited_for(client: Client, hand: Consumer) -> None:
    task_id = start(client)
    answer = client.get(f"/tasks/{task_id}/wait/", {"timeout": 0})
    assert (answer.status_code, answer.json()["status"]) == (408, "timeout")
    timer = threading.Timer(0.1, hand.succeed, ["printed"])
    timer.start()
    answer = client.get(f"/tasks/{task_id}/wait/", {"timeout": 20})
    timer.join()
    assert (answer.status_code, answer.json()) == (
        200,
        {"task_id": task_id, "status": "completed", "result": "printed"},
    )


def test_revoked_while_it_waits(client: Client, hand: Consumer) -> None:
    task_id = start(client)
    answer = post(client, f"/tasks/{task_id}/revoke/")
    assert answer.json() == {"task_id": task_id, "status": "revoked", "message": "Task has been cancelled"}
    assert task_id not in [claimed.id for claimed in hand.claim()]
    assert client.get(f"/tasks/{task_id}/status/").json()["state"] == "REVOKED"
    assert post(client, f"/tasks/{task_id}/revoke/").json()["status"] == "revoked"  # again does no harm
    hand.succeed()
    finished = start(client)
    hand.succeed()
    assert post(client, f"/tasks/{finished}/revoke/").json()["status"] == "unchanged"
    assert post(client, f"/tasks/{UNKNOWN}/revoke/").json()["status"] == "unchanged"


def test_what_runs_is_listed(client: Client, hand: Consumer) -> None:
    task_id = start(client)
    assert client.get("/tasks/active/").json() == {"active_tasks": [], "count": 0}
    hand.claim(1)
    content = client.get("/tasks/active/").json()
    [listed] = content["active_tasks"]
    assert (content["count"], listed["task_id"], listed["status"]) == (1, task_id, "RUNNING")
    assert listed["name"] == "streamtasks_django.demo.tasks.report"
    assert listed["worker"] == "hand"
    assert listed["started_at"]


@pytest.mark.parametrize("path", ["status", "wait"])
def test_one_that_is_not_known(client: Client, path: str) -> None:
    answer = client.get(f"/tasks/{UNKNOWN}/{path}/")
    assert (answer.status_code, answer.json()["task_id"]) == (404, UNKNOWN)


def test_bad_input(client: Client) -> None:
    for seconds in (-1, 61, "x"):
        answer = post(client, "/tasks/start/", seconds=seconds)
        assert answer.status_code == 400
        assert answer.json()["error"].startswith("seconds: ")
    for timeout in (-1, 61, "x"):
        assert client.get(f"/tasks/{UNKNOWN}/wait/", {"timeout": timeout}).status_code == 400


def test_changes_need_a_post_with_a_token(client: Client) -> None:
    for path in ("/tasks/start/", f"/tasks/{UNKNOWN}/revoke/"):
        assert client.get(path).status_code == 405
        assert client.post(path).status_code == 403


def test_a_server_that_is_away(client: Client, demo_settings: dict[str, Any]) -> None:
    from django.test import override_settings

    backend = demo_settings["TASKS"]["default"]
    away = {"default": {**backend, "OPTIONS": {**backend["OPTIONS"], "url": "redis://127.0.0.1:1/0", "timeout": 0.2}}}
    with override_settings(TASKS=away):
        for answer in (
            post(client, "/tasks/start/"),
            post(client, f"/tasks/{UNKNOWN}/revoke/"),
            client.get(f"/tasks/{UNKNOWN}/status/"),
            client.get(f"/tasks/{UNKNOWN}/wait/"),
            client.get("/tasks/active/"),
        ):
            assert answer.status_code == 503
            assert "127.0.0.1:1" in answer.json()["error"]
