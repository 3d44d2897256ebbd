"""Addresses of the API, from the list of its operations."""

from __future__ import annotations

from typing import Any, Final

from django.urls import URLPattern, path

from ..access import VIEW, known_aliases
from . import changes, reads, surveys
from .document import openapi
from .frame import api_view
from .operation import OPERATIONS, Call, Operation
from .schemas import named

__all__ = ["GENERAL", "PREFIX", "urlpatterns"]

PREFIX: Final = "api/v1/"

_LISTED: Final = (reads, surveys, changes)  # importing them fills the list


def backends(_: Call) -> Any:
    """Return the aliases of the backends."""
    return {"aliases": known_aliases()}


def document(call: Call) -> Any:
    """Return this document."""
    return openapi(call.path.removesuffix("/openapi.json"), GENERAL, OPERATIONS)


GENERAL: Final = [
    Operation("GET", "backends", VIEW, (), named("Backends"), 200, backends),
    Operation("GET", "openapi.json", VIEW, (), {"type": "object"}, 200, document),
]
"""Operations that are about no backend."""


def _patterns(operations: list[Operation], before: str) -> list[URLPattern]:
    by_path: dict[str, list[Operation]] = {}
    for one in operations:
        by_path.setdefault(one.path, []).append(one)
    return [
        path(
            f"{PREFIX}{before}{where.replace('{', '<str:').replace('}', '>')}",
            api_view(some),
            name=f"api_{some[0].name}",
        )
        for where, some in by_path.items()
    ]


urlpatterns = _patterns(GENERAL, "") + _patterns(OPERATIONS, "<str:alias>/")
