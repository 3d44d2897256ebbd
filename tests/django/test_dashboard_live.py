"""Open pages of the dashboard are kept up to date: who asks, who listens, and what a further viewer costs."""

from __future__ import annotations

import asyncio
import gzip
import json
import re
import socket
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from django.core.handlers.asgi import ASGIHandler
from django.http import HttpResponse
from django.tasks import task_backends
from django.test import Client

from contract.app import tasks
from streamtasks import StoreSettings
from streamtasks.protocol.series import ALL, of_queue, of_task
from streamtasks.stores.series_types import NewSeries
from streamtasks_django.dashboard import live, live_stream
from tests.support.dashboard_site import BAD, ROLES_GIVEN, backend, mounted, site, supervisor
from tests.support.manual_consumer import Consumer, outcome_of
from tests.support.servers import client_of
from tests.support.waiting import DEADLINE_S, wait_until

__all__ = ["mounted", "site"]

pytestmark = pytest.mark.usefixtures("server_and_memory")

OVERVIEW = "/any/prefix/default/"
FIRST_LOAD_BYTES = 150 * 1024


@pytest.fixture(autouse=True)
def _forgotten() -> None:
    live.answers.clear()


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """When the store was measured, which an overview does once."""
    backend: Any = task_backends["default"]
    store, found = backend.stores.plain, []
    real = store.measures

    def measures() -> Any:
        found.append(time.monotonic())
        return real()

    monkeypatch.setattr(store, "measures", measures)
    return found


def test_who_polls_shares_answers_by_roles(
    hand: Consumer, measured: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "POLL_S", DEADLINE_S)
    tasks.echo.enqueue(1)
    [claimed] = hand.claim(1)
    hand.settle(
        outcome_of(claimed, "FAILURE", b'{"e":{"type":"builtins.LookupError","message":"secret","traceback":""}}')
    )
    client = Client()
    answer = client.get(OVERVIEW, {"live": "poll"})
    assert answer["Content-Type"] == "application/json"
    assert "no-store" in answer["Cache-Control"]
    found = answer.json()
    assert found["title"] == "1 to look at - tasks"
    assert "secret" in found["parts"]["overview"]
    assert "<main" not in found["parts"]["overview"]
    made = len(measured)
    assert client.get(OVERVIEW, {"live": "events"}).json() == found, "no stream by WSGI"
    assert len(measured) == made, "the same answer again"
    ROLES_GIVEN.discard("see_arguments")
    assert "secret" not in client.get(OVERVIEW, {"live": "poll"}).json()["parts"]["overview"]
    ROLES_GIVEN.clear()
    assert client.get(OVERVIEW, {"live": "poll"}).status_code == 403


def test_a_change_is_never_made_by_who_looks(hand: Consumer) -> None:
    assert Client().get("/any/prefix/default/queues/pause/", {"live": "poll"}).status_code == 405
    answer = Client().post("/any/prefix/default/queues/pause/?live=events", {"queue": "default", "reason": "x"})
    assert answer.status_code == 302
    assert "default" not in live_stream.hubs or not live_stream.hubs["default"].pages


def test_a_form_is_nobody_elses() -> None:
    text = "<title>A &amp; B</title><!--live a-->1<!--live /a-->"
    text += "<!--live b--><input name=csrfmiddlewaretoken><!--live /b-->"
    assert json.loads(live.payload_of(lambda: HttpResponse(text))) == {"title": "A & B", "parts": {"a": "1"}}


def test_no_live_part_of_a_page_has_a_form(hand: Consumer) -> None:
    task_id = tasks.echo.enqueue(1).id
    for where in ("", "queues/", "workers/", f"tasks/{task_id}/"):
        page = Client().get(OVERVIEW + where).content
        assert live.PART.findall(page), where
        assert not [name for name, text in live.PART.findall(page) if b"csrfmiddlewaretoken" in text], where


