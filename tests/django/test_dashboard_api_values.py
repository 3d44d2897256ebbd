"""The dashboard's JSON API: what it returns and changes."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.tasks import task_backends
from django.test import Client, override_settings

from contract.app import tasks
from streamtasks.operations.bulk_steps import BulkRunner
from tests.support.dashboard_api import (
    ROOT,
    TOKENS,
    ask,
    died,
    failed,
    get,
    in_memory,
    mounted,
    post,
    settings,
)
from tests.support.manual_consumer import Consumer, outcome_of

__all__ = ["mounted"]

pytestmark = pytest.mark.usefixtures("server_and_memory")


def redact(kind: str, task: str, value: Any) -> Any:
    """What ``DASHBOARD_REDACT`` names."""
    return {"args": [], "kwargs": {}, "headers": {}}.get(kind, f"no {kind} of {task.rpartition('.')[2]}")


# -- what it shows -------------------------------------------------------------------------------------


def test_integers_are_exact_and_everything_is_json(hand: Consumer) -> None:
    big = 2**63 + 1
    task_id = failed(hand, big, float("nan"), {"deep": [-big, 2**53 - 1]})
    raw = ask("GET", f"default/tasks/{task_id}").content.decode()
    assert f'[{big},"nan",{{"deep":[-{big},{2**53 - 1}]}}]' in raw
    assert get(f"default/tasks/{task_id}?integers=text")["args"] == [str(big), "nan", {"deep": [f"-{big}", 2**53 - 1]}]
    again = post(f"default/tasks/{task_id}/retry", 201)["id"]
    assert get(f"default/tasks/{again}")["args"][0] == big
    assert get(f"default/tasks/{again}")["headers"]["replay_of"] == task_id
    key = died(hand, 1)
    letter = get(f"default/dead-letters/one?key={key}")["key"]
    changed = post("default/dead-letters/replay", 201, key=letter, args=[big], kwargs={"a": [big]})["id"]
    shown = get(f"default/tasks/{changed}")
    assert (shown["args"], shown["kwargs"]) == ([big], {"a": [big]})
    assert "somebody has replayed" in post("default/dead-letters/replay", 404, key=letter)["detail"]


def test_long_arguments_stay_out_of_lists(hand: Consumer) -> None:
    task_id = failed(hand, "x" * 50_000, message="y" * 5_000)
    [row] = get("default/tasks?filter=state:failed")["items"]
    assert row["is_shortened"]
    assert row["args"] is None
    assert len(row["error"]["message"]) <= 301
    whole = get(f"default/tasks/{task_id}")
    assert whole["args"] == ["x" * 50_000]
    assert whole["error"]["message"] == "y" * 5_000


def test_values_are_hidden_and_redacted(hand: Consumer) -> None:
    task_id = failed(hand, "a secret", message="secret too")
    died(hand, "secret")
    waits: Any = tasks.echo.enqueue("a secret")
    [claimed] = hand.claim(1)
    report = {"kind": "FAILURE", "attempt": 1, "error": {"type": "LookupError", "message": "secret three"}}
    hand.settle(outcome_of(claimed, "RETRY", b"")._replace(note=json.dumps(report)))
    post("default/bulk", 201, operation="replay", filter="arg.0=secret")
    post("default/schedules", 201, name="nightly", task=tasks.echo.module_path, every_s=60, args=["secret"])
    places = [
        f"tasks/{task_id}",
        f"tasks/{task_id}/explain",
        f"tasks/{waits.id}/explain",
        f"tasks/{waits.id}",
        "tasks?filter=state:failed",
        "dead-letters",
        "attention",
        "bulk",
        "schedules",
        "audit",
    ]
    assert "secret three" in json.dumps(get(f"default/tasks/{waits.id}/explain"))
    for place in places:
        assert "secret" not in json.dumps(get(f"default/{place}", by="blind")), place
    with settings(DASHBOARD_REDACT=f"{__name__}.redact"):
        for place in places:
            assert "secret" not in json.dumps(get(f"default/{place}")), place
        assert get(f"default/tasks/{task_id}")["error"]["message"] == "no error of echo"
    assert "see_arguments" in get("default/tasks?filter=state:failed+arg.0=1", 400, by="blind")["detail"]
    assert "see_arguments" in get("default/dead-letters?filter=secret", 400, by="blind")["detail"]
    assert "see_arguments" in post("default/bulk", 400, by="blind", operation="replay", filter="arg.0=1")["detail"]


def test_lists_are_filtered_and_paged(hand: Consumer) -> None:
    ids = [failed(hand, number, message=str(number)) for number in range(3)]
    tasks.add.enqueue(1, 2)
    found = get("default/tasks?filter=state:failed+arg.0=1")
    assert [one["id"] for one in found["items"]] == [ids[1]]
    assert get("default/tasks?filter=error:LookupError+task:nobody")["items"] == []
    assert [one["args"] for one in get(f"default/tasks?filter=task:{tasks.add.module_path}")["items"]] == [[1, 2]]
    seen, cursor = [], ""
    while True:
        page = get(f"default/audit?limit=1&cursor={cursor}")
        seen += page["items"]
        cursor = page["cursor"]
        if cursor is None:
            break
    assert seen == []
    for wrong in (
        "filter=state:none",
        "limit=0",
        "limit=101",
        "limit=x",
        "unknown=1",
        "cursor=%00&cursor=1",
        "filter=queue:%3Cb%3E",
    ):
        assert get(f"default/tasks?{wrong}", 400)["type"] == "urn:streamtasks:problem:invalid", wrong


# -- what it changes -----------------------------------------------------------------------------------


def test_changes_need_a_reason_and_are_audited(hand: Consumer) -> None:
    task_id = failed(hand, 1)
    assert "reason is missing" in ask("POST", f"default/tasks/{task_id}/retry", {}).found["detail"]
    again = post(f"default/tasks/{task_id}/retry", 201)["id"]
    assert post(f"default/tasks/{task_id}/retry", 201)["id"] == again, "twice is once"
    assert post(f"default/tasks/{again}/revoke")["outcome"] == "gone"
    assert post("default/queues/pause", queue="default")["is_changed"]
    assert not post("default/queues/pause", queue="default")["is_changed"]
    post("default/queues/pause", 400)
    post("default/queues/pause", everything=True)
    post("default/queues/resume", everything=True)
    post("default/queues/resume", queue="default")
    tasks.echo.enqueue(2)
    assert post("default/queues/forget", 409, queue="default")["type"] == "urn:streamtasks:problem:conflict"
    assert post("default/queues/purge", queue="default")["count"] == 1
    post("default/workers/drain", 404, worker="nobody")
    entries = get("default/audit")["items"]
    assert {one["actor"] for one in entries} == {"token:boss"}
    assert {one["reason"] for one in entries} == {"a test"}
    assert {"retry", "revoke", "pause", "resume", "forget", "purge"} <= {one["operation"] for one in entries}


@in_memory
def test_bodies_are_checked() -> None:
    where = "default/queues/pause"
    for body, text in (
        ([], "must be a JSON object"),
        ({"queue": 1}, "JSON type string"),
        ({"queue": "default", "reason": " "}, "reason"),
        ({"queue": "default", "reason": "x" * 1001}, "at most 1000"),
        ({"queue": "default", "reason": "x", "more": 1}, "not known"),
        ({"queue": "<b>", "reason": "x"}, "<b>"),
        ({"queue": "default", "reason": "x", "everything": 1}, "boolean"),
    ):
        response = ask("POST", where, body)
        assert response.status_code == 400, body
        assert text in response.found["detail"], body
    headers = {"authorization": f"Bearer {TOKENS['boss']}"}
    assert Client().post(f"{ROOT}/{where}", {"queue": "default"}, headers=headers).status_code == 415
    for raw in (b"{", b'{"reason": NaN}', b"[" * 100_000, b"\xff"):
        assert Client().post(f"{ROOT}/{where}", raw, "application/json", headers=headers).status_code == 400
    with override_settings(DATA_UPLOAD_MAX_MEMORY_SIZE=100):
        assert ask("POST", where, {"reason": "x" * 200}).status_code == 413
    assert get("default/audit")["items"] == []


def test_schedules_and_bulk_operations(hand: Consumer) -> None:
    made = post(
        "default/schedules", 201, name="a/b ü", task=tasks.echo.module_path, cron="0 3 * * *", tz="Europe/Berlin"
    )
    assert made["rule"] == "crontab(minute=0, hour=3, tz='Europe/Berlin')"
    post("default/schedules", 400, name="x", task=tasks.echo.module_path)
    post("default/schedules", 409, name="a/b ü", task=tasks.echo.module_path, every_s=5)
    changed = post("default/schedules/one", method="PATCH", name="a/b ü", every_s=90, args=[7])
    assert (changed["rule"], changed["args"]) == ("every(90)", [7])
    post("default/schedules/pause", name="a/b ü")
    assert get("default/schedules/one?name=a/b%20%C3%BC")["is_paused"]
    post("default/schedules/resume", name="a/b ü")
    enqueued = post("default/schedules/run", 201, by="operator", name="a/b ü")["id"]
    assert get(f"default/tasks/{enqueued}")["args"] == [7]
    post("default/schedules/one", method="DELETE", name="a/b ü")
    post("default/schedules/one", 404, method="DELETE", name="a/b ü")
    post(f"default/tasks/{enqueued}/revoke")
    died(hand, 1)
    asked = post("default/bulk", 201, operation="replay", filter=f"task:{tasks.echo.module_path}")
    assert asked["state"] == "REQUESTED", "a worker plans it"
    backend: Any = task_backends["default"]
    BulkRunner(backend.owner).run_once()
    planned = get(f"default/bulk/{asked['id']}")
    assert (planned["state"], planned["total"], len(planned["sample"])) == ("PLANNED", 1, 1)
    assert post(f"default/bulk/{planned['id']}/apply", rate=10)["state"] == "APPLYING"
    assert post(f"default/bulk/{planned['id']}/abort")["state"] == "ABORTED"
    post(f"default/bulk/{planned['id']}/undo", 400)
    post("default/bulk", 400, operation="replay", filter="state:queued")
    get("default/bulk/unknown", 404)
