"""Where a running task is in its code, asked of real workers, without anything that the task could notice."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from streamtasks.operations.stacks import StackAnswer, stacks
from streamtasks_workers.cli.main import streamtasks_command
from tests.process.tasks import log_app
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from streamtasks.results import Result
    from tests.support.fleet import Fleet


def start(fleet: Fleet, *options: str) -> Any:
    fleet.start("--concurrency", "1", *options, app="log_app:app")
    return log_app.make(fleet.url).tasks


def title(fleet: Fleet) -> str:
    """What ps shows of the only child."""
    [child] = fleet.workers[0].pids().children
    return Path(f"/proc/{child}/cmdline").read_text().replace("\0", " ").rstrip()


def asked(result: Result[Any]) -> StackAnswer:
    found = wait_until(lambda: stacks(result.store, result.id, 60), "it runs")
    assert found is not None
    return found


def asked_until(result: Result[Any], *stack: tuple[str, list[str]]) -> StackAnswer:
    """Ask until the task has got as far as these stacks: it is known to run before its own code does."""

    def there() -> StackAnswer | None:
        answer = asked(result)
        return answer if all(functions(answer).count(one) >= stack.count(one) for one in stack) else None

    answer = wait_until(there, lambda: f"{stack} among {functions(asked(result))}")
    assert answer is not None
    return answer


def functions(answer: StackAnswer) -> list[tuple[str, list[str]]]:
    return sorted((one.name.split(" ")[0], [frame.function for frame in one.frames]) for one in answer.stacks)


@pytest.mark.parametrize("options", [(), ("--threads", "2", "--async-concurrency", "2")], ids=["inline", "mixed"])
def test_threads_and_coroutines(fleet: Fleet, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...]) -> None:
    tasks, gate = start(fleet, *options), fleet.directory / "open"
    idle = title(fleet)
    rests = tasks["rest"].enqueue(str(gate))
    answer = asked_until(rests, ("thread", ["rest"]))
    assert functions(answer) == [("thread", ["rest"])]
    [frame] = answer.stacks[0].frames
    assert frame.file.endswith("log_app.py")
    assert frame.line > 50
    assert answer.problem == ""
    monkeypatch.setitem(sys.modules, "log_app", log_app)
    monkeypatch.setattr(log_app, "app", log_app.make(fleet.url))
    run = CliRunner(env={"STREAMTASKS_WORKER_APP": "log_app:app"}).invoke
    shown = run(streamtasks_command, ("show", rests.id, "--stack"))
    assert shown.exit_code == 0, shown.output
    assert ", in rest" in shown.output
    assert "hidden" not in shown.output
    as_json = json.loads(run(streamtasks_command, ("show", rests.id, "--stack", "--json")).output)
    assert as_json["stack"]["stacks"][0]["frames"][0]["function"] == "rest"
    waits = None
    if options:
        waits = tasks["arest"].enqueue(str(gate))
        asleep = ("coroutine", ["asleep", "sleep"])
        found = functions(asked_until(waits, asleep, asleep, ("coroutine", ["arest"])))
        assert found.count(asleep) == 2
    running = "st-child rest [0-9]+ s" + (" and 1 more" if options else "")
    wait_until(lambda: re.fullmatch(running, title(fleet)), lambda: title(fleet))
    gate.touch()
    rests.get(60)
    if waits is not None:
        waits.get(60)
    assert stacks(rests.store, rests.id) is None, "it does not run any more"
    assert "stack: it is not known to run" in run(streamtasks_command, ("show", rests.id, "--stack")).output
    assert rests.attempts == 1
    wait_until(lambda: title(fleet) == idle, lambda: title(fleet))


@pytest.mark.slow
def test_code_that_does_not_let_go_of_the_interpreter(fleet: Fleet) -> None:
    tasks = start(fleet)
    gate = fleet.gate()
    deaf = tasks["deaf"].enqueue(gate.path)

    def is_deaf() -> StackAnswer | None:  # it is known to run before its own code does
        answer = asked(deaf)
        return answer if answer.problem else None

    answer = wait_until(is_deaf, "it does not answer")
    assert answer is not None
    assert answer.stacks == []
    assert "does not let go of the interpreter" in answer.problem
    gate.open()
    deaf.get(60)
