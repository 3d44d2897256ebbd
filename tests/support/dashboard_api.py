"""Ask the dashboard's JSON API in a test; a test module of it imports `mounted`."""

from __future__ import annotations

import json
from collections.abc import Generator
from typing import Any

import pytest
from django.http import HttpRequest
from django.test import Client, override_settings
from django.urls import include, path
from jsonschema import Draft202012Validator

from contract.app import tasks
from streamtasks.protocol.json import dumps
from streamtasks_django.dashboard import urls as dashboard
from streamtasks_django.dashboard.access import ROLES
from streamtasks_django.dashboard.api import tokens
from streamtasks_django.dashboard.api.operation import Operation
from streamtasks_django.dashboard.api.schemas import SCHEMAS
from streamtasks_django.dashboard.api.urls import GENERAL
from tests.support.manual_consumer import Consumer, outcome_of

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

session_roles: set[str] = set()


def roles(_: HttpRequest) -> set[str]:
    """What ``DASHBOARD_ROLES`` names."""
    return session_roles


def settings(**more: Any) -> Any:
    return override_settings(STREAMTASKS={"DASHBOARD_ROLES": f"{__name__}.roles", "DASHBOARD_TOKENS": KEPT, **more})


@pytest.fixture(autouse=True)
def mounted(server_and_memory: None) -> Generator[None]:
    with (
        override_settings(
            ROOT_URLCONF=__name__,
            INSTALLED_APPS=["streamtasks_django", "streamtasks_django.outbox", "contract.app"],
            ALLOWED_HOSTS=["testserver"],
        ),
        settings(),
    ):
        session_roles.clear()
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
    address = one.path.replace("{task_id}", "nobody").replace("{bulk_id}", "none").replace("{workflow_id}", "group")
    return address if one in GENERAL else f"default/{address}"
