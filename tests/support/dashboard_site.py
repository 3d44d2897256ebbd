"""The dashboard, mounted in the project of the tests, and addresses of its pages."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from typing import Any

import pytest
from django.http import HttpRequest
from django.tasks import task_backends
from django.test import Client, override_settings
from django.urls import include, path

from contract.app import tasks
from streamtasks.stores.factory import open_supervisor_store
from streamtasks_django import chain, group
from streamtasks_django.dashboard import urls as dashboard
from streamtasks_django.dashboard.access import ROLES
from tests.support.manual_consumer import Consumer, outcome_of
from tests.support.users import worker_settings

urlpatterns = [path("any/prefix/", include(dashboard))]

ROLES_GIVEN: set[str] = set()
"""The roles of who asks."""

in_memory = pytest.mark.parametrize("server_and_memory", ["memory"], indirect=True)
"""For what does not depend on the store."""

ROLES_SETTING = f"{__name__}.roles"


def roles(_: HttpRequest) -> set[str]:
    """What ``DASHBOARD_ROLES`` names."""
    return ROLES_GIVEN


@pytest.fixture(scope="module")
def site() -> Generator[None]:
    """The dashboard at its address, for a whole module, because apps and templates are read anew for each site."""
    templates = [{"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True}]
    with override_settings(
        ROOT_URLCONF=__name__,
        INSTALLED_APPS=[
            "streamtasks_django",
            "streamtasks_django.outbox",
            "streamtasks_django.dashboard",
            "contract.app",
        ],
        TEMPLATES=templates,
        STATIC_URL="/static/",
        ALLOWED_HOSTS=["testserver"],
    ):
        yield


@pytest.fixture(autouse=True)
def mounted(server_and_memory: None, site: None) -> Generator[None]:
    """Serve the dashboard to somebody with all roles."""
    with override_settings(STREAMTASKS={"DASHBOARD_ROLES": ROLES_SETTING}):
        ROLES_GIVEN.clear()
        ROLES_GIVEN.update(ROLES)
        yield


BAD = "<script>alert('x')</script>\"'&</pre></textarea>{{ 1 }}"
"""What somebody may have written anywhere."""

VALUES = {"alias": "default", "task_id": "nobody", "workflow_id": "nobody", "bulk_id": "nobody"}


def address(name: str, /, **values: str) -> str:
    [route] = [one for one in dashboard.urlpatterns if one.name == name]
    found = str(route.pattern)
    for part, value in {**VALUES, **values}.items():
        found = found.replace(f"<str:{part}>", value)
    assert "<" not in found, f"give {name} a value for each part of its address, in VALUES"
    return "/any/prefix/" + found


def changes(route: Any) -> bool:
    """Whether a route takes no GET: such a one needs more than the right to look."""
    return "GET" not in rule(route).methods


def rule(route: Any) -> Any:
    """What answers on a route; `access.view` notes its role and methods there."""
    return route.callback


def failed(hand: Consumer, *args: Any, message: str = "no address") -> str:
    result: Any = tasks.echo.enqueue(*args)
    [claimed] = hand.claim(1)
    error = b'{"e":{"type":"builtins.LookupError","message":"%s","traceback":"Traceback"}}' % message.encode()
    hand.settle(outcome_of(claimed, "FAILURE", error))
    return str(result.id)


def backend() -> Any:
    return task_backends["default"]


def tag() -> str:
    found: str = backend().stores.plain.tags[0]
    return found


def supervisor() -> Any:
    """Return the store of a keeper: that of a worker, if tests run so."""
    settings = backend().store_settings
    found = worker_settings(settings)
    return backend().stores.asynchronous if found is settings else open_supervisor_store(found)


def beat(name: str, **about: Any) -> None:
    """Let a worker give a sign of life."""
    asyncio.run(supervisor().beat(tag(), name, {"queue_mode": "all", "children": 2, **about}))


def page(name: str, /, query: dict[str, str] | None = None, **values: str) -> str:
    response = Client().get(address(name, **values), query or {})
    assert response.status_code == 200, (name, response.content.decode()[-2000:])
    return response.content.decode()


def any_workflow() -> str:
    echo: Any = tasks.echo
    result: Any = chain(echo.s(BAD), group(echo.s(1), echo.s(2)), echo.s()).apply_async()
    found: str = str(result.id).rpartition(".w")[0]
    return found
