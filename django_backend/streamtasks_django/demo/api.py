"""Views for a project: start a task, read its state, wait for it, revoke it, list running tasks.

They answer in JSON and do not depend on this site: paste them into your own, and decide there who may call them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from django import forms
from django.http import HttpRequest, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST

from streamtasks import StoreError

from .. import get_task_backend
from ..framework import TaskResultDoesNotExist
from .tasks import report
from .views import latest

if TYPE_CHECKING:
    from ..backends.base import StoreBackend

__all__ = ["active", "revoke", "start", "status", "wait"]

MAX_WAIT_S = 60
"""A request may wait for so long; a thread of this site waits with it."""


class StartForm(forms.Form):
    """The input of `start`."""

    seconds = forms.FloatField(min_value=0, max_value=60, initial=4)


class WaitForm(forms.Form):
    """The input of `wait`."""

    timeout = forms.FloatField(min_value=0, max_value=MAX_WAIT_S, required=False)


def _backend() -> StoreBackend:
    return get_task_backend()


def _error(message: str, status: int, **more: str) -> JsonResponse:
    return JsonResponse({**more, "error": message}, status=status)


def _wrong(form: forms.Form) -> JsonResponse:
    return _error(" ".join(f"{name}: {text}" for name, texts in form.errors.items() for text in texts), 400)


@require_POST
def start(request: HttpRequest) -> JsonResponse:
    """Enqueue a task that takes ``seconds``."""
    form = StartForm({"seconds": StartForm.base_fields["seconds"].initial, **request.POST.dict()})
    if not form.is_valid():
        return _wrong(form)
    try:
        result = report.enqueue(pages=40, seconds=form.cleaned_data["seconds"])
    except StoreError as error:
        return _error(str(error), 503)
    latest.appendleft(result.id)  # the page shows it too
    return JsonResponse({"task_id": result.id, "status": "started", "message": "Task has been queued"}, status=201)


@require_GET
@never_cache
def status(request: HttpRequest, task_id: str) -> JsonResponse:  # noqa: ARG001
    """Answer with the state of a task."""
    try:
        result = _backend().get_result(task_id)
        ready = result.ready()
        answer = {
            "task_id": task_id,
            "status": result.status,
            "state": result.state,
            "ready": ready,
            "successful": result.successful() if ready else None,
            "failed": result.failed() if ready else None,
            "date_created": result.date_created,
            "date_done": result.date_done,
        }
        if ready and result.successful():
            answer["result"] = result.result
        elif ready:
            answer |= {"error": str(result.result), "traceback": result.traceback}
        elif result.info:
            answer["progress"] = result.info
        return JsonResponse(answer)
    except TaskResultDoesNotExist:
        return _error("Nothing is known of this task.", 404, task_id=task_id)
    except StoreError as error:
        return _error(str(error), 503, task_id=task_id)


@require_GET
@never_cache
def wait(request: HttpRequest, task_id: str) -> JsonResponse:
    """Answer once a task is finished, or after ``timeout`` seconds (30)."""
    form = WaitForm(request.GET)
    if not form.is_valid():
        return _wrong(form)
    timeout = form.cleaned_data["timeout"]
    timeout = 30.0 if timeout is None else timeout
    try:
        value = _backend().get_result(task_id).get(timeout=timeout)
    except TimeoutError:
        message = f"Task did not complete within {timeout:g} seconds"
        return JsonResponse({"task_id": task_id, "status": "timeout", "message": message}, status=408)
    except TaskResultDoesNotExist:
        return _error("Nothing is known of this task.", 404, task_id=task_id)
    except StoreError as error:
        return _error(str(error), 503, task_id=task_id)
    except Exception as error:  # noqa: BLE001 - the task's own
        return JsonResponse({"task_id": task_id, "status": "error", "error": str(error)}, status=500)
    return JsonResponse({"task_id": task_id, "status": "completed", "result": value})


@require_POST
def revoke(request: HttpRequest, task_id: str) -> JsonResponse:  # noqa: ARG001
    """Revoke a task, also while it is running."""
    try:
        revoked = _backend().revoke(task_id, terminate=True)
    except StoreError as error:
        return _error(str(error), 503, task_id=task_id)
    message = "Task has been cancelled" if revoked else "Task is finished already, or not known"
    return JsonResponse({"task_id": task_id, "status": "revoked" if revoked else "unchanged", "message": message})


@require_GET
@never_cache
def active(request: HttpRequest) -> JsonResponse:  # noqa: ARG001
    """List the running tasks."""
    try:
        found = _backend().get_active_tasks()
    except StoreError as error:
        return _error(str(error), 503)
    tasks = [{"task_id": one.pop("id"), **one} for one in found]
    return JsonResponse({"active_tasks": tasks, "count": len(tasks)})
