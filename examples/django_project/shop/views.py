"""A view that enqueues, and one that shows what became of it."""

from django.http import HttpRequest, JsonResponse
from django.tasks.exceptions import TaskResultDoesNotExist
from django.urls import reverse

from shop.tasks import send_confirmation


def confirm(request: HttpRequest, order: int) -> JsonResponse:
    """Enqueue; nothing is waited for."""
    result = send_confirmation.delay(order)
    return JsonResponse({"task": reverse("task", args=[result.id])})


def task(request: HttpRequest, task_id: str) -> JsonResponse:
    """Show the state of a task, and its result once there is one."""
    try:
        result = send_confirmation.get_result(task_id)
    except TaskResultDoesNotExist:
        return JsonResponse({"error": f"no task {task_id}"}, status=404)
    return JsonResponse({"status": result.status, "result": result.return_value if result.is_finished else None})
