"""The dashboard's JSON API: who may do what, what it returns, and that its document says so."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from django.http import HttpRequest
from django.test import Client, override_settings
from django.urls import include, path
from jsonschema import Draft202012Validator

from contract.app import tasks
from streamtasks.exceptions import ConfigurationError
from streamtasks.protocol.json import dumps
from streamtasks_django.dashboard import token_command
from streamtasks_django.dashboard import urls as dashboard
from streamtasks_django.dashboard.access import POLICY, ROLES
from streamtasks_django.dashboard.api import tokens
from streamtasks_django.dashboard.api.operation import OPERATIONS, Operation
from streamtasks_django.dashboard.api.schemas import SCHEMAS
from streamtasks_django.dashboard.api.urls import GENERAL
from tests.support.manual_consumer import Consumer, outcome_of

pytestmark = pytest.mark.usefixtures("server_and_memory")

urlpatterns = [path("any/prefix/", include(dashboard))]

ROOT = "/any/prefix/api/v1"
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
HOLDERS = {
    "nobody": [],
    "viewer": ["view"],
    "operator": ["view", "operate"],
    "blind": ["view", "operate", "administer"],
    "reader": ["view", "see_arguments"],
    "odd": ["operate", "administer", "see_arguments"],
    "boss": list(ROLES),
}
TOKENS = {name: tokens.new_token() for name in HOLDERS}
KEPT = {name: {"sha256": tokens.digest(TOKENS[name]), "roles": roles} for name, roles in HOLDERS.items()}

in_memory = pytest.mark.parametrize("server_and_memory", ["memory"], indirect=True)
"""For what does not depend on the store."""

_roles: set[str] = set()


def roles(_: HttpRequest) -> set[str]:
    """What ``DASHBOARD_ROLES`` names."""
    return _roles


def redact(kind: str, task: str, value: Any) -> Any:
    """What ``DASHBOARD_REDACT`` names."""
    return {"args": [], "kwargs": {}, "headers": {}}.get(kind, f"no {kind} of {task.rpartition('.')[2]}")


def settings(**more: Any) -> Any:
    return override_settings(STREAMTASKS={"DASHBOARD_ROLES": f"{__name__}.roles", "DASHBOARD_TOKENS": KEPT, **more})


@pytest.fixture(autouse=True)
def _mounted(server_and_memory: None) -> Iterator[None]:
    with (
        override_settings(
            ROOT_URLCONF=__name__,
            INSTALLED_APPS=["streamtasks_django", "streamtasks_django.outbox", "contract.app"],
            ALLOWED_HOSTS=["testserver"],
        ),
        settings(),
    ):
        _roles.clear()
        yield


def ask(method: str, where: str, body: Any = None, *, by: str = "boss", **headers: str) -> Any:
    """Ask with a token; return the response, whose ``found`` is what it holds."""
    data = b"" if body is None else json.dumps(body).encode()
    known = {"authorization": f"Bearer {TOKENS[by]}"} | headers
    response: Any = Client().generic(method, f"{ROOT}/{where}", data, "application/json", headers=known)
    response.found = json.loads(response.content) if response.content else None
    return response


def get(where: str, status: int = 200, **options: Any) -> Any:
    response = ask("GET", where, **options)
    assert response.status_code == status, response.content
    return response.found


def post(where: str, status: int = 200, *, by: str = "boss", method: str = "POST", **body: Any) -> Any:
    response = ask(method, where, {"reason": "a test", **body}, by=by)
    assert response.status_code == status, response.content
    return response.found


def matching(schema: Any, found: Any) -> Any:
    """Return what was found, if it is what the document says."""
    Draft202012Validator({**schema, "components": {"schemas": SCHEMAS}}).validate(found)
    return found


def failed(hand: Consumer, *args: Any, message: str = "no address") -> str:
    result: Any = tasks.echo.enqueue(*args)
    [claimed] = hand.claim(1)
    error = {"type": "builtins.LookupError", "message": message, "traceback": f"Traceback of {message}"}
    hand.settle(outcome_of(claimed, "FAILURE", dumps({"e": error})))
    return str(result.id)


def died(hand: Consumer, *args: Any) -> str:
    result: Any = tasks.echo.enqueue(*args)
    [claimed] = [one for one in hand.claim() if one.id == result.id]
    hand.settle(outcome_of(claimed, "DEAD", b"{}")._replace(note="crashed"))
    return str(result.id)


def where_of(one: Operation) -> str:
    address = one.path.replace("{task_id}", "nobody").replace("{bulk_id}", "none")
    return address if one in GENERAL else f"default/{address}"


# -- who may do what -----------------------------------------------------------------------------------


@in_memory
@pytest.mark.parametrize("by", HOLDERS)
def test_every_route_for_every_role_and_method(by: str) -> None:
    known = set(HOLDERS[by])
    by_path: dict[str, dict[str, Operation]] = {}
    for one in (*GENERAL, *OPERATIONS):
        by_path.setdefault(where_of(one), {})[one.method] = one
    assert len(by_path) == len([one for one in dashboard.urlpatterns if str(one.name).startswith("api_")])
    for where, operations in by_path.items():
        for method in METHODS:
            operation = operations.get("GET" if method == "HEAD" else method)
            response = ask(method, where, None if operation is None or operation.method == "GET" else {}, by=by)
            what = f"{method} {where} by {by}: {response.status_code} {response.content[:200]!r}"
            needed = {"view", "view" if operation is None else operation.role}
            if not needed <= known:
                assert response.status_code == 403, what
            elif operation is None:
                assert response.status_code == 405, what
                assert set(response["Allow"].split(", ")) - {"HEAD"} == set(operations), what
            elif operation.method == "GET":
                assert response.status_code in {200, 400, 404, 501}, what
                assert "{" in operation.path or operation.fields or response.status_code == 200, what
            else:
                assert response.status_code == 400, what
                assert "is missing" in response.found["detail"], what
            if response.status_code >= 400:
                assert response["Content-Type"] == "application/problem+json", what
                if method != "HEAD":
                    assert matching(SCHEMAS["Problem"], response.found)["status"] == response.status_code
            assert response["Content-Security-Policy"] == POLICY
            assert "no-store" in response["Cache-Control"]


@in_memory
def test_only_known_tokens_count(tmp_path: Path) -> None:
    for wrong in ("", "x", TOKENS["boss"][:-1], KEPT["boss"]["sha256"], TOKENS["boss"] + "é"):
        response = Client().get(f"{ROOT}/default/status", headers={"authorization": f"Bearer {wrong}"})
        assert response.status_code == 401
        assert response["WWW-Authenticate"].startswith("Bearer")
    assert Client().get(f"{ROOT}/default/status").status_code == 401
    _roles.update(ROLES)
    assert ask("GET", "default/status", by="nobody").status_code == 403, "a token stands for itself alone"
    one = {"sha256": tokens.digest(TOKENS["boss"]), "roles": ["view"]}
    for expires, status in (("2001-01-01", 401), ("2999-01-01T00:00:00+02:00", 200)):
        with settings(DASHBOARD_TOKENS={"some": {**one, "expires": expires}}):
            assert ask("GET", "default/status").status_code == status
    kept = tmp_path / "tokens.json"
    with settings(DASHBOARD_TOKENS=str(kept)):
        kept.write_text(json.dumps({"some": one}))
        assert ask("GET", "default/status").status_code == 200
        kept.write_text("{}")
        assert ask("GET", "default/status").status_code == 401, "revoked at once"
    wrong_setting: Any
    for wrong_setting in ([], {"a": 1}, {"a": {**one, "roles": ["root"]}}, {"a": {"roles": []}}, str(tmp_path / "no")):
        with settings(DASHBOARD_TOKENS=wrong_setting), pytest.raises(ConfigurationError, match="DASHBOARD_TOKENS"):
            tokens.holder_of(TOKENS["boss"])


def test_a_session_needs_a_csrf_token_and_its_roles() -> None:
    _roles.update({"view", "administer"})
    strict, body = Client(enforce_csrf_checks=True), json.dumps({"queue": "default", "reason": "x"})
    assert strict.get(f"{ROOT}/default/queues").status_code == 200
    refused = strict.post(f"{ROOT}/default/queues/pause", body, "application/json")
    assert refused.status_code == 403
    assert json.loads(refused.content)["type"] == "urn:streamtasks:problem:csrf"
    assert not get("default/status")["pauses"]
    with_token = strict.post(
        f"{ROOT}/default/queues/pause", body, "application/json", headers={"authorization": f"Bearer {TOKENS['boss']}"}
    )
    assert with_token.status_code == 200
    assert strict.post(f"{ROOT}/default/tasks/x/retry", "{}", "application/json").status_code == 403
    assert Client().get(f"{ROOT}/default/queues", headers={"host": "evil.example"}).status_code == 400


# -- what it says of itself ----------------------------------------------------------------------------


@in_memory
@pytest.mark.slow
def test_the_document_is_openapi() -> None:
    from openapi_spec_validator import validate

    found = get("openapi.json", by="viewer")
    validate(found)
    assert found["openapi"].startswith("3.1")
    assert found["servers"] == [{"url": ROOT}]
    described = {(method.upper(), where) for where, some in found["paths"].items() for method in some}
    assert described == {(one.method, f"/{one.path}") for one in GENERAL} | {
        (one.method, f"/{{alias}}/{one.path}") for one in OPERATIONS
    }


def test_every_answer_is_as_the_document_says(hand: Consumer) -> None:
    task_id, dead_id = failed(hand, 1), died(hand, "dead")
    post("default/schedules", 201, name="nightly", task=tasks.echo.module_path, cron="0 3 * * *", args=[1])
    bulk_id = post("default/bulk", 201, operation="replay", filter="queue:default")["id"]
    post("default/queues/pause", queue="other")
    tasks.echo.enqueue("waits")
    queries = {"dead-letters/one": f"?key={dead_id}", "schedules/one": "?name=nightly", "tasks": "?filter=state:failed"}
    for one in (*GENERAL, *OPERATIONS):
        if one.method != "GET" or one.path == "tasks/{task_id}/stacks":
            continue
        where = where_of(one).replace("nobody", task_id).replace("none", bulk_id) + queries.get(one.path, "")
        found = matching(one.answer, get(where))
        if "items" in found and one.path != "workers" and one.path != "events":
            assert found["items"], where
    assert ask("GET", "default/tasks/nobody/stacks").status_code in {404, 501}, "501: in memory"
    assert get("backends") == {"aliases": ["default", "strict"]}
    assert "no backend" in get("nowhere/status", 404)["detail"]


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
    planned = post("default/bulk", 201, operation="replay", filter=f"task:{tasks.echo.module_path}")
    assert (planned["state"], planned["total"], len(planned["sample"])) == ("PLANNED", 1, 1)
    assert post(f"default/bulk/{planned['id']}/apply", rate=10)["state"] == "APPLYING"
    assert post(f"default/bulk/{planned['id']}/abort")["state"] == "ABORTED"
    post(f"default/bulk/{planned['id']}/undo", 400)
    post("default/bulk", 400, operation="replay", filter="state:queued")
    get("default/bulk/unknown", 404)


@in_memory
def test_the_command_makes_a_token_that_works() -> None:
    done = CliRunner().invoke(token_command.token, ["grafana", "--role", "operate", "--expires", "2999-01-01"])
    assert done.exit_code == 0, done.output
    made, kept = (line.split(maxsplit=1)[1] for line in done.output.splitlines())
    with settings(DASHBOARD_TOKENS=json.loads(kept)):
        assert tokens.holder_of(made) == tokens.Holder("token:grafana", frozenset({"view", "operate"}))
    assert CliRunner().invoke(token_command.token, ["grafana", "--expires", "soon"]).exit_code == 2
    assert token_command.ROLES == ROLES
