"""The progress of a task on a page of one's own: the tag, and what stands behind its signed address."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest
from django.tasks import task_backends
from django.template import Context, Template
from django.test import AsyncClient, Client, override_settings
from django.urls import include, path

from contract.app import tasks
from streamtasks.protocol.state import State, encode_progress
from streamtasks.stores.factory import open_supervisor_store
from streamtasks_django import progress
from streamtasks_django.progress.addresses import address_of
from tests.support.manual_consumer import Consumer, report_progress
from tests.support.users import worker_settings

pytestmark = pytest.mark.usefixtures("server_and_memory")

urlpatterns = [path("progress/", include("streamtasks_django.progress.urls"))]
PAGE = Path(__file__).parent.parent.parent / "docs" / "results.md"


@pytest.fixture(autouse=True)
def _mounted(server_and_memory: None, tmp_path: Path) -> Iterator[None]:
    templates = [{"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True, "DIRS": [tmp_path]}]
    with override_settings(
        ROOT_URLCONF=__name__,
        INSTALLED_APPS=[
            "streamtasks_django",
            "streamtasks_django.outbox",
            "streamtasks_django.progress",
            "contract.app",
        ],
        TEMPLATES=templates,
        STATIC_URL="/static/",
        ALLOWED_HOSTS=["testserver"],
    ):
        yield


def shown(text: str) -> str:
    """The address that a page holds."""
    found = re.search(r'data-address="([^"]+)"', text)
    assert found
    return found[1]


def rendered(result: Any, request: Any) -> str:
    template = Template("{% load task_progress %}{% task_progress result %}")
    return template.render(Context({"result": result, "request": request}))


def test_the_tag_and_the_state_behind_it(hand: Consumer) -> None:
    result: Any = tasks.echo.enqueue("secret")
    page = rendered(result, HttpRequest())
    assert "QUEUED" in page
    assert "data-events" not in page, "under WSGI each viewer would hold a thread"
    address, client = shown(page), Client()
    [claimed] = hand.claim(1)
    backend: Any = task_backends["default"]
    data = encode_progress(State.PROGRESS, {"done": 3, "total": 10, "pid": 7})
    report_progress(open_supervisor_store(worker_settings(backend.store_settings)), claimed, data)
    found = client.get(address)
    assert "no-store" in found["Cache-Control"]
    assert found.json() == {
        "state": "PROGRESS", "is_finished": False, "is_successful": False, "done": 3, "total": 10, "message": "",
    }  # fmt: skip
    assert 'value="3" max="10"' in rendered(backend.get_result(result.id), HttpRequest())
    assert client.get(f"{address}events/").status_code == 501
    assert client.post(address).status_code == 405


def test_only_a_signed_address_opens_it() -> None:
    result: Any = tasks.echo.enqueue(1)
    other: Any = tasks.echo.enqueue(2)
    client, address = Client(), address_of("default", result.id)
    assert client.get(address).json()["state"] == "QUEUED"
    signed, rest = address.split("/")[2].split(":", 1)
    other_signed = address_of("default", other.id).split("/")[2].split(":", 1)[0]
    for wrong in (f"/progress/{other_signed}:{rest}/", f"{address[:-2]}x/", "/progress/x/", f"/progress/{signed}/"):
        for behind in ("", "events/"):
            assert client.get(wrong + behind).status_code == 403, wrong
    assert client.get(address_of("default", result.id, 0)).status_code == 403, "expired"
    with override_settings(SECRET_KEY="another"):
        assert client.get(address).status_code == 403
    assert client.get(address_of("default", "nobody")).json()["state"] == "UNKNOWN"


async def test_events_come_under_asgi(hand: Consumer) -> None:
    result: Any = await tasks.echo.aenqueue(1)
    request = ASGIRequest({"type": "http", "method": "GET", "path": "/", "headers": []}, BytesIO())
    page = rendered(await task_backends["default"].aget_result(result.id), request)
    assert f'data-events="{shown(page)}events/"' in page
    response = await AsyncClient().get(f"{shown(page)}events/")
    assert response["Content-Type"] == "text/event-stream"
    states = []
    async for chunk in response.streaming_content:  # type: ignore[attr-defined]
        text = chunk.decode()
        if text.startswith("data: "):
            states.append(json.loads(text[6:])["state"])
            if states[-1] == "QUEUED":
                hand.succeed()
    assert states[0] == "QUEUED"
    assert states[-1] == "SUCCESS"


def test_the_code_of_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = PAGE.read_text("utf-8")
    [code] = re.findall(r"^```python\n(# shop/exports\.py\n.*?)^```$", text, re.MULTILINE | re.DOTALL)
    [template] = re.findall(r"^```django\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    (tmp_path / "pasted_exports.py").write_text(code)
    (tmp_path / "export.html").write_text(template)
    monkeypatch.syspath_prepend(tmp_path)
    result: Any = tasks.echo.enqueue(1)
    with override_settings(ROOT_URLCONF="pasted_exports"):
        page = Client().get(f"/exports/{result.id}/").content.decode()
        assert Client().get(shown(page)).json()["state"] == "QUEUED"
    script = re.findall(r'src="/static/([^"]+)"', page)
    assert [(Path(progress.__file__).parent / "static" / one).exists() for one in script] == [True]
