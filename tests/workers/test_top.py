"""The live screen shows what the store holds, whatever names say, and goes on when the store comes back."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from textual.widgets import DataTable, Static

from streamtasks import StreamTasks
from streamtasks.exceptions import StoreUnavailable
from streamtasks.protocol.errors import describe
from streamtasks.protocol.json import dumps
from streamtasks_workers.cli.main import streamtasks_command
from streamtasks_workers.cli.top_screen import TABLES, TopScreen
from tests.support.manual_consumer import Consumer, outcome_of

HOSTILE = "[red]x[/nothing]\x1b[31m"


def rows(screen: TopScreen, name: str) -> list[list[str]]:
    table: DataTable[Any] = screen.query_one(f"#{name}", DataTable)
    return [[str(cell) for cell in table.get_row_at(place)] for place in range(table.row_count)]


async def look(screen: TopScreen) -> str:
    await screen.workers.wait_for_complete([screen.action_look()])
    return str(screen.query_one("#line", Static).render())


async def test_it_shows_what_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    app = StreamTasks("memory://top")
    mail: Any = app.task(name="mail")(print)
    for number in range(3):
        mail.apply_async((HOSTILE, number), task_id=f"m{number}")
    app.store.pause("other", "ann", "why", "")
    with Consumer(app.store, "web1-1") as child:
        child.settle(outcome_of(child.claim(1)[0], "FAILURE", dumps({"e": describe(ValueError(HOSTILE))})))
        child.claim(1)
        screen = TopScreen("shop", app.store, app.settings.wire, 3600)
        async with screen.run_test(size=(160, 50)):
            line = await look(screen)
            assert "shop: unfinished 2, running 1" in line
            assert "paused: other" in line
            assert rows(screen, "queues")[0][:3] == ["default", "1", "1"]
            assert rows(screen, "running")[0][:2] == ["mail", "m1"]
            [[_, call, task_id, state, error]] = rows(screen, "failures")
            assert (task_id, state, error) == ("m0", "FAILURE", "builtins.ValueError: [red]x[/nothing]\\x1b[31m")
            assert "[red]x[/nothing]" in call

            def away() -> None:
                raise StoreUnavailable("no answer")

            monkeypatch.setattr(app.store, "measures", away)
            assert await look(screen) == "shop: no answer"
            assert rows(screen, "running")[0][:2] == ["mail", "m1"]  # what was known stays
    assert list(TABLES) == ["queues", "workers", "running", "failures"]


def test_what_is_missing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "top_app.py").write_text("from streamtasks import StreamTasks\napp = StreamTasks('memory://top')\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(sys.modules, "textual", None)
    monkeypatch.delitem(sys.modules, "streamtasks_workers.cli.top_screen", raising=False)
    found = CliRunner().invoke(streamtasks_command, ["top", "--app", "top_app:app"])
    assert (found.exit_code, "pip install 'streamtasks[top]'" in found.output) == (2, True), found.output
