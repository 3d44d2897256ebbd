"""The dashboard: who may do what on which route, and what its pages show."""

from __future__ import annotations

import re
import time
from itertools import product
from typing import Any

import pytest
from django.tasks import task_backends
from django.test import Client, override_settings

from contract.app import tasks
from contract.options import tasks_setting
from streamtasks.exceptions import ServerNotSupported
from streamtasks.protocol.json import dumps
from streamtasks.stores.base import Store
from streamtasks_django.dashboard import urls as dashboard
from streamtasks_django.dashboard.access import POLICY, ROLES
from tests.support.dashboard_site import (
    ROLES_GIVEN,
    ROLES_SETTING,
    address,
    changes,
    failed,
    in_memory,
    mounted,
    rule,
    site,
)
from tests.support.manual_consumer import Consumer, outcome_of

__all__ = ["mounted", "site"]

pytestmark = pytest.mark.usefixtures("server_and_memory")

BAD = "<script>alert('x')</script>\"'&"
ADMINISTER = {
    "pause", "resume", "purge", "forget", "drain", "stop", "schedule_pause", "schedule_resume", "schedule_edit",
}  # fmt: skip
"""Routes that need the right to administer. Every other route that is no GET needs that to operate."""


PAGES = [one for one in dashboard.urlpatterns if not str(one.name).startswith("api_")]
"""The API has tests of its own."""

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


def redact(kind: str, task: str, value: Any) -> Any:
    """What ``DASHBOARD_REDACT`` names."""
    return f"no {kind} of {task.rpartition('.')[2]}" if kind == "error" else [] if kind == "args" else value


FILES = ("raw", "letter_raw")
ONES = ("queue", "task", "worker", "letter", "schedule", "workflow", "bulk", *FILES)
"""Pages of one thing: there is none yet."""


@in_memory
@pytest.mark.parametrize("given", [set(), {"view"}, set(ROLES) - {"view"}, {"view", "operate"}, set(ROLES)])
def test_every_route_for_every_role_and_method(given: set[str]) -> None:
    client = Client()
    ROLES_GIVEN.clear()
    ROLES_GIVEN.update(given)
    for method, route in product(METHODS, PAGES):
        name, role, methods = str(route.name), rule(route).role, rule(route).methods
        assert set(methods) in ({"GET", "HEAD"}, {"POST"}), name
        looks = "see_arguments" if name in FILES else "view"
        assert role == ("administer" if name in ADMINISTER else "operate" if changes(route) else looks), name
        response = client.generic(method, address(name))
        what = f"{method} {name} by {sorted(given)}: {response.status_code}"
        if not {"view", role} <= given:
            assert response.status_code == 403, what
        elif method not in methods:
            assert response.status_code == 405, what
        elif changes(route):  # no reason, and nothing that it could be about
            assert response.status_code == (404 if name == "stack" else 400), what
        else:
            is_one = name in ONES
            assert response.status_code == (200 if not is_one else 400 if name == "queue" else 404), what
        assert response["Content-Security-Policy"] == POLICY
        assert "no-store" in response["Cache-Control"]


def test_it_is_closed_without_a_user_and_to_other_sites() -> None:
    strict = Client(enforce_csrf_checks=True)
    assert strict.post(address("pause"), {"queue": "default", "reason": "x"}).status_code == 403
    assert Client().get(address("overview"), headers={"host": "evil.example"}).status_code == 400
    with override_settings(STREAMTASKS={}):
        assert Client().get(address("overview")).status_code == 403


def test_whatever_is_shown_is_text(hand: Consumer) -> None:
    task_id = failed(hand, BAD, 2**63 + 1, message="<script>alert(1)</script>")
    for name in ("overview", "tasks", "task"):
        page = Client().get(address(name, task_id=task_id)).content.decode()
        assert "<script>" not in page, name
        assert "&lt;script&gt;alert(1)" in page, name
    assert str(2**63 + 1) in page
    assert Client().get(address("tasks") + "?state=queued&queue=<script>").status_code == 400
    assert b"<script>" not in Client().get(address("tasks") + "?state=<script>&name=<script>").content


