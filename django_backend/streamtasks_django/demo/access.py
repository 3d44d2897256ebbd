"""Who may use the dashboard of the demo: everybody at this machine. For the demo only, never for a project."""

from __future__ import annotations

from ipaddress import ip_address

from django.conf import settings
from django.http import HttpRequest

from ..dashboard.access import ROLES

__all__ = ["dashboard_roles"]

_FORWARDED = ("HTTP_FORWARDED", "HTTP_X_FORWARDED_FOR", "HTTP_X_REAL_IP")


def dashboard_roles(request: HttpRequest) -> tuple[str, ...]:
    """Allow everything to who comes over the loopback interface, and nothing to others or on other sites.

    The demo has no users, and its tasks are nobody's. A project that names this function as its ``DASHBOARD_ROLES``
    gets a closed dashboard: let it decide by its own users.
    """
    if settings.ROOT_URLCONF != "streamtasks_django.demo.urls" or any(name in request.META for name in _FORWARDED):
        return ()
    try:
        is_here = ip_address(request.META.get("REMOTE_ADDR", "")).is_loopback
    except ValueError:  # a socket of this machine's file system says nothing
        is_here = False
    return ROLES if is_here else ()
