"""The API's description, OpenAPI 3.1, made from its operations."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from typing import Any, Final

from ..access import NEEDS
from .fields import Field, schema_of
from .frame import AS_TEXT, PROBLEM
from .operation import Operation
from .schemas import SCHEMAS, named

__all__ = ["openapi"]

_ABOUT: Final = """\
Everything that the task dashboard shows and changes.

Times are integers, ms since the epoch by the clock of the store. Lists are pages: pass `cursor` of one to get the next;
`null` says that there is none. Cursors are opaque.

**Integers are exact**, also past 2^53 - 1, as arguments and results of tasks may be. A reader that knows only floating
point numbers, such as `JSON.parse` of JavaScript, would round them: with `integers=text` they are strings.
What JSON has not, such as NaN, is a string.

Every change needs a `reason`, and stands in the audit with the name of the user or of the token. Errors are problems
(RFC 9457). A session of the dashboard serves as well as a token; changes then need the header `X-CSRFToken`."""

_REFUSALS: Final = {
    "400": "The request is wrong.",
    "401": "There is no token and no session, or the token is not known.",
    "403": "The role is missing.",
    "404": "It is not known.",
    "409": "It is not possible now.",
    "413": "The body is too large.",
    "415": "The body is not JSON.",
    "422": "What is stored cannot be read here.",
    "501": "The backend cannot do that.",
    "503": "The store does not answer.",
}


def openapi(server: str, general: Sequence[Operation], operations: Sequence[Operation]) -> dict[str, Any]:
    """Return the description of operations.

    Args:
        server: the address before the paths.
        general: operations that are about no backend.
        operations: those of a backend.
    """
    paths: dict[str, dict[str, Any]] = {}
    for one in general:
        paths.setdefault(f"/{one.path}", {})[one.method.lower()] = _operation(one, ())
    for one in operations:
        paths.setdefault(f"/{{alias}}/{one.path}", {})[one.method.lower()] = _operation(one, ("alias",))
    return {
        "openapi": "3.1.0",
        "info": {"title": "streamtasks", "version": version("streamtasks"), "description": _ABOUT},
        "servers": [{"url": server}],
        "security": [{"token": []}, {"session": []}],
        "paths": paths,
        "components": {
            "schemas": SCHEMAS,
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer"},
                "session": {"type": "apiKey", "in": "cookie", "name": "sessionid"},
            },
        },
    }


def _operation(one: Operation, before: Sequence[str]) -> dict[str, Any]:
    text = " ".join((one.run.__doc__ or "").split())
    summary, _, more = text.partition(". ")
    names = [*before, *(part[1:-1] for part in one.path.split("/") if part.startswith("{"))]
    in_query = [*one.fields, AS_TEXT] if one.method == "GET" else [AS_TEXT]
    described: dict[str, Any] = {
        "operationId": one.name,
        "summary": summary.removesuffix("."),
        "description": f"{more} Needs the permission to {NEEDS[one.role]} (role `{one.role}`).".strip(),
        "parameters": [
            *({"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in names),
            *(_parameter(field) for field in in_query),
        ],
        "responses": {
            str(one.status): {"description": "Done.", "content": {"application/json": {"schema": one.answer}}},
            **{
                status: {"description": about, "content": {PROBLEM: {"schema": named("Problem")}}}
                for status, about in _REFUSALS.items()
            },
        },
    }
    if one.method != "GET":
        described["requestBody"] = {"required": True, "content": {"application/json": {"schema": _body(one)}}}
    return described


def _parameter(field: Field) -> dict[str, Any]:
    return {
        "name": field.name,
        "in": "query",
        "description": field.about,
        "required": field.is_required,
        "schema": schema_of(field),
    }


def _body(one: Operation) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {field.name: {**schema_of(field), "description": field.about} for field in one.fields},
        "required": [field.name for field in one.fields if field.is_required],
        "additionalProperties": False,
    }
