"""The views behind a signed address: the present state as JSON, and every change as server-sent events."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any, Final, cast

from django.core.handlers.asgi import ASGIRequest
from django.core.signing import BadSignature
from django.http import HttpRequest, HttpResponseBase, JsonResponse, StreamingHttpResponse
from django.utils.cache import add_never_cache_headers
from django.views.decorators.http import require_safe

from streamtasks import StoreError

from ..backends.base import StoreBackend
from ..framework import TaskResultDoesNotExist, task_backends
from .addresses import task_of
from .state import state_of, unknown

__all__ = ["events", "state"]

LONGEST_S: Final = 300.0
"""A stream of events ends after this time, seconds; browsers ask again by themselves."""


def _task(signed: str) -> tuple[StoreBackend, str] | None:
    try:
        alias, task_id = task_of(signed)
    except (BadSignature, ValueError, TypeError):
        return None
    return cast("StoreBackend", task_backends[alias]), task_id


def _refused() -> JsonResponse:
    return JsonResponse({"error": "This address is not valid, or not any more: load the page again."}, status=403)


@require_safe
def state(request: HttpRequest, signed: str) -> HttpResponseBase:  # noqa: ARG001
    """Answer with the present state of a task."""
    found = _task(signed)
    if found is None:
        return _closed(_refused())
    backend, task_id = found
    try:
        shown = state_of(backend.get_result(task_id))
    except TaskResultDoesNotExist:
        shown = unknown()
    except StoreError:
        return _closed(JsonResponse({"error": "The state of the task is not known now."}, status=503))
    return _closed(JsonResponse(shown))


@require_safe
def events(request: HttpRequest, signed: str) -> HttpResponseBase:
    """Answer with every change of a task, under ASGI; under WSGI, where each viewer would keep a thread, not at all."""
    found = _task(signed)
    if found is None:
        return _closed(_refused())
    if not isinstance(request, ASGIRequest):
        return _closed(JsonResponse({"error": "This server sends no events: ask for the state."}, status=501))
    response = StreamingHttpResponse(_changes(*found), content_type="text/event-stream")
    response["X-Accel-Buffering"] = "no"  # nginx would keep them back
    return _closed(response)


async def _changes(backend: StoreBackend, task_id: str) -> AsyncIterator[str]:
    yield "retry: 2000\n\n"
    try:
        async with asyncio.timeout(LONGEST_S), aclosing(backend.awatch(task_id)) as results:
            last: Any = None
            async for result in results:
                shown = state_of(result)
                if shown != last:
                    yield _event(shown)
                    last = shown
    except (TimeoutError, StoreError):
        return
    if last is None:
        yield _event(unknown())


def _event(shown: dict[str, Any]) -> str:
    return f"data: {json.dumps(shown)}\n\n"


def _closed(response: HttpResponseBase) -> HttpResponseBase:
    response["X-Content-Type-Options"] = "nosniff"
    response["Referrer-Policy"] = "same-origin"
    add_never_cache_headers(response)
    return response
