"""Calls that wait are bound to code that has changed since they were enqueued."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from streamtasks import StreamTasks
from streamtasks.operations.deploy_check import EXAMPLES, check_deploy
from streamtasks.schedules.rules import every
from streamtasks_workers.cli.main import streamtasks_command

NEW_CODE = """
from streamtasks import ClassTask, StreamTasks

app = StreamTasks({url!r})

@app.task(name="same")
def same(a, b=1): ...

@app.task(name="bound", bind=True)
def bound(self, a): ...

@app.task(name="changed")
def changed(a, *, new): ...

class Report(ClassTask):
    name = "report"

    def run(self, year): ...

app.register(Report())
"""


@pytest.fixture
def old(embedded_url: str) -> StreamTasks:
    app = StreamTasks(embedded_url, timeout_s=60.0, enqueue_timeout_s=60.0)
    for name in ("same", "bound", "changed", "report", "gone"):
        app.task(name=name)(lambda *_, **__: None)
    return app


@pytest.fixture
def run(embedded_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    (tmp_path / "new_code.py").write_text(NEW_CODE.format(url=embedded_url))
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(__import__("sys").modules, "new_code", raising=False)

    def call(*words: str) -> Result:
        return CliRunner(env={"STREAMTASKS_WORKER_APP": "new_code:app"}).invoke(streamtasks_command, words)

    return call


def test_what_binds_is_let_through(old: StreamTasks, run: Any) -> None:
    tasks = old.tasks
    tasks["same"].apply_async((1,), {"b": 2}, link=tasks["report"].s(), link_error=tasks["report"].si(1))
    tasks["bound"].apply_async((1,), countdown=60)
    tasks["changed"].apply_async((1,), {"new": 2}, link=tasks["bound"].si(1))
    old.schedules.create("nightly", tasks["report"], every(60), (2026,))
    found = run("check-deploy")
    assert (found.exit_code, found.output) == (0, "calls checked: 7, that would fail: 0\n")


def test_what_does_not_is_named_with_examples(old: StreamTasks, run: Any) -> None:
    tasks = old.tasks
    changed = {tasks["changed"].enqueue(n).id for n in range(EXAMPLES + 2)}
    gone = tasks["gone"].apply_async((), countdown=60).id
    bound = tasks["bound"].enqueue().id
    linked = tasks["same"].apply_async((1,), link=tasks["report"].s(2), link_error=tasks["same"].s()).id
    old.schedules.create("nightly", tasks["report"], every(60))
    assert run("check-deploy").exit_code == 1
    found = run("check-deploy", "--json")
    assert found.exit_code == 1
    shown = json.loads(found.output)
    assert (shown["checked"], shown["is_complete"]) == (EXAMPLES + 2 + 1 + 1 + 3 + 1, True)
    problems = {(one["task"], one["problem"]): (one["calls"], one["examples"]) for one in shown["problems"]}
    calls, examples = problems.pop(("changed", "missing a required keyword-only argument: 'new'"))
    assert (calls, len(set(examples) & changed)) == (EXAMPLES + 2, EXAMPLES)
    assert problems == {
        ("bound", "missing a required argument: 'a'"): (1, [bound]),
        ("gone", "no task of this name is known here"): (1, [gone]),
        ("report", "missing a required argument: 'year'"): (1, ["schedule nightly"]),
        ("report", "too many positional arguments"): (1, [linked]),
        ("same", "too many positional arguments"): (1, [linked]),
    }


def test_what_cannot_be_read_and_what_is_too_much(old: StreamTasks, embedded_url: str, run: Any) -> None:
    secret = StreamTasks(embedded_url, encryption_keys=["k" * 32], timeout_s=60.0)
    secret.task(name="same")(print).enqueue(1)
    for number in range(3):
        old.tasks["same"].enqueue(number)
    found = check_deploy(old)
    assert [(one.task, one.calls) for one in found.problems] == [("", 1)]
    assert check_deploy(old, most=2).is_complete is False
    assert run("check-deploy", "--most", "2").output.endswith("there are more than 2; see --most\n")
