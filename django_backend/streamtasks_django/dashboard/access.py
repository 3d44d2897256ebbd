"""Who may see and do what: roles of a request, and the frame of every view."""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from functools import wraps
from typing import Any, Final, NamedTuple

from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import render
from django.utils.cache import add_never_cache_headers
from django.views.decorators.csrf import csrf_protect

from streamtasks.exceptions import (
    ConfigurationError,
    DecodeError,
    InvalidTask,
    QueueNotEmpty,
    ScheduleError,
    ScheduleNotFound,
    ServerNotSupported,
    StoreError,
    TaskNotFound,
)

from ..backends.base import StoreBackend
from ..conf.project import dashboard_roles
from ..framework import task_backends
from .live import polled
from .live_stream import streamed
from .navigation import NAVIGATION
from .notes import NOTES

__all__ = [
    "ADMINISTER",
    "NEEDS",
    "OPERATE",
    "POLICY",
    "ROLES",
    "SEE_ARGUMENTS",
    "VIEW",
    "Visit",
    "actor_of",
    "chosen_alias",
    "guard",
    "known_aliases",
    "roles_of",
    "view",
]

VIEW: Final = "view"
SEE_ARGUMENTS: Final = "see_arguments"
OPERATE: Final = "operate"
ADMINISTER: Final = "administer"
ROLES: Final = (VIEW, SEE_ARGUMENTS, OPERATE, ADMINISTER)

POLICY: Final = "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'"
"""The Content-Security-Policy of all pages."""


class Visit(NamedTuple):
    """A request that may be answered.

    Attributes:
        request: of the browser.
        backend: whose tasks it is about.
        roles: of who asks.
        actor: who asks, for the audit.
    """

    request: HttpRequest
    backend: StoreBackend
    roles: frozenset[str]
    actor: str

    def render(self, name: str, /, **values: Any) -> HttpResponse:
        """Return a page."""
        note = NOTES.get(self.request.GET.get("note", ""))
        common = {
            "note": note,
            "alias": self.backend.alias,
            "aliases": known_aliases(),
            "actor": self.actor,
            "page": name,
        }
        rights = {f"may_{role}": role in self.roles for role in ROLES}
        frame = {"navigation": NAVIGATION, "is_live": "events" if isinstance(self.request, ASGIRequest) else "polling"}
        return render(self.request, f"streamtasks_dashboard/{name}.html", {**common, **rights, **frame, **values})


type Answer = Callable[..., HttpResponse]


def view(role: str, *methods: str) -> Callable[[Answer], Callable[..., HttpResponseBase]]:
    """Make a view of a function that takes a `Visit`: closed to all but a role, for these methods only."""

    def decorate(answer: Answer) -> Callable[..., HttpResponseBase]:
        @wraps(answer)
        def checked(request: HttpRequest, alias: str = "", **values: str) -> HttpResponseBase:
            request.get_host()  # raises DisallowedHost, whatever middleware the project has
            return guard(_answer(request, alias, values))

        def _answer(request: HttpRequest, alias: str, values: dict[str, str]) -> HttpResponseBase:
            user = getattr(request, "user", None)
            roles = roles_of(request)
            if VIEW not in roles or role not in roles:
                if user is not None and not user.is_authenticated and request.method in ("GET", "HEAD"):
                    from django.contrib.auth.views import redirect_to_login  # its models need their app

                    return redirect_to_login(request.get_full_path())
                return _problem(request, 403, "You may not do this", f"It needs the permission to {NEEDS[role]}.")
            if request.method not in methods:
                refused = _problem(request, 405, "This address does not answer that", "Go back to the overview.")
                refused["Allow"] = ", ".join(methods)
                return refused
            chosen = chosen_alias(alias)
            if chosen is None:
                known = ", ".join(known_aliases()) or "none"
                return _problem(request, 404, "There is no such backend", f"Backends: {known}.")
            backend: Any = task_backends[chosen]
            try:
                visit = Visit(request, backend, roles, actor_of(request))
                if request.method == "GET" and "live" in request.GET:
                    return _live(visit, answer, values)
                return answer(visit, **values)
            except (TaskNotFound, ScheduleNotFound) as error:
                return _problem(request, 404, "Not found", str(error.args[0]))
            except ServerNotSupported as error:
                return _problem(request, 501, "This backend cannot do that", str(error))
            except (InvalidTask, ScheduleError, DecodeError, QueueNotEmpty) as error:
                return _problem(request, 400, "That cannot be done", str(error))
            except (StoreError, ConfigurationError) as error:
                return _problem(request, 503, "The server with the tasks does not answer", str(error))

        protected: Callable[..., HttpResponseBase] = csrf_protect(checked)  # whatever middleware the project has
        vars(protected).update(role=role, methods=methods)  # for those who look at the list of routes
        return protected

    return decorate


def _live(visit: Visit, answer: Answer, values: dict[str, str]) -> HttpResponseBase:
    """Answer with the live parts of a page (see `live`)."""
    request: Any = copy(visit.request)
    request.GET = request.GET.copy()
    [kind] = request.GET.pop("live")[-1:]
    key = (visit.backend.alias, f"{request.path}?{request.GET.urlencode()}", visit.roles)
    page = visit._replace(request=request)

    def make() -> HttpResponse:
        return answer(page, **values)

    if kind == "events" and isinstance(request, ASGIRequest):
        return streamed(key, visit.backend.stores.plain, make)
    return polled(key, make)


NEEDS: Final = {
    VIEW: "see the task dashboard",
    SEE_ARGUMENTS: "see arguments of tasks",
    OPERATE: "retry, revoke and replay tasks",
    ADMINISTER: "pause queues, tasks and schedules, and to purge queues and drain workers",
}
"""What a role allows, in words."""


def guard(response: HttpResponseBase) -> HttpResponseBase:
    """Add the headers that every answer has."""
    response["Content-Security-Policy"] = POLICY
    response["Referrer-Policy"] = "same-origin"
    response["X-Content-Type-Options"] = "nosniff"
    response["X-Frame-Options"] = "DENY"
    add_never_cache_headers(response)
    return response


def actor_of(request: HttpRequest) -> str:
    """Return who asks, for the audit."""
    user = getattr(request, "user", None)
    name = user.get_username() if user is not None and user.is_authenticated else ""
    return (name or "dashboard")[:128]


def roles_of(request: HttpRequest) -> frozenset[str]:
    """Return what the browser of a request may do."""
    decide = dashboard_roles()
    if decide is not None:
        return frozenset(decide(request)) & frozenset(ROLES)
    user = getattr(request, "user", None)
    if user is None or not user.is_active or not user.is_staff:
        return frozenset()
    return frozenset(role for role in ROLES if user.has_perm(f"streamtasks_dashboard.{role}"))


def chosen_alias(alias: str) -> str | None:
    """Return the alias that is meant, empty: the main one; None: there is no such."""
    known = known_aliases()
    if alias:
        return alias if alias in known else None
    return "default" if "default" in known else known[0] if known else None


def known_aliases() -> list[str]:
    """Return the aliases whose tasks can be shown."""
    return [alias for alias in task_backends if isinstance(task_backends[alias], StoreBackend)]


def _problem(request: HttpRequest, status: int, title: str, text: str) -> HttpResponse:
    return render(
        request, "streamtasks_dashboard/problem.html", {"title": title, "text": text, "status": status}, status=status
    )
