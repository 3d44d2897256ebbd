"""``streamtasks schedules`` on a plain Python app."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from streamtasks import StreamTasks
from streamtasks.schedules import every
from streamtasks.schedules.owner import definition_of
from streamtasks_workers.cli.schedules import schedules_command

APP = """
from streamtasks import StreamTasks

app = StreamTasks({url!r})

@app.task(name="shop.report")
def report(*args, **kwargs): ...
"""


@pytest.fixture
def run(embedded_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    (tmp_path / "cli_shop.py").write_text(APP.format(url=embedded_url))
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(__import__("sys").modules, "cli_shop", raising=False)

    def call(*words: str) -> Result:
        return CliRunner().invoke(schedules_command, ["--app", "cli_shop:app", *words])

    return call


def test_a_life(run: Any) -> None:
    made = run(
        "create", "nightly", "shop.report", "--cron", "0 3 * * *", "--args", "[1]", "--options", '{"priority": 5}'
    )
    assert (made.exit_code, made.output[:47]) == (0, "nightly: crontab(minute=0, hour=3, tz='UTC'), n"), made.output
    assert run("pause", "nightly").output == "nightly: pause\n"
    header, row = run("list").output.splitlines()
    assert header.split()[:3] == ["name", "task", "rule"]
    assert (row.split()[:2], "paused" in row) == (["nightly", "shop.report"], True)
    assert run("resume", "nightly").exit_code == 0
    assert run("run", "nightly").output.startswith("nightly: task ")
    shown = run("show", "nightly").output
    assert "args           [1]" in shown
    assert "state          active" in shown
    assert run("delete", "nightly").output == "nightly: deleted\n"
    assert len(run("list").output.splitlines()) == 1


def test_changes(run: Any) -> None:
    run("create", "weekly", "shop.report", "--every", "60", "--args", "[1]", "--options", '{"queue": "low"}')
    changed = run("update", "weekly", "--cron", "0 9 * * mon", "--tz", "Europe/Berlin", "--kwargs", '{"deep": true}')
    assert changed.output.startswith("weekly: crontab(minute=0, hour=9, day_of_week=1, tz='Europe/Berlin'), next run ")
    assert run("update", "weekly", "--misfire", "all", "--misfire-bound", "90").exit_code == 0
    shown = run("show", "weekly").output
    for text in ("[1]", "{'deep': True}", "'queue': 'low'", "all", "0:01:30"):
        assert text in shown, shown


def test_a_declared_one_is_deleted_by_force_only(run: Any, embedded_url: str) -> None:
    app = StreamTasks(embedded_url)
    report = app.task(name="shop.report")(print)
    app.store.put_schedule(definition_of(app.owner, "kept", report.si(), every(60)).new_schedule(0, declared="shop"), 0)
    refused = run("delete", "kept")
    assert (refused.exit_code, "declared by shop" in refused.output) == (1, True), refused.output
    assert run("delete", "kept", "--force").output == "kept: deleted\n"


def test_the_app_may_be_named_by_the_environment(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    run("create", "hourly", "shop.report", "--every", "3600")
    monkeypatch.setenv("STREAMTASKS_WORKER_APP", "cli_shop:app")
    found = CliRunner().invoke(schedules_command, ["list"])
    assert (found.exit_code, "hourly" in found.output) == (0, True), found.output


@pytest.mark.parametrize(
    ("words", "status", "text"),
    [
        (("show", "x"), 1, "There is no schedule 'x'"),
        (("create", "x", "shop.report"), 2, "Give --cron or --every."),
        (("create", "x", "shop.report", "--every", "5", "--tz", "UTC"), 2, "--tz is for --cron."),
        (("create", "x", "shop.report", "--cron", "0 2 * * *", "--tz", "Berlin"), 1, "tz is 'Berlin'"),
        (("update", "x"), 2, "Give a change"),
        (("update", "x", "--every", "5"), 1, "There is no schedule 'x'"),
        (("create", "x", "shop.nothing", "--every", "5"), 1, "task is 'shop.nothing'"),
        (("create", "x", "shop.report", "--cron", "0 25 * * *"), 1, "hour is '25'"),
        (("create", "x", "shop.report", "--every", "5", "--args", "{}"), 2, "is not a JSON list"),
        (("create", "x", "shop.report", "--every", "5", "--options", '{"queu": 1}'), 1, "'queu' is no option"),
    ],
)
def test_what_is_wrong_is_said(run: Any, words: tuple[str, ...], status: int, text: str) -> None:
    found = run(*words)
    assert (found.exit_code, text in found.output) == (status, True), found.output


def test_nothing_to_look_at(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DJANGO_SETTINGS_MODULE", "STREAMTASKS_WORKER_APP", "STREAMTASKS_WORKER_SETTINGS"):
        monkeypatch.delenv(name, raising=False)
    found = CliRunner().invoke(schedules_command, ["list"])
    assert (found.exit_code, "Nothing to serve" in found.output) == (2, True)
