"""A view with the metrics of what lies in the stores of all aliases, for Prometheus."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from streamtasks.exceptions import StoreError
from streamtasks.operations.store_metrics import StoreCollector, asks_for_limits, exposition

from .backends.base import StoreBackend
from .framework import task_backends

__all__ = ["metrics"]


@never_cache
@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    """Answer with the metrics; with 503 while a store cannot be reached.

    It asks nobody who they are: put it behind what protects other pages for operators, or on an address that only
    Prometheus reaches.
    """
    backends = [task_backends[alias] for alias in task_backends]
    stores = [backend.stores.plain for backend in backends if isinstance(backend, StoreBackend)]
    try:
        collector = StoreCollector(stores, with_limits=asks_for_limits(request.META.get("QUERY_STRING", "")))
        content_type, text = exposition(collector, request.headers.get("Accept", ""))
    except StoreError as error:
        return HttpResponse(f"{error}\n", status=503, content_type="text/plain; charset=utf-8")
    return HttpResponse(text, content_type=content_type)
