"""The commands by which operators look and steer: exact, harmless to terminals, and scripts can use their statuses."""

from __future__ import annotations

import getpass
import json
import socket
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from streamtasks import StreamTasks
from streamtasks.exceptions import ConfigurationError, InvalidTask
from streamtasks.operations import bulk, control, inspect
from streamtasks.protocol.errors import describe
from streamtasks.protocol.json import dumps
from streamtasks_workers.cli import bulk as bulk_commands
from streamtasks_workers.cli import filter_options, output
from streamtasks_workers.cli.main import streamtasks_command
from tests.support.manual_consumer import Consumer, outcome_of

APP = """
from streamtasks import StreamTasks

app = StreamTasks({url!r})

@app.task(name="shop.pack")
def pack(*args, **kwargs): ...
"""
HOSTILE = "\x1b[31mred\x07\r\n\u202e\u2028\x9b2J"
BIG = 2**63 - 1


@pytest.fixture
def shop(embedded_url: str) -> StreamTasks:
    app = StreamTasks(embedded_url, timeout_s=60.0, enqueue_timeout_s=60.0)
    app.task(name="shop.pack")(lambda *args, **kwargs: None)
    return app


@pytest.fixture
def run(embedded_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    (tmp_path / "op_shop.py").write_text(APP.format(url=embedded_url))
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(__import__("sys").modules, "op_shop", raising=False)

    def call(*words: str, **more: Any) -> Result:
        env = {"STREAMTASKS_WORKER_APP": "op_shop:app"}
        return CliRunner(env=env).invoke(streamtasks_command, words, **more)

    return call


def harmless(text: str) -> bool:
    return all(line.isprintable() for line in text.split("\n"))


def test_what_is_hostile_is_escaped_and_integers_are_exact(shop: StreamTasks, run: Any) -> None:
    pack = shop.tasks["shop.pack"]
    failed = pack.apply_async((HOSTILE, BIG), {"n": -BIG}, headers={"h": HOSTILE}).id
    dead = pack.enqueue(HOSTILE).id
    with Consumer(shop.store) as child:
        error = dumps({"e": describe(ValueError(HOSTILE)) | {"traceback": f"  {HOSTILE}\n"}})
        for state in ("FAILURE", "DEAD"):
            child.settle(*(outcome_of(one, state, error)._replace(note="crashed") for one in child.claim(1)))
    pack.enqueue(BIG, HOSTILE)
    assert run("queues", "pause", "default", "--actor", HOSTILE, "--reason", HOSTILE).exit_code == 0
    for words in (
        ["status"], ["queues", "list"], ["tasks"], ["show", failed], ["show", dead], ["dead-letters", "list"],
        ["dead-letters", "show", dead], ["workers"], ["audit"],
    ):  # fmt: skip
        for more in ([], ["--json"]):
            found = run(*words, *more)
            assert (found.exit_code, harmless(found.output)) == (0, True), found.output
    assert str(BIG) in run("tasks").output
    shown = json.loads(run("show", failed, "--json").output)
    assert (shown["args"], shown["kwargs"], shown["state"]) == ([HOSTILE, BIG], {"n": -BIG}, "FAILURE")
    [entry] = shop.store.audit_entries()
    assert (entry.actor, entry.target) == (HOSTILE, "default")


def test_exit_statuses(shop: StreamTasks, run: Any) -> None:
    waits = shop.tasks["shop.pack"].enqueue(1).id
    assert (run("show", "nothing").exit_code, run("retry", waits).exit_code) == (1, 1)
    assert run("revoke", waits).output == f"{waits}: revoked\n"
    unknown = run("revoke", "nothing")
    assert (unknown.exit_code, unknown.output) == (1, "nothing: is not known; it will be REVOKED if it comes\n")
    assert run("tasks", "--cursor", "x").exit_code == 1
    assert run("status", "--app", "op_shop:none").exit_code == 2
    assert (run("queues", "pause").exit_code, run("queues", "pause", "a", "--everything").exit_code) == (2, 2)
    assert run("queues", "pause", "a", "--task", "b").exit_code == 2
    assert run("dead-letters", "discard", "x", "--yes").exit_code == 1


@pytest.mark.usefixtures("shop")
def test_where_there_is_nothing_a_sentence_says_so(run: Any) -> None:
    assert run("tasks").output.startswith("no task is meant by state:queued")
    assert run("dead-letters", "list").output == "there is no such dead letter\n"
    assert run("audit").output == "nobody has changed anything\n"
    assert run("audit", "--before", "1-0").output == "there are no older entries\n"


def test_a_task_is_paused_by_its_name(shop: StreamTasks, run: Any, embedded_url: str) -> None:
    shop.tasks["shop.pack"].enqueue(1)
    assert run("queues", "pause", "--task", "shop.pack", "--reason", "why").output == "shop.pack: paused\n"
    for words in ("status", "queues", "tasks"):
        assert "task shop.pack" in run(words).output
    assert json.loads(run("status", "--json").output)["pauses"][0]["task"] == "shop.pack"
    assert run("queues", "resume", "--task", "shop.pack").output == "shop.pack: resumed\n"
    assert [(one.operation, one.target) for one in shop.store.audit_entries()] == [
        ("resume", "task shop.pack"),
        ("pause", "task shop.pack"),
    ]
    packing = StreamTasks(embedded_url, compression="gzip", timeout_s=60.0)
    with pytest.raises(ConfigurationError, match="cannot be paused by its name"):
        control.pause(packing.owner, "", task="shop.pack", actor="ann", reason="")
    with pytest.raises(InvalidTask, match="not both in one call"):
        control.pause(packing.owner, "default", task="shop.pack", actor="ann", reason="")


def test_an_empty_queue_is_forgotten(shop: StreamTasks, run: Any) -> None:
    shop.tasks["shop.pack"].enqueue(1)
    refused = run("queues", "forget", "default")
    assert (refused.exit_code, "default" in refused.output) == (1, True)
    with Consumer(shop.store) as child:
        child.succeed()
    assert run("queues", "forget", "default").output == "default: forgotten\n"
    assert run("queues", "forget", "default").output == "default: is not known\n"
    assert json.loads(run("queues", "--json").output) == []


def test_nothing_is_deleted_without_a_yes(shop: StreamTasks, run: Any) -> None:
    for number in range(3):
        shop.tasks["shop.pack"].enqueue(number)
    refused = run("queues", "purge", "default", input="n\n")
    assert (refused.exit_code, "Revoke 3 tasks of queue default?" in refused.output) == (1, True)
    assert run("queues", "purge", "default", input="y\n").output.endswith("default: tasks revoked: 3\n")
    assert {one.actor for one in shop.store.audit_entries()} == {f"{getpass.getuser()}@{socket.gethostname()}"}


def test_pages_of_tasks_follow_each_other(shop: StreamTasks, run: Any) -> None:
    ids = {shop.tasks["shop.pack"].enqueue(number).id for number in range(5)}
    found, cursor = set[str](), ""
    while True:
        page = json.loads(run("tasks", "--limit", "2", "--cursor", cursor, "--json").output)
        found |= {one["id"] for one in page["tasks"]}
        cursor = page["cursor"]
        if not cursor:
            break
    assert found == ids


def test_a_filter_and_options_choose_what_is_listed(shop: StreamTasks, run: Any) -> None:
    ids = [shop.tasks["shop.pack"].apply_async((number,), {"to": "Ann B"}, queue=queue).id
           for number, queue in enumerate(("a", "b", "a"))]  # fmt: skip

    def listed(*words: str) -> list[str]:
        return [one["id"] for one in json.loads(run("tasks", *words, "--json").output)["tasks"]]

    assert listed("queue:a", "since:1h") == listed("--queue", "a", "--since", "1h") == [ids[0], ids[2]]
    assert listed('queue:a arg.to="Ann B"', "--arg", "0=2") == listed(f"id:{ids[2]}") == [ids[2]]
    assert listed("--arg", "to=Ann B", "--until", "1h") == listed("--name", "shop.pick") == []
    with Consumer(shop.store) as child:
        child.settle(*(outcome_of(one, "DEAD", b"{}")._replace(note="crashed") for one in child.claim()))
    [letter] = json.loads(run("dead-letters", "list", "error:crashed", "--arg", "0=1", "--json").output)["dead_letters"]
    assert letter["id"] == ids[1]
    wrong = run("tasks", "size:7")
    assert (wrong.exit_code, "there is no key 'size'" in wrong.output) == (2, True)


def test_all_tasks_of_a_filter_are_revoked_and_retried(shop: StreamTasks, run: Any) -> None:
    for number in range(4):
        shop.tasks["shop.pack"].apply_async((number,), queue="a" if number else "b")
    revoked = run("revoke", "--all", "queue:a", "--yes", "--reason", "why")
    assert revoked.output.endswith(": finished, applied 3, skipped 0, refused 0\n"), revoked.output
    planned = run("bulk", "plan", "retry", "state:revoked", "--arg", "0=2")
    assert planned.output.startswith("to retry: 1 with state:revoked arg.0=2\n  ")
    assert json.loads(run("tasks", "queue:a", "--json").output)["tasks"] == []
    assert run("bulk", "apply").output.endswith(": finished, applied 1, skipped 0, refused 0\n")
    assert run("retry", "--all", "state:revoked", "--yes").output.endswith("applied 2, skipped 1, refused 0\n")
    assert len(json.loads(run("tasks", "queue:a", "--json").output)["tasks"]) == 3
    for words in (("revoke",), ("revoke", "--all", "--terminate"), ("retry", "x", "--dry-run"),
                  ("revoke", "--all", "state:failed"), ("bulk", "plan", "replay", "state:queued")):  # fmt: skip
        assert run(*words).exit_code == 2, words
    assert [one.operation for one in shop.store.audit_entries(1)] == ["retry finished"]


def test_what_waits_in_a_queue_is_moved(shop: StreamTasks, run: Any) -> None:
    for number in range(3):
        shop.tasks["shop.pack"].apply_async((number,), queue="a")
    assert run("queues", "move", "a", "b", input="n\n").exit_code == 1
    moved = run("queues", "move", "a", "b", "arg.0=1", "--yes", "--reason", "why")
    assert moved.output.endswith(": finished, applied 1, skipped 0, refused 0\n"), moved.output
    assert run("queues", "move", "a", "b", "--yes").output.endswith(": finished, applied 2, skipped 0, refused 0\n")
    assert len(json.loads(run("tasks", "queue:b", "--json").output)["tasks"]) == 3
    for words in (("queues", "move", "a", "b", "state:failed"), ("queues", "move", "a", "b", "queue:c"),
                  ("bulk", "plan", "move", "queue:b")):  # fmt: skip
        assert run(*words).exit_code == 2, words


def test_the_choices_of_operations_are_those_of_the_service_layer() -> None:
    assert tuple(bulk.OPERATIONS) == bulk_commands.OPERATIONS


def test_the_choices_of_states_are_those_of_the_service_layer() -> None:
    assert filter_options.STATES == inspect.STATES


@pytest.mark.parametrize(
    ("ms", "text"), [(0, "-"), (999, "999 ms"), (61_000, "1m 1s"), (3_600_000, "1h"), (90_061_000, "1d 1h")]
)
def test_durations(ms: int, text: str) -> None:
    assert output.age(ms) == text


def test_times_that_no_calendar_has() -> None:
    assert output.moment(2**63) == f"{2**63} ms"
    assert output.moment(1) == "1970-01-01 00:00:00.001Z"


def test_groups_list_where_no_command_is_named(shop: StreamTasks, run: Any) -> None:
    shop.tasks["shop.pack"].enqueue(1)
    assert run("queues").output.startswith("queue ")
    assert json.loads(run("dead-letters", "--json").output) == json.loads(run("dead-letters", "list", "--json").output)
    assert "Commands:" in run("queues", "--help").output
    assert run("queues", "lst").exit_code == 2
    assert run("tasks", "--state", "failed").output.startswith("no task is meant by state:failed; --state has queued")


def test_all_dead_letters_of_a_filter(shop: StreamTasks, run: Any) -> None:
    for number in range(12):
        shop.tasks["shop.pack"].enqueue(number)
    with Consumer(shop.store) as child:
        child.settle(*(outcome_of(one, "DEAD", b"{}")._replace(note="crashed") for one in child.claim()))
    assert run("dead-letters", "replay", "--all", "--arg", "0=77").output == "to replay: 0 with state:dead arg.0=77\n"
    refused = run("dead-letters", "discard", "--all", input="n\n")
    assert (refused.exit_code, "  and 2 more\nGo on? [y/N]: n\n" in refused.output) == (1, True)
    assert run("bulk", "show", "--json").output.count('"state": "ABORTED"') == 1
    started = run("dead-letters", "replay", "--all", "--error", "crashed", "--rate", "5", "--detach", "--yes")
    assert started.output.endswith(": left to the workers\n")
    assert run("bulk", "abort").output.endswith(": aborted, 0 of 12 were done\n")
    assert run("bulk", "apply").output.endswith(": finished, applied 12, skipped 0, refused 0\n")
    [latest, *_] = json.loads(run("bulk", "list", "--json").output)
    assert (latest["operation"], latest["state"], latest["applied"]) == ("replay", "FINISHED", 12)
    assert latest["sample"][0]["call"] == "shop.pack(11)"
    undone = run("bulk", "undo")
    assert (undone.exit_code, "only a discard can be undone" in undone.output) == (1, True)
    for words in (("a", "--error", "crashed"), (), ("--all", "size:7"), ("--all", "state:failed")):
        assert run("dead-letters", "replay", *words).exit_code == 2
