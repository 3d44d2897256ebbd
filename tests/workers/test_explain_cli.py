"""The command ``streamtasks explain``, and its page."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from streamtasks import StreamTasks
from streamtasks.operations import explain
from streamtasks_workers.cli.main import streamtasks_command

PAGE = (Path(__file__).parents[2] / "docs" / "explain.md").read_text("utf-8")
APP = """
from streamtasks import StreamTasks

app = StreamTasks({url!r})
"""


def test_the_command(embedded_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "explained_shop.py").write_text(APP.format(url=embedded_url))
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    runner = CliRunner(env={"STREAMTASKS_WORKER_APP": "explained_shop:app"})
    app = StreamTasks(embedded_url)
    pack = app.task(name="shop.pack")(lambda: None)
    for number in (11, 12):
        pack.using(queue="orders").apply_async(task_id=f"order-{number}")
    app.owner.store.pause("orders", "ann", "provider is \x1b[31mdown")

    [words] = re.findall(r"^\$ streamtasks (.*)$", PAGE, re.MULTILINE)
    shown = runner.invoke(streamtasks_command, words.split())
    assert shown.exit_code == 0, shown.output
    assert [line.split()[0] for line in shown.output.splitlines()] == ["reason", "paused", "no_worker", "behind"]
    assert "\x1b" not in shown.output
    printed = runner.invoke(streamtasks_command, [*words.split(), "--json"])
    found = json.loads(printed.output)
    assert found["id"] == "order-12"
    assert [(one["code"], one["stops"]) for one in found["reasons"]] == [
        ("paused", True),
        ("no_worker", False),
        ("behind", False),
    ]
    unknown = runner.invoke(streamtasks_command, ["explain", "order-99"])
    assert unknown.exit_code == 1
    assert "never enqueued" in unknown.output


def test_the_page_has_every_reason() -> None:
    source = Path(explain.__file__).read_text("utf-8")
    codes = set(re.findall(r'\(\s*"([a-z_]+)",(?! "")', source))
    documented = {
        code for row in re.findall(r"^\| (`.*?) \|", PAGE, re.MULTILINE) for code in re.findall(r"`(\w+)`", row)
    }
    assert documented == codes
    assert len(codes) >= 14
