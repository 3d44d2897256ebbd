"""Results in Django's admin: to read, and to enqueue again what has failed."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar, override

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.helpers import ActionForm
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from streamtasks.exceptions import StreamTasksError
from streamtasks.operations import control

from ..backends.base import StoreBackend
from ..framework import task_backends
from .models import TaskResult

__all__ = ["ReasonForm", "RecentValuesFilter", "TaskResultAdmin"]

_RECENT = 1000
"""How many of the newest rows are asked for the values of a filter: a table may have millions."""

_MOST = 1000
"""So many tasks are enqueued again at once; more are a bulk operation."""


if TYPE_CHECKING:
    _ModelAdmin = admin.ModelAdmin[Any]
else:
    _ModelAdmin = admin.ModelAdmin  # generic for type checkers only


class RecentValuesFilter(admin.SimpleListFilter):
    """Filter by the values that a column has among the newest rows, without a scan of the table."""

    @override
    def lookups(self, request: HttpRequest, model_admin: admin.ModelAdmin[Any]) -> list[tuple[str, str]]:
        """Return the values."""
        newest = model_admin.get_queryset(request).order_by("-created_at")
        return [(one, one) for one in sorted(set(newest.values_list(str(self.parameter_name), flat=True)[:_RECENT]))]

    @override
    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Return the rows with the chosen value."""
        return queryset if self.value() is None else queryset.filter(**{str(self.parameter_name): self.value()})


class QueueFilter(RecentValuesFilter):
    """Filter by queue."""

    title = _("queue")
    parameter_name = "queue"


class NameFilter(RecentValuesFilter):
    """Filter by task."""

    title = _("task")
    parameter_name = "name"


class ReasonForm(ActionForm):
    """Asks for the reason of an action, for the audit."""

    reason = forms.CharField(label=_("Reason:"), required=False, max_length=1000)


def _backend_of(task_id: str) -> StoreBackend | None:
    """Return the backend that knows a task; None: its record has expired everywhere."""
    for alias in task_backends:
        backend = task_backends[alias]
        if isinstance(backend, StoreBackend) and backend.stores.plain.read([task_id])[0] is not None:
            return backend
    return None


class TaskResultAdmin(_ModelAdmin):
    """A list of results that nobody can change; register it for a model of your own, too.

    Who may operate the dashboard (or is a superuser) can enqueue what has ended without success again, for a reason.
    """

    action_form = ReasonForm
    actions: Any = ("retry",)

    list_display = ("id", "name", "queue", "status", "state", "created_at", "finished_at", "duration")
    list_filter: ClassVar[Any] = ("status", "state", QueueFilter, NameFilter, "finished_at")
    search_fields = ("=id", "name")
    ordering = ("-created_at",)
    show_full_result_count = False

    @admin.display(description=_("duration"))
    def duration(self, row: Any) -> timedelta | None:
        """Return the time from the first start to the end."""
        return row.finished_at - row.started_at if row.finished_at and row.started_at else None

    def has_operate_permission(self, request: HttpRequest) -> bool:
        """Return whether somebody may enqueue tasks again."""
        user: Any = request.user
        return bool(user.has_perm("streamtasks_dashboard.operate"))

    @admin.action(description=_("Enqueue again"), permissions=["operate"])
    def retry(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        """Enqueue each of the chosen tasks again, as a new one."""
        reason = str(request.POST.get("reason", "")).strip()
        if not reason:
            self.message_user(request, "Nothing was done: give a reason, for the audit.", messages.ERROR)
            return
        actor, done = request.user.get_username()[:128], 0
        for task_id in queryset.values_list("pk", flat=True)[:_MOST]:
            try:
                backend = _backend_of(task_id)
                if backend is None:
                    text = f"Task {task_id}: its record has expired; only this row is left."
                    self.message_user(request, text, messages.WARNING)
                    continue
                control.retry(backend.owner, task_id, actor=actor, reason=reason)
                done += 1
            except StreamTasksError as error:
                self.message_user(request, f"Task {task_id}: {error}", messages.WARNING)
        self.message_user(request, f"Enqueued again: {done}", messages.SUCCESS if done else messages.WARNING)

    @override
    def has_add_permission(self, request: HttpRequest) -> bool:
        """Nobody may add rows."""
        return False

    @override
    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Nobody may change rows."""
        return False

    @override
    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Nobody may delete rows here; see ``cleanup_results()``."""
        return False


admin.site.register(TaskResult, TaskResultAdmin)
