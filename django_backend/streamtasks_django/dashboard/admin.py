"""The dashboard's entry in Django's admin: a link for those who may see it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, override

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import NoReverseMatch, reverse

from .access import VIEW, roles_of
from .models import Dashboard

__all__ = ["DashboardAdmin"]

if TYPE_CHECKING:
    _ModelAdmin = admin.ModelAdmin[Any]
else:
    _ModelAdmin = admin.ModelAdmin  # generic for type checkers only


def _address() -> str | None:
    try:
        return reverse("streamtasks_dashboard:index")
    except NoReverseMatch:  # the project does not include its urls
        return None


@admin.register(Dashboard)
class DashboardAdmin(_ModelAdmin):
    """Leads to the dashboard; there is nothing else to see here."""

    @override
    def has_module_permission(self, request: HttpRequest) -> bool:
        """Show the link to those who may see the dashboard, if there is one."""
        return self.has_view_permission(request)

    @override
    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """See `has_module_permission`."""
        return VIEW in roles_of(request) and _address() is not None

    @override
    def has_add_permission(self, request: HttpRequest) -> bool:
        """There is nothing to add."""
        return False

    @override
    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """There is nothing to change."""
        return False

    @override
    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """There is nothing to delete."""
        return False

    @override
    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        """Go to the dashboard."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        return redirect(_address() or "admin:index")
