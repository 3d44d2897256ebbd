"""Addresses of the example site."""

from __future__ import annotations

from django.urls import include, path

from . import api, views

__all__ = ["urlpatterns"]

urlpatterns = [
    path("dashboard/", include("streamtasks_django.dashboard.urls")),
    path("progress/", include("streamtasks_django.progress.urls")),
    path("", views.page, name="page"),
    path("enqueue/", views.enqueue, name="enqueue"),
    path("tasks/", views.states, name="states"),
    path("tasks/start/", api.start, name="start"),
    path("tasks/active/", api.active, name="active"),
    path("tasks/<str:task_id>/watch/", views.watch, name="watch"),
    path("tasks/<str:task_id>/status/", api.status, name="status"),
    path("tasks/<str:task_id>/wait/", api.wait, name="wait"),
    path("tasks/<str:task_id>/revoke/", api.revoke, name="revoke"),
]