def test_overview_says_what_is_wrong(hand: Consumer) -> None:
    assert b"All is well" in Client().get(address("overview")).content
    task_id = failed(hand)
    page = Client().get(address("overview")).content.decode()
    assert "1 task of queue default failed in the last hour, the first of them at " in page
    assert "LookupError: no address" in page
    assert address("task", task_id=task_id) in page
    ROLES_GIVEN.discard("see_arguments")
    page = Client().get(address("overview")).content.decode()
    assert "LookupError" in page
    assert "no address" not in page


def fail_many(hand: Consumer, count: int, message: str) -> list[str]:
    """Let so many tasks of a queue fail, in batches."""
    ids: list[str] = []
    error = dumps({"e": {"type": "builtins.LookupError", "message": message, "traceback": ""}})
    for first in range(0, count, 50):
        for number in range(first, min(first + 50, count)):
            tasks.echo.enqueue(number)
        claimed = hand.claim(100)
        hand.settle(*(outcome_of(one, "FAILURE", error) for one in claimed))
        ids += [one.id for one in claimed]
    return ids


def test_overview_counts_and_finds_the_first_of_many(hand: Consumer) -> None:
    first = failed(hand, message="the first one")
    time.sleep(0.002)  # later than that by the server's clock
    ids = fail_many(hand, 149, "another one")
    assert len(ids) == 149
    page = Client().get(address("overview")).content.decode()
    assert "150 tasks failed in the last hour; of " in page
    assert "LookupError: the first one" in page
    assert address("task", task_id=first) in page


