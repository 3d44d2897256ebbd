"""Addresses: ``path("progress/", include("streamtasks_django.progress.urls"))``."""

from __future__ import annotations

from django.urls import path

from . import views

__all__ = ["app_name", "urlpatterns"]

app_name = "streamtasks_progress"

urlpatterns = [
    path("<str:signed>/", views.state, name="state"),
    path("<str:signed>/events/", views.events, name="events"),
]
