"""The dashboard's JSON API: who may do what, and its document."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from click.testing import CliRunner
from django.test import Client

from contract.app import tasks
from streamtasks.exceptions import ConfigurationError
from streamtasks_django import group
from streamtasks_django.dashboard import token_command
from streamtasks_django.dashboard import urls as dashboard
from streamtasks_django.dashboard.access import POLICY, ROLES
from streamtasks_django.dashboard.api import tokens
from streamtasks_django.dashboard.api.operation import OPERATIONS, Operation
from streamtasks_django.dashboard.api.schemas import SCHEMAS
from streamtasks_django.dashboard.api.urls import GENERAL
from tests.support.dashboard_api import (
    HOLDERS,
    KEPT,
    METHODS,
    ROOT,
    TOKENS,
    ask,
    died,
    failed,
    get,
    in_memory,
    matching,
    mounted,
    post,
    session_roles,
    settings,
    where_of,
)
from tests.support.manual_consumer import Consumer

__all__ = ["mounted"]

pytestmark = pytest.mark.usefixtures("server_and_memory")


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
    session_roles.update(ROLES)
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
    session_roles.update({"view", "administer"})
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
    echo: Any = tasks.echo
    group_id = group([echo.s(1), echo.s(2)]).apply_async().id
    tasks.echo.enqueue("waits")
    queries = {"dead-letters/one": f"?key={dead_id}", "schedules/one": "?name=nightly", "tasks": "?filter=state:failed"}
    for one in (*GENERAL, *OPERATIONS):
        if one.method != "GET" or one.path == "tasks/{task_id}/stacks":
            continue
        where = where_of(one).replace("nobody", task_id).replace("none", bulk_id).replace(
            "group", group_id
        ) + queries.get(one.path, "")
        response = ask("GET", where)
        assert response.status_code == 200, response.content
        found = matching(one.answer, response.found)
        if "items" in found and one.path not in ("workers", "events", "limits"):
            assert found["items"], where
    assert ask("GET", "default/tasks/nobody/stacks").status_code in {404, 501}, "501: in memory"
    assert get("backends") == {"aliases": ["default", "strict"]}
    assert "no backend" in get("nowhere/status", 404)["detail"]


def test_who_waits_for_events_hears_of_the_first() -> None:
    cursor = get("default/events")["cursor"] or ""
    assert get(f"default/events?cursor={quote(cursor)}&wait_s=0")["items"] == []
    later = threading.Timer(0.05, tasks.echo.enqueue, [1])
    later.start()
    found = get(f"default/events?cursor={quote(cursor)}&wait_s=25")
    later.join()
    assert [one["kind"] for one in found["items"]] == ["accepted"]
    assert found["cursor"] != cursor


@in_memory
def test_the_command_makes_a_token_that_works() -> None:
    done = CliRunner().invoke(token_command.token, ["grafana", "--role", "operate", "--expires", "2999-01-01"])
    assert done.exit_code == 0, done.output
    made, kept = (line.split(maxsplit=1)[1] for line in done.output.splitlines())
    with settings(DASHBOARD_TOKENS=json.loads(kept)):
        assert tokens.holder_of(made) == tokens.Holder("token:grafana", frozenset({"view", "operate"}))
    assert CliRunner().invoke(token_command.token, ["grafana", "--expires", "soon"]).exit_code == 2
    assert token_command.ROLES == ROLES
