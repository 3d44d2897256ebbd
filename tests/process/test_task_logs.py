"""What attempts log and print is kept with their tasks, by real workers."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from streamtasks_workers.cli.main import streamtasks_command
from tests.process.tasks import log_app
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from streamtasks.protocol.log_lines import TaskLogs
    from streamtasks.results import Result
    from tests.support.fleet import Fleet

EXECUTORS = {"inline": (), "mixed": ("--threads", "2", "--async-concurrency", "2")}


def start(fleet: Fleet, *options: str) -> Any:
    fleet.start("--concurrency", "1", *options, app="log_app:app")
    return log_app.make(fleet.url).tasks


def kept(result: Result[Any], last: str) -> TaskLogs:
    """Wait for the line that is to be the last; return all."""

    def look() -> TaskLogs | None:
        logs = result.logs()
        return logs if logs.lines and logs.lines[-1].text == last else None

    found = wait_until(look, f"{last!r} is the last line")
    assert found is not None
    return found


@pytest.mark.parametrize("executor", EXECUTORS)
def test_records_and_prints_are_kept_in_order(fleet: Fleet, executor: str) -> None:
    tasks = start(fleet, *EXECUTORS[executor])
    talk, atalk, nothing = tasks["talk"].enqueue(), tasks["atalk"].enqueue(), tasks["nothing"].enqueue()
    lines = kept(talk, "no end").lines
    assert [(one.attempt, one.level, one.source, one.text.split("\n")[0]) for one in lines] == [
        (1, "INFO", "shop", "said one"),
        (1, "", "stdout", "printed 2 and more"),
        (1, "", "stdout", "third"),
        (1, "", "stderr", "to stderr"),
        (1, "ERROR", "shop", "caught"),
        (1, "", "stdout", "no end"),
    ]
    assert lines[4].text.endswith("ValueError: bad \x1b[31m news")
    assert [one.text for one in kept(atalk, "from a thread").lines] == ["awaited", "from a thread"]
    nothing.get(60)
    assert nothing.logs().total == 0
    logs = wait_until(lambda: _expiring(fleet, talk.id, atalk.id), "their lines expire with their records")
    assert len(logs) == 2, "nothing is kept for a task that logs nothing"


def _expiring(fleet: Fleet, *ids: str) -> list[bytes]:
    """Return the keys of lines, once each of these expires when the record does."""
    found = [fleet.client.pexpiretime(name(one)) for one in ids for name in (fleet.keys.log, fleet.keys.record)]
    keys: Any = fleet.client.keys("*log:*")
    return list(keys) if found[::2] == found[1::2] else []


def test_whatever_is_logged_breaks_nothing(fleet: Fleet) -> None:
    tasks = start(fleet)
    hostile = tasks["hostile"].enqueue()
    [long, nul, few, *crlf, _] = kept(hostile, "after close").lines
    assert long.text.startswith("aaa")
    assert long.text.endswith("az")
    assert "characters left out" in long.text
    assert len(long.text) < 20_000
    assert nul.text == "nul \0 esc \x1b[2J half \ud800 \u202e"
    assert few.text.startswith("too few %s %s (TypeError")
    assert [one.text for one in crlf] == ["x\r"] * 3

    env = {"STREAMTASKS_WORKER_APP": "log_app:app", "PROC_APP_URL": fleet.url}
    for words in (("logs", hostile.id), ("logs", hostile.id, "--json", "--follow"), ("show", hostile.id)):
        shown = CliRunner(env=env).invoke(_command(fleet), words)
        assert shown.exit_code == 0, shown.output
        assert "after close" in shown.output
        assert all(line.isprintable() for line in shown.output.split("\n"))
    unknown = CliRunner(env=env).invoke(_command(fleet), ("logs", "none"))
    assert unknown.exit_code == 1


def _command(fleet: Fleet) -> Any:
    log_app.app = log_app.make(fleet.url)
    import sys

    sys.modules["log_app"] = log_app
    return streamtasks_command


def test_of_too_many_lines_the_first_and_the_last_are_kept(fleet: Fleet) -> None:
    tasks = start(fleet)
    flood = tasks["flood"].enqueue(20_000)
    logs = kept(flood, "line 19999")
    assert logs.total == 20_000
    assert [one.text for one in logs.first] == [f"line {number}" for number in range(len(logs.first))]
    last = [one.text for one in logs.last]
    assert last == [f"line {number}" for number in range(20_000 - len(last), 20_000)]
    kept_bytes = sum(len(json.dumps(one)) for one in logs.lines)
    assert 40_000 < kept_bytes < 80_000


def test_every_attempt_has_its_lines_also_one_that_died(fleet: Fleet) -> None:
    tasks = start(fleet)
    died = tasks["die"].enqueue()
    lines = kept(died, "again").lines
    assert [(one.attempt, one.text) for one in lines] == [(1, "last words"), (2, "again")]
    died.get(60)
    assert died.forget()
    assert died.logs().total == 0
    assert not fleet.client.exists(fleet.keys.log(died.id))
