"""The frame of every request to the API: who asks, whether they may, errors as problems (RFC 9457)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final

from django.core.exceptions import RequestDataTooBig
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.views.decorators.csrf import csrf_exempt, csrf_protect

from streamtasks.exceptions import (
    ConfigurationError,
    DecodeError,
    InvalidTask,
    QueueNotEmpty,
    ScheduleDeclared,
    ScheduleExists,
    ScheduleNotFound,
    ServerNotSupported,
    StoreError,
    StreamTasksError,
    TaskNotFound,
)

from ...framework import task_backends
from ..access import NEEDS, VIEW, actor_of, chosen_alias, guard, known_aliases, roles_of
from .fields import Field, from_body, from_query
from .operation import Call, Operation
from .plain import encode
from .tokens import holder_of

__all__ = ["AS_TEXT", "PROBLEM", "PROBLEMS", "api_view"]

PROBLEM: Final = "application/problem+json"
"""The media type of errors."""

AS_TEXT: Final = Field(
    "integers", "string", "How integers past 2^53 - 1 are written.", default="number", choices=("number", "text")
)

PROBLEMS: Final[tuple[tuple[type[StreamTasksError], int, str], ...]] = (
    (TaskNotFound, 404, "not-found"),
    (ScheduleNotFound, 404, "not-found"),
    (ScheduleExists, 409, "conflict"),
    (ScheduleDeclared, 409, "conflict"),
    (QueueNotEmpty, 409, "conflict"),
    (ServerNotSupported, 501, "not-supported"),
    (InvalidTask, 400, "invalid"),
    (DecodeError, 422, "unreadable"),
    (ConfigurationError, 409, "conflict"),
    (StoreError, 503, "unavailable"),
)
"""The status and the type of a problem for each error; the first that fits."""


class _Refused(Exception):
    def __init__(self, status: int, kind: str, text: str, **headers: str) -> None:
        super().__init__(text)
        self.status, self.kind, self.text, self.headers = status, kind, text, headers


def _problem(status: int, kind: str, text: str, **headers: str) -> HttpResponse:
    values = {
        "type": f"urn:streamtasks:problem:{kind}",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": text,
    }
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return HttpResponse(encode(values, as_text=False), PROBLEM, status, headers=names)


def api_view(operations: Sequence[Operation]) -> Callable[..., HttpResponseBase]:
    """Return the view of the operations of one address."""
    by_method = {one.method: one for one in operations}
    if "GET" in by_method:
        by_method["HEAD"] = by_method["GET"]

    def answer(request: HttpRequest, alias: str = "", **values: str) -> HttpResponseBase:
        request.csrf_checked = True  # type: ignore[attr-defined]
        try:
            roles, actor = _who(request)
            return _answer(request, by_method, roles, actor, alias, values)
        except _Refused as no:
            return _problem(no.status, no.kind, no.text, **no.headers)
        except RequestDataTooBig as error:
            return _problem(413, "too-large", f"{error} See DATA_UPLOAD_MAX_MEMORY_SIZE.")
        except StreamTasksError as error:
            status, kind = next(
                ((status, kind) for known, status, kind in PROBLEMS if isinstance(error, known)), (500, "error")
            )
            return _problem(status, kind, str(error.args[0]) if error.args else str(error))

    protected: Callable[..., HttpResponseBase] = csrf_protect(answer)

    def view(request: HttpRequest, *args: Any, **values: Any) -> HttpResponseBase:
        request.get_host()  # raises DisallowedHost, whatever middleware the project has
        # A browser sends cookies by itself, for another site, too; nobody sends a token by itself.
        response = (answer if _token_of(request) is not None else protected)(request, *args, **values)
        if not hasattr(request, "csrf_checked"):
            response = _problem(403, "csrf", "The CSRF token is missing or wrong: send it in the header X-CSRFToken.")
        return guard(response)

    exempt: Callable[..., HttpResponseBase] = csrf_exempt(view)  # the project's middleware knows no tokens
    return exempt


def _token_of(request: HttpRequest) -> str | None:
    """Return the token of a request; None: it has none."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None


def _who(request: HttpRequest) -> tuple[frozenset[str], str]:
    """Return the roles of who asks, and the name. With a token, nothing else counts."""
    token = _token_of(request)
    if token is not None:
        holder = holder_of(token)
        if holder is None:
            raise _Refused(
                401, "unauthorized", "This token is not known, or not any more.",
                WWW_Authenticate='Bearer error="invalid_token"',
            )  # fmt: skip
        return holder.roles, holder.name
    roles = roles_of(request)
    user = getattr(request, "user", None)
    if not roles and (user is None or not user.is_authenticated):
        raise _Refused(
            401, "unauthorized", "Send a token (Authorization: Bearer ...), or log in.", WWW_Authenticate="Bearer"
        )
    return roles, actor_of(request)


def _answer(
    request: HttpRequest,
    by_method: Mapping[str, Operation],
    roles: frozenset[str],
    actor: str,
    alias: str,
    values: Mapping[str, str],
) -> HttpResponse:
    operation = by_method.get(request.method or "")
    role = VIEW if operation is None else operation.role
    for needed in (VIEW, role):
        if needed not in roles:
            raise _Refused(403, "forbidden", f"It needs the permission to {NEEDS[needed]} (role {needed}).")
    if operation is None:
        allowed = ", ".join(by_method)
        raise _Refused(405, "method-not-allowed", f"This address answers {allowed}.", Allow=allowed)
    chosen = chosen_alias(alias)
    if chosen is None:
        known = ", ".join(known_aliases()) or "none"
        raise _Refused(404, "not-found", f"There is no backend {alias!r:.100}; there are {known}.")
    if operation.method == "GET":
        given = from_query((*operation.fields, AS_TEXT), request.GET)
    else:
        if request.content_type != "application/json":
            raise _Refused(415, "not-json", "Send a JSON object, as Content-Type: application/json.")
        given = from_body(operation.fields, request.body) | from_query((AS_TEXT,), request.GET)
    as_text = given.pop("integers") == "text"
    backend: Any = task_backends[chosen]
    found = operation.run(Call(backend, roles, actor, given, request.path), **values)
    return HttpResponse(encode(found, as_text=as_text), "application/json", operation.status)
