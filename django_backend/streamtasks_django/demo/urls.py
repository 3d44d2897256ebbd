"""Addresses of the example site."""

from __future__ import annotations

from django.urls import path

from . import views

__all__ = ["urlpatterns"]

urlpatterns = [
    path("", views.page, name="page"),
    path("enqueue/", views.enqueue, name="enqueue"),
    path("tasks/", views.states, name="states"),
]
