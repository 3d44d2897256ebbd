"""The example site's views, with no worker: what is enqueued stays as it is."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from django.http import HttpResponse
    from django.test import Client


def post(client: Client, **fields: Any) -> HttpResponse:
    """Press a button."""
    client.get("/")
    token = client.cookies["streamtasks_demo_csrf"].value
    return client.post("/enqueue/", {"csrfmiddlewaretoken": token, **fields})  # type: ignore[return-value]


def test_page_has_a_button_for_each_kind_and_nothing_inline(client: Client) -> None:
    from streamtasks_django.demo.kinds import KINDS

    answer = client.get("/")
    html = answer.content.decode()
    assert answer.status_code == 200
    assert html.count("<form") == len(KINDS) == 6
    assert html.count("csrfmiddlewaretoken") == 6
    assert "<style" not in html
    assert " style=" not in html
    assert " onclick=" not in html
    assert html.count("<script") == html.count('<script type="module" src="/static/') == 1
    assert "http://" not in html
    assert "https://" not in html
    assert "default-src 'self'" in answer.headers["Content-Security-Policy"]
    assert "unsafe" not in answer.headers["Content-Security-Policy"]


def test_static_files_are_served_without_debug(client: Client) -> None:
    from django.conf import settings
    from django.contrib.staticfiles.handlers import StaticFilesHandler
    from django.core.handlers.wsgi import WSGIHandler
    from django.test import RequestFactory

    assert settings.DEBUG is False
    handler = StaticFilesHandler(WSGIHandler())
    for name in ("demo.css", "demo.js", "icon.svg"):
        answer = handler.get_response(RequestFactory().get(f"/static/streamtasks_demo/{name}"))
        assert answer.status_code == 200
        assert b"".join(answer.streaming_content)  # type: ignore[attr-defined]
        answer.close()


def test_every_kind_can_be_enqueued(client: Client) -> None:
    from streamtasks_django.demo.kinds import KINDS

    for kind in KINDS:
        answer = post(client, kind=kind)
        assert answer.status_code == 201, answer.content
        rows = answer.json()["tasks"]  # type: ignore[attr-defined]
        assert len(rows) == KINDS[kind].default if kind == "quick" else 1
        assert {row["state"] for row in rows} == {"delayed" if kind == "delayed" else "waiting"}


def test_row_of_a_waiting_task(client: Client) -> None:
    row = post(client, kind="failing").json()["tasks"][0]  # type: ignore[attr-defined]
    assert row["id"][24:32] == row["short"]
    assert (row["name"], row["call"]) == ("divide", "divide(1, 0)")
    assert (row["finished"], row["attempts"], row["workers"], row["errors"]) == (False, 0, [], [])
    assert row["enqueued"] <= row["now"]
    assert row["due"] is row["started"] is row["ended"] is row["result"] is row["progress"] is None


def test_row_of_a_delayed_task(client: Client) -> None:
    row = post(client, kind="delayed", number=30).json()["tasks"][0]  # type: ignore[attr-defined]
    assert row["state"] == "delayed"
    assert 29_000 < row["due"] - row["enqueued"] <= 30_001


def test_states_are_read_for_the_ids_named(client: Client) -> None:
    ids = [row["id"] for row in post(client, kind="quick", number=4).json()["tasks"]]  # type: ignore[attr-defined]
    assert [row["id"] for row in client.get("/tasks/", {"ids": f"{ids[2]},{ids[0]}"}).json()["tasks"]] == [
        ids[2],
        ids[0],
    ]
    assert [row["id"] for row in client.get("/tasks/").json()["tasks"]] == ids
    assert client.get("/tasks/", {"ids": ""}).json()["tasks"] == []
    assert client.get("/tasks/", {"ids": "no-such-id,' OR 1"}).json()["tasks"] == []


def test_at_most_fifty_are_remembered(client: Client) -> None:
    post(client, kind="quick", number=30)
    newest = [row["id"] for row in post(client, kind="quick", number=50).json()["tasks"]]  # type: ignore[attr-defined]
    assert [row["id"] for row in client.get("/tasks/").json()["tasks"]] == newest


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"kind": "quick", "number": 51}, "At most 50."),
        ({"kind": "quick", "number": 0}, "greater than or equal to 1"),
        ({"kind": "quick", "number": "x"}, "whole number"),
        ({"kind": "other"}, "other"),
        ({}, "required"),
    ],
)
def test_bad_input_enqueues_nothing(client: Client, fields: dict[str, Any], words: str) -> None:
    answer = post(client, **fields)
    assert answer.status_code == 400
    assert words in answer.json()["error"]  # type: ignore[attr-defined]
    assert client.get("/tasks/").json()["tasks"] == []


def test_post_without_token_is_refused(client: Client) -> None:
    assert client.post("/enqueue/", {"kind": "quick"}).status_code == 403
    assert client.get("/enqueue/").status_code == 405
    assert client.get("/tasks/").json()["tasks"] == []


def test_server_away_is_said(client: Client, demo_settings: dict[str, Any]) -> None:
    from django.test import override_settings

    backend = demo_settings["TASKS"]["default"]
    away = {"default": {**backend, "OPTIONS": {**backend["OPTIONS"], "url": "redis://127.0.0.1:1/0", "timeout": 0.2}}}
    with override_settings(TASKS=away):
        answer = post(client, kind="failing")
        assert answer.status_code == 503
        assert "127.0.0.1:1" in answer.json()["error"]  # type: ignore[attr-defined]


def test_dashboard_is_open_at_this_machine_only(client: Client) -> None:
    from django.test import RequestFactory, override_settings

    from streamtasks_django.demo.access import dashboard_roles

    assert 'href="/dashboard/"' in client.get("/").content.decode()
    page = client.get("/dashboard/default/queues/")
    assert page.status_code == 200
    assert "Pause this queue" in page.content.decode()
    for elsewhere in ({"REMOTE_ADDR": "192.0.2.1"}, {"REMOTE_ADDR": ""}, {"HTTP_X_FORWARDED_FOR": "127.0.0.1"}):
        assert client.get("/dashboard/", **elsewhere).status_code == 403, elsewhere  # type: ignore[arg-type]
        assert "/dashboard/" not in client.get("/", **elsewhere).content.decode()  # type: ignore[arg-type]
    request = RequestFactory().get("/dashboard/")
    assert dashboard_roles(request)
    with override_settings(ROOT_URLCONF="mysite.urls"):
        assert dashboard_roles(request) == (), "a project that names the rule of the demo"


def test_a_task_can_be_watched_by_the_tag(client: Client) -> None:
    from streamtasks_django.demo.tasks import square

    task_id = square.enqueue(2).id
    page = client.get(f"/tasks/{task_id}/watch/").content.decode()
    [address] = re.findall(r'data-address="([^"]+)"', page)
    assert client.get(address).json()["state"] == "QUEUED"
    assert "/static/streamtasks_progress/progress.js" in page
    assert client.get("/tasks/unknown/watch/").status_code == 404
