"""Events are written while somebody watches, and a watch goes on from its cursor."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from streamtasks import StreamTasks
from streamtasks.operations.events import EventWatch, awatch_events
from streamtasks.protocol.keys import Keys
from streamtasks.stores.inspection_types import LATEST, Event
from streamtasks.stores.memory import MemoryServer
from streamtasks_workers.cli.main import streamtasks_command
from tests.support.manual_consumer import Consumer
from tests.support.servers import client_of

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(params=["server", "memory"])
def app(request: pytest.FixtureRequest, server_url: str) -> StreamTasks:
    url = server_url
    if request.param == "memory":
        url = "memory://test-watch-events"
        MemoryServer.discard(url)
    made = StreamTasks(url)
    made.task(name="t")(print)
    return made


def brief(events: list[Event]) -> list[tuple[str, str]]:
    return [(one.kind, one.id) for one in events]


def test_a_watch_switches_events_on_and_goes_on_from_a_cursor(app: StreamTasks) -> None:
    store = app.store
    task = app.tasks["t"]
    task.apply_async(task_id="before")
    assert store.events().events == [], "nobody watches"
    watch = EventWatch(store)
    assert watch.look().events == []
    task.apply_async(task_id="a")
    assert brief(watch.look().events) == [("accepted", "a")]
    with Consumer(store) as hand:
        assert hand.succeed() == ["before", "a"]
        page = watch.look()
        assert {("settled", "before"), ("settled", "a")} <= set(brief(page.events))
        task.apply_async(task_id="b")
        again = EventWatch(store, page.cursor).look()
        assert brief(again.events) == [("accepted", "b")], "nothing twice, nothing left out"
        assert brief(EventWatch(store, "").look().events)[:1] == [("accepted", "a")], "from the oldest"
        assert store.events(LATEST) == ([], again.cursor)
    assert watch.look().events == again.events
    store.pause("default", "ann", "")
    watch.steer_at = 0.0
    assert [one[1:] for one in watch.look().events] == [("paused", "default", "ann")]
    store.resume("default")
    watch.steer_at = 0.0
    assert [one[1:] for one in watch.look().events] == [("resumed", "default", "")]


async def test_on_an_event_loop(app: StreamTasks) -> None:
    pages = awatch_events(app.store, "")
    app.store.watch_events()
    app.tasks["t"].apply_async(task_id="a")
    assert brief((await anext(pages)).events) == [("accepted", "a")]


def test_what_is_written_for_those_who_watch_goes_soon(server_url: str) -> None:
    app = StreamTasks(server_url)
    keys = Keys(app.settings.key_prefix, "u0")
    client = client_of(server_url)
    EventWatch(app.store).look()
    assert 0 < client.pttl(keys.watchers) <= 30_000
    app.task(name="t")(print).apply_async(task_id="a")
    assert 0 < client.pttl(keys.events) <= 3_600_000
    always = StreamTasks(server_url, send_events=True)
    always.task(name="t")(print).apply_async(task_id="b")
    assert client.pttl(keys.events) == -1, "a setting keeps them"


def test_the_command(server_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = f"from streamtasks import StreamTasks\napp = StreamTasks({server_url!r}, key_prefix='watched:')\n"
    (tmp_path / "watched_shop.py").write_text(module)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "watched_shop", raising=False)  # it has the address of another server
    app = StreamTasks(server_url, key_prefix="watched:")  # its own: who still ends on this server has events, too
    app.store.watch_events()
    task = app.task(name="t")(print)
    for task_id in ("a", "b"):
        task.apply_async(task_id=task_id)
    run = CliRunner(env={"STREAMTASKS_WORKER_APP": "watched_shop:app"}).invoke
    lines = run(streamtasks_command, ("events",)).output.splitlines()
    assert [line.split(" ", 2)[2] for line in lines[:2]] == ["accepted a 0:default", "accepted b 0:default"]
    cursor = lines[2].removeprefix("cursor: ")
    task.apply_async(task_id="c")
    more = run(streamtasks_command, ("events", "--follow", "--cursor", cursor, "--count", "1", "--json"))
    assert more.exit_code == 0, more.output
    assert '"id": "c"' in more.output
    assert '"id": "b"' not in more.output
    wrong = run(streamtasks_command, ("events", "--cursor", "accepted c"))
    assert wrong.exit_code != 0
    assert "cursor is 'accepted c', which is none of events; begin without one" in wrong.output
