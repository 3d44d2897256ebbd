"""The page, and the two views that its script calls."""

from __future__ import annotations

import time
from collections import deque

from django import forms
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import ensure_csrf_cookie
from django.views.decorators.http import require_GET, require_POST, require_safe

from streamtasks import StoreError

from .. import get_task_backend
from ..framework import TaskResultDoesNotExist
from .access import dashboard_roles
from .kinds import KINDS, MAX_SHOWN
from .rows import rows

__all__ = ["enqueue", "latest", "page", "states", "watch"]

latest: deque[str] = deque(maxlen=MAX_SHOWN)
"""The ids of the latest tasks, newest first. One person, one process: no database is needed to remember them."""


class EnqueueForm(forms.Form):
    """The input of `enqueue`."""

    kind = forms.ChoiceField(choices=[(key, key) for key in KINDS])
    number = forms.IntegerField(min_value=1, required=False)

    def clean(self) -> None:
        """Check the number against the limits of its kind."""
        super().clean()
        kind = KINDS.get(self.cleaned_data.get("kind", ""))
        if kind is None:
            return
        if self.cleaned_data.get("number") is None:
            self.cleaned_data["number"] = kind.default
        elif self.cleaned_data["number"] > kind.highest:
            self.add_error("number", f"At most {kind.highest}.")


def _unavailable(error: StoreError) -> JsonResponse:
    return JsonResponse({"error": str(error)}, status=503)


@require_safe
@never_cache
@ensure_csrf_cookie
def page(request: HttpRequest) -> HttpResponse:
    """Show the page; its script fills the table."""
    values = {"kinds": KINDS.values(), "shown": MAX_SHOWN, "has_dashboard": bool(dashboard_roles(request))}
    return render(request, "streamtasks_demo/page.html", values)


@require_safe
@never_cache
def watch(request: HttpRequest, task_id: str) -> HttpResponse:
    """Show one task with the template tag that any project can use; see `streamtasks_django.progress`."""
    try:
        result = get_task_backend().get_result(task_id)
    except TaskResultDoesNotExist as error:
        raise Http404("This task is not known, or not any more.") from error
    except StoreError as error:
        return _unavailable(error)
    return render(request, "streamtasks_demo/watch.html", {"result": result})


@require_POST
def enqueue(request: HttpRequest) -> JsonResponse:
    """Enqueue the tasks of a button; answer with their rows and the time that enqueueing took."""
    form = EnqueueForm(request.POST)
    if not form.is_valid():
        return JsonResponse({"error": " ".join(str(m) for found in form.errors.values() for m in found)}, status=400)
    began = time.perf_counter()
    try:
        results = KINDS[form.cleaned_data["kind"]].enqueue(form.cleaned_data["number"])
        took_ms = (time.perf_counter() - began) * 1000
        ids = [result.id for result in results]
        latest.extendleft(ids)
        return JsonResponse({"tasks": rows(ids), "took_ms": round(took_ms, 1)}, status=201)
    except StoreError as error:
        return _unavailable(error)


@require_GET
@never_cache
def states(request: HttpRequest) -> JsonResponse:
    """Answer with the present state of the tasks named in ``ids``, or of the latest ones, oldest first."""
    named = request.GET.get("ids")
    ids = list(reversed(latest)) if named is None else [word for word in named.split(",") if word][:MAX_SHOWN]
    known = set(latest)
    try:
        return JsonResponse({"tasks": rows([task_id for task_id in ids if task_id in known])})
    except StoreError as error:
        return _unavailable(error)