@contextmanager
def served() -> Generator[int]:
    """Serve the site by a real ASGI server, on a thread; yield its port."""
    with socket.create_server(("127.0.0.1", 0), backlog=100) as listener:
        server = uvicorn.Server(uvicorn.Config(ASGIHandler(), lifespan="off", log_level="error"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            server.should_exit = server.force_exit = True
            thread.join(DEADLINE_S)
    assert not thread.is_alive()


async def watch(port: int, seen: list[str]) -> None:
    """Look at the overview as a browser does; note what its part was, each time."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=2**20)
    try:
        writer.write(f"GET {OVERVIEW}?live=events HTTP/1.1\r\nHost: testserver\r\n\r\n".encode())
        head = await reader.readuntil(b"\r\n\r\n")
        assert b"200 OK" in head
        assert b"text/event-stream" in head
        async for line in reader:
            if line.startswith(b"data: {"):
                seen.append(json.loads(line[6:])["parts"]["overview"])  # noqa: PERF401 - it is read while it grows
    finally:
        writer.close()


async def until(viewers: list[list[str]], words: str) -> None:
    """Wait until all viewers see words."""
    async with asyncio.timeout(DEADLINE_S):
        while not all(seen and words in seen[-1] for seen in viewers):  # noqa: ASYNC110 - there are many
            await asyncio.sleep(0.01)


def commands(settings: StoreSettings) -> int:
    """How many commands the server has run, those of scripts among them; 0: there is none."""
    if settings.is_memory:
        return 0
    found: Any = client_of(settings.url).info("stats")
    return int(found["total_commands_processed"])


async def test_viewers_share_what_is_made_and_nothing_stays(
    hand: Consumer, measured: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_stream, "BURST_S", 1e9)  # it looks as often as it ever does
    settings: StoreSettings = backend().store_settings
    before = commands(settings)
    await asyncio.to_thread(Client().get, OVERVIEW)
    a_page = commands(settings) - before
    began, made = time.monotonic(), len(measured)
    viewers: list[list[str]] = [[] for _ in range(5 if settings.is_memory else 50)]
    with served() as port:
        open_pages = [asyncio.create_task(watch(port, seen)) for seen in viewers]
        await until(viewers, "Nothing has ended yet")
        await asyncio.to_thread(tasks.echo.enqueue, 1)
        await until(viewers, "<dt>Waiting</dt><dd>1</dd>")
        looks = 2 + (time.monotonic() - began) / live_stream.LOOK_S
        assert len(measured) - made <= looks, "made once for all of them"
        assert commands(settings) - before <= looks * (a_page + 20) + 100, "so that a viewer costs the server nothing"
        [page] = live_stream.hubs["default"].pages.values()
        assert len(page.viewers) == len(viewers)
        thread = live_stream.hubs["default"].thread
        assert thread is not None
        for one in open_pages:
            one.cancel()
        await asyncio.gather(*open_pages, return_exceptions=True)
        await asyncio.to_thread(wait_until, lambda: not thread.is_alive(), "the end of the thread without viewers")
    assert live_stream.hubs["default"].pages == {}


def test_charts_of_a_day_and_of_a_month() -> None:
    charts = OVERVIEW + "charts/"
    assert b"Workers have counted nothing" in Client().get(charts).content
    names = [ALL, of_queue("default"), of_task("shop.send")]
    new = NewSeries("w", 1, 0, [(name, "a2b1c1d4e900k3y3") for name in names])
    asyncio.run(supervisor().add_series(new))
    asyncio.run(supervisor().note_release("shop", BAD))
    for query in ({}, {"queue": "default"}, {"task": "shop.send"}, {"by": "hour"}, {"by": "hour", "task": "shop.send"}):
        found = Client().get(charts, {"format": "json", **query}).json()
        sums = [sum(found[name]) for name in ("succeeded", "failed", "other", "retried")]
        assert sums == [2, 1, 1, 4], query
        assert found["each_s"] == (3600 if "by" in query else 60)
        assert len(found["at"]) == (720 if "by" in query else 1440)
        assert {len(found[name]) for name in ("failed", "run_p50_s", "run_p95_s", "wait_p50_s")} == {len(found["at"])}
        assert [one["text"] for one in found["releases"]] == [BAD]
        assert 0.01 < max(value or 0 for value in found["run_p50_s"]) < 0.025
    assert sum(Client().get(charts, {"format": "json", "queue": "mail"}).json()["failed"]) == 0
    page = Client().get(charts, {"by": "hour", "task": "shop.send"}).content.decode()
    assert '<span class="said">1</span>' in page
    assert "task%3Ashop.send" in page
    assert "By the day" in page
    assert "alert(&#x27;x&#x27;)" in page
    assert Client().get(charts, {"queue": "<script>"}).status_code == 400
    for where in ("", "queues/one/?name=default"):
        assert "data-chart-table" in Client().get(OVERVIEW + where).content.decode(), where


@pytest.mark.parametrize("where", ["", "charts/"])
def test_first_load_is_small(where: str) -> None:
    page = Client().get(OVERVIEW + where).content
    folder = Path(live.__file__).parent / "static"
    named = re.findall(rb'(?:src|href)="/static/([^"]+)"', page)
    assert len(named) >= 4
    size = len(gzip.compress(page)) + sum(len(gzip.compress((folder / one.decode()).read_bytes())) for one in named)
    assert size <= FIRST_LOAD_BYTES
    assert re.findall(rb'(?:src|href|action)="(?:https?:)?//', page) == []
    assert b"<style" not in page
    assert b" style=" not in page
    assert b"<script>" not in page
