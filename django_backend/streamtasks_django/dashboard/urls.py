"""Addresses of the dashboard: ``path("streamtasks/", include("streamtasks_django.dashboard.urls"))``."""

from __future__ import annotations

from django.urls import path

from . import actions, views
from .api.urls import urlpatterns as api_patterns

__all__ = ["app_name", "urlpatterns"]

app_name = "streamtasks_dashboard"

urlpatterns = [
    *api_patterns,
    path("", views.overview, name="index"),
    path("<str:alias>/", views.overview, name="overview"),
    path("<str:alias>/queues/", views.queues, name="queues"),
    path("<str:alias>/queues/pause/", actions.pause, name="pause"),
    path("<str:alias>/queues/resume/", actions.resume, name="resume"),
    path("<str:alias>/tasks/", views.tasks, name="tasks"),
    path("<str:alias>/tasks/<str:task_id>/", views.task, name="task"),
    path("<str:alias>/tasks/<str:task_id>/retry/", actions.retry, name="retry"),
    path("<str:alias>/tasks/<str:task_id>/revoke/", actions.revoke, name="revoke"),
    path("<str:alias>/workers/", views.workers, name="workers"),
    path("<str:alias>/dead-letters/", views.dead_letters, name="dead_letters"),
    path("<str:alias>/dead-letters/replay/", actions.replay, name="replay"),
    path("<str:alias>/audit/", views.audit, name="audit"),
]
