"""The command bench measures a server and leaves nothing on it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import redis
from click.testing import CliRunner

from streamtasks_workers.cli.main import streamtasks_command

APP = "from streamtasks import StreamTasks\napp = StreamTasks({url!r})\n"


@pytest.mark.slow
def test_it_measures_and_leaves_nothing(embedded_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "bench_app.py").write_text(APP.format(url=embedded_url))
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    words = ["bench", "--app", "bench_app:app", "--tasks", "1500", "--concurrency", "1", "--json"]
    found = CliRunner().invoke(streamtasks_command, words)
    assert found.exit_code == 0, found.output
    shown = json.loads(found.output)
    assert {name: shown[name] > 0 for name in ("enqueued_per_s", "enqueue_ms", "drained_per_s")} == dict.fromkeys(
        ("enqueued_per_s", "enqueue_ms", "drained_per_s"), True
    )
    assert shown["left"] == ""
    with redis.Redis.from_url(embedded_url, decode_responses=True) as client:
        assert client.keys("*") == []


def test_a_store_in_memory_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "memory_app.py").write_text(APP.format(url="memory://bench"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    found = CliRunner().invoke(streamtasks_command, ["bench", "--app", "memory_app:app"])
    assert (found.exit_code, "this store is in memory" in found.output) == (2, True)
