"""Results in Django's admin, to read."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar, override

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from .models import TaskResult

__all__ = ["RecentValuesFilter", "TaskResultAdmin"]

_RECENT = 1000
"""How many of the newest rows are asked for the values of a filter: a table may have millions."""


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


class TaskResultAdmin(_ModelAdmin):
    """A list of results that nobody can change; register it for a model of your own, too."""

    list_display = ("id", "name", "queue", "status", "state", "created_at", "finished_at", "duration")
    list_filter: ClassVar[Any] = ("status", "state", QueueFilter, NameFilter, "finished_at")
    search_fields = ("=id", "name")
    ordering = ("-created_at",)
    show_full_result_count = False

    @admin.display(description=_("duration"))
    def duration(self, row: Any) -> timedelta | None:
        """Return the time from the first start to the end."""
        return row.finished_at - row.started_at if row.finished_at and row.started_at else None

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
