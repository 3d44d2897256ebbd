"""``{% load task_progress %} {% task_progress result %}`` shows the progress of a task, and keeps it up to date."""

from __future__ import annotations

from typing import Any

from django import template
from django.core.handlers.asgi import ASGIRequest

from ..addresses import AGE_S, address_of
from ..state import state_of

__all__ = ["register", "task_progress"]

register = template.Library()


@register.inclusion_tag("streamtasks_progress/progress.html", takes_context=True)
def task_progress(context: Any, result: Any, max_age: int = AGE_S) -> dict[str, Any]:
    """Show the progress of a task.

    Args:
        context: of the template.
        result: the task's result.
        max_age: for how long the page may ask for it, seconds.
    """
    address = address_of(result.backend, result.id, max_age)
    has_events = isinstance(context.get("request"), ASGIRequest)
    return {"task": state_of(result), "address": address, "events": f"{address}events/" if has_events else ""}
