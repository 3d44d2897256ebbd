"""What real workers log, as text and as JSON, of plain Python and of Django."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.process.tasks import log_app
from tests.support.fleet import Fleet
from tests.support.waiting import wait_until
from tests.support.worker_process import Worker

EXECUTORS = {"inline": (), "threads": ("--threads", "2")}


def start(fleet: Fleet, *options: str) -> Worker:
    worker = fleet.worker("--concurrency", "1", *options, app="log_app:app")
    worker.start()
    return worker


def lines(worker: Worker, task_id: str) -> list[str]:
    return [line for line in worker.log.splitlines() if task_id in line]


def records(worker: Worker) -> list[dict[str, Any]]:
    return [json.loads(line) for line in worker.log.splitlines() if line.endswith("}")]


def test_lines_of_a_plain_app(fleet: Fleet) -> None:
    worker, tasks = start(fleet), log_app.make(fleet.url).tasks
    revoked = tasks["say"].enqueue("never", 300)
    worker.wait_log(f"id={revoked.id} path=say state=STARTED")
    assert revoked.revoke(terminate=True)
    said, failed, retried = tasks["say"].enqueue("hello"), tasks["fail"].enqueue(), tasks["once_more"].enqueue()
    worker.wait_log(f"id={failed.id} path=fail state=FAILURE")
    worker.wait_log(f"id={retried.id} path=once_more state=SUCCESS")
    worker.wait_log(f"id={said.id} path=say state=SUCCESS")

    start_line, end_line = lines(worker, said.id)
    assert start_line.endswith(
        f"INFO streamtasks.tasks: Task id={said.id} path=say state=STARTED queue=default attempt=1"
    )
    assert re.search(r"state=SUCCESS queue=default attempt=1 runtime=0\.\d{3}s$", end_line)
    assert worker.log.count("INFO shop: said hello") == 1
    words = [re.findall(r"state=(\w+) queue=default attempt=(\d)", line)[0] for line in lines(worker, retried.id)]
    assert words == [("STARTED", "1"), ("RETRY", "1"), ("STARTED", "2"), ("SUCCESS", "2")]
    [why] = [line for line in lines(worker, retried.id) if "RETRY" in line]
    assert "retry_in=0.0s reason='streamtasks.exceptions.Retry: the shelf is empty'" in why
    assert "ERROR streamtasks.tasks: " in lines(worker, failed.id)[1]
    assert "INFO streamtasks.tasks: " in (revoked_line := lines(worker, revoked.id)[-1])
    assert "state=REVOKED queue=default attempt=1" in revoked_line

    frames = re.findall(r'  File "(.*?)"', worker.log)
    assert len(frames) == 2
    assert all(name.endswith("log_app.py") for name in frames), "it begins in the task's own code"
    assert "\x1b" not in worker.log, "nothing that a terminal would obey"
    assert "\\x1b[31m news" in worker.log
    assert re.findall(r'  File "(.*?)"', failed.traceback or "") == frames, "recorded as logged"


def test_the_banner_says_what_runs_how_and_where_without_the_password(fleet: Fleet, tmp_path: Path) -> None:
    fleet.client.execute_command("ACL", "SETUSER", "teller", "on", ">s3cret-word", "~*", "&*", "+@all")
    options = ("--queues", "mail,images", "--threads", "3", "--time-limit", "9", "--grace", "7", "--lease", "12")
    url = fleet.url.replace("redis://", "redis://teller:s3cret-word@")
    with Worker(url, tmp_path, "--concurrency", "1", *options, app="log_app:app") as worker:
        text = worker.log
        about: Any = fleet.client.info("server")
        kind = "Valkey" if "valkey_version" in about else "Redis"
        for part in (
            "serves     log_app:app: 14 tasks, 0 schedules declared",
            f"server     redis://...@{fleet.url.removeprefix('redis://')} ({kind} ",
            "standalone, master, no append-only file), key_prefix 'streamtasks:'",
            "queues     mail, images",
            "executor   1 child, each with 3 threads",
            "limits     hard 9 s",
            "lease      12 s, fenced after 12 s without renewal",
            "grace      7 s after SIGTERM",
            "metrics    off (--metrics-port)",
        ):
            assert part in text
        assert "s3cret-word" not in text
        pids = worker.pids()
        titles = [
            Path(f"/proc/{pid}/comm").read_text().strip() for pid in (pids.supervisor, pids.keeper, *pids.children)
        ]
        assert titles == ["st-supervisor", "st-keeper", "st-child"]


def test_a_flood_of_short_tasks_is_logged_in_part_and_counted(fleet: Fleet) -> None:
    app = log_app.make(fleet.url)
    results = app.tasks["nothing"].enqueue_many([()] * 3000)
    failed = app.tasks["fail"].enqueue()
    worker = start(fleet)
    worker.wait_log(f"id={failed.id} path=fail state=FAILURE")

    def all_told() -> bool:
        hidden = sum(int(number) for number in re.findall(r"(\d+) more attempts have started", worker.log))
        return hidden + worker.log.count("state=STARTED") == len(results) + 1

    wait_until(all_told, "every start is logged or counted")
    assert worker.log.count("path=nothing state=STARTED") == worker.log.count("path=nothing state=SUCCESS")


@pytest.mark.parametrize("executor", EXECUTORS)
def test_json_with_the_fields_of_the_task(fleet: Fleet, executor: str) -> None:
    worker = start(fleet, "--log-format", "json", *EXECUTORS[executor])
    tasks = log_app.make(fleet.url).tasks
    said = [tasks["say"].using(queue="mail").enqueue(text, 0.02) for text in ("one", "two", "extra")]
    said.append(tasks["asay"].using(queue="mail").enqueue("four"))
    failed = tasks["fail"].enqueue()
    wait_until(lambda: sum("task_runtime" in one for one in records(worker)) == 5, "all have ended")

    found = records(worker)
    assert len(found) == len(worker.log.splitlines()), "nothing but JSON"
    mine = {one["message"]: one for one in found if one["logger"] == "shop"}
    for text, result in zip(("one", "two", "four"), (said[0], said[1], said[3]), strict=True):
        record = mine[f"said {text}"]
        assert (record["task_id"], record["task_attempt"], record["task_queue"]) == (result.id, 1, "mail")
        assert record["task_name"] == ("asay" if text == "four" else "say")
        assert record["task_worker"]
        assert record["level"] == "INFO"
    assert (mine["said extra"]["task_id"], mine["said extra"]["shelf"]) == ("mine", 3), "the project's own fields win"
    [end] = [one for one in found if one.get("task_state") == "FAILURE"]
    assert (end["task_id"], end["task_error"]) == (failed.id, "ValueError: bad \x1b[31m news")
    assert end["traceback"].count("log_app.py") == 2
    assert "runner.py" not in end["traceback"]
    outside = next(one for one in found if one["message"].startswith("worker "))
    assert "task_id" not in outside


@pytest.mark.parametrize("executor", [pytest.param("inline", marks=pytest.mark.slow), "threads"])
def test_the_keeper_logs_once_what_the_attempt_cannot(fleet: Fleet, executor: str) -> None:
    worker = start(fleet, "--log-format", "json", "--time-limit", "0.3", *EXECUTORS[executor])
    endless = log_app.make(fleet.url).tasks["stay"].using(queue="mail").enqueue()
    wait_until(endless.ready, "it is ended")

    def ends() -> list[dict[str, Any]]:
        return [one for one in records(worker) if one.get("task_id") == endless.id and "task_runtime" in one]

    wait_until(ends, "it is logged")
    worker.terminate()
    worker.wait()
    [end] = ends()
    assert (end["level"], end["task_state"], end["task_queue"], end["task_attempt"]) == ("ERROR", "FAILURE", "mail", 1)
    assert end["message"].endswith("ended by the worker, it ran for longer than its time limit")