def test_overview_says_that_there_are_more(hand: Consumer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streamtasks.operations.failures.MOST_COUNTED", 5)
    failed(hand, message="the first one")
    time.sleep(0.002)
    for _ in range(10):
        failed(hand, message="another one")
        time.sleep(0.002)
    page = Client().get(address("overview")).content.decode()
    assert re.search(
        r"At least \d+ tasks of queue default failed in the last hour, the first of them that is known", page
    )
    assert "the first one" not in page


def test_values_are_hidden_and_redacted(hand: Consumer) -> None:
    task_id = failed(hand, "a secret", message="secret too")
    setting = {"DASHBOARD_ROLES": ROLES_SETTING, "DASHBOARD_REDACT": f"{__name__}.redact"}
    with override_settings(STREAMTASKS=setting):
        page = Client().get(address("task", task_id=task_id)).content
        assert b"no error of echo" in page
        assert b"secret" not in page
    ROLES_GIVEN.discard("see_arguments")
    for name in ("tasks", "task"):
        assert b"secret" not in Client().get(address(name, task_id=task_id)).content


def test_actions_need_a_reason_and_are_audited(hand: Consumer) -> None:
    client, task_id = Client(), failed(hand)
    assert client.post(address("retry", task_id=task_id)).status_code == 400
    again = client.post(address("retry", task_id=task_id), {"reason": "address added", "next": "//evil.example"})
    assert again.status_code == 302
    assert again["Location"].startswith("/any/prefix/default/tasks/")
    new = client.get(again["Location"]).content.decode()
    assert task_id in new
    revoked = client.post(again["Location"].partition("?")[0] + "revoke/", {"reason": "wrong"})
    assert b"REVOKED" in client.get(revoked["Location"]).content
    assert client.post(address("pause"), {"queue": "", "reason": "x"}).status_code == 400
    client.post(address("pause"), {"queue": "default", "reason": BAD})
    assert b"Queue default is paused since" in client.get(address("overview")).content
    client.post(address("resume"), {"queue": "default", "reason": "over"})
    assert b"is paused since" not in client.get(address("overview")).content
    page = client.get(address("audit")).content.decode()
    assert [word for word in ("retry", "revoke", "pause", "resume") if f"<td>{word}</td>" not in page] == []
    assert "<script>" not in page


def test_what_cannot_be_listed_is_not_called_well(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise ServerNotSupported("it lists no tasks")

    monkeypatch.setattr("streamtasks_django.dashboard.views.recent_failures", refuse)
    page = Client().get(address("overview")).content
    assert b"whether any has failed is not known" in page
    assert b"All is well" not in page


def test_a_dead_letter_is_replayed_once(hand: Consumer) -> None:
    tasks.echo.enqueue("again")
    [claimed] = hand.claim(1)
    hand.settle(outcome_of(claimed, "DEAD", b"{}")._replace(note="crashed"))
    client = Client()
    found = re.search(r'name="key" value="([^"]+)"', client.get(address("dead_letters")).content.decode())
    assert found
    form = {"key": found[1], "reason": "mended"}
    replayed = client.post(address("replay"), form)
    assert replayed.status_code == 302
    page = client.get(replayed["Location"]).content.decode()
    assert "QUEUED" in page
    assert "again" in page
    assert claimed.id in page, "which task it repeats"
    assert b"There are no dead letters" in client.get(address("dead_letters")).content
    gone = client.post(address("replay"), form)
    assert gone.status_code == 404
    assert b"This dead letter is gone" in gone.content
    assert b"<td>replay</td>" in client.get(address("audit")).content


def test_a_task_deleted_while_its_page_is_open(hand: Consumer) -> None:
    client, task_id = Client(), failed(hand)
    assert client.get(address("task", task_id=task_id)).status_code == 200
    backend: Any = task_backends["default"]
    assert backend.stores.plain.delete_result(task_id)
    for response in (
        client.get(address("task", task_id=task_id)),
        client.post(address("retry", task_id=task_id), {"reason": "again"}),
    ):
        assert response.status_code == 404
        assert b"<h1>Not found</h1>" in response.content
        assert task_id.encode() in response.content


@in_memory
def test_a_server_that_is_away() -> None:
    setting = tasks_setting("redis://127.0.0.1:1/0", "away:")
    setting["default"]["OPTIONS"] |= {"timeout": 0.1, "enqueue_timeout": 0.1}
    with override_settings(TASKS=setting):
        for response in (
            Client().get(address("overview")),
            Client().get(address("dead_letters")),
            Client().post(address("pause"), {"queue": "default", "reason": "away"}),
        ):
            assert response.status_code == 503
            assert b"<h1>The server with the tasks does not answer</h1>" in response.content
            assert b"127.0.0.1:1" in response.content
            assert response["Content-Security-Policy"] == POLICY


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The methods of `Store` that are called, by name."""
    made: list[str] = []
    backend: Any = task_backends["default"]
    store = backend.stores.plain
    for name in dir(Store):
        real = getattr(store, name, None)
        if name.startswith("_") or not callable(real):
            continue

        def call(*args: Any, real: Any = real, name: str = name, **options: Any) -> Any:
            made.append(name)
            return real(*args, **options)

        monkeypatch.setattr(store, name, call)
    return made


def test_pages_ask_as_often_for_many_tasks_as_for_few(hand: Consumer, calls: list[str]) -> None:
    asked: list[dict[str, int]] = []
    pages = [str(one.name) for one in PAGES if not changes(one) and one.name not in (*ONES, "index")]
    pages = [one for one in pages if one != "doctor"] + ["task", "queue"]  # the doctor has connections of its own
    for count in (10, 990):
        [task_id, *_] = fail_many(hand, count, "no address")
        for number in range(count // 10):
            tasks.echo.enqueue(number)
        found = {}
        for name in pages:
            calls.clear()
            query = {"name": "default"} if name == "queue" else {}
            assert Client().get(address(name, task_id=task_id), query).status_code == 200, name
            found[name] = len(calls)
            assert calls, name
        asked.append(found)
        hand.succeed()
    few, many = asked
    assert many == {**few, "overview": few["overview"] + 1}, "one more reads what lies at the edge of the hour"
    assert max(many.values()) <= 10
