"""Addresses of the standalone dashboard: its pages, and nothing else."""

from __future__ import annotations

from django.urls import include, path

__all__ = ["urlpatterns"]

urlpatterns = [path("", include("streamtasks_django.dashboard.urls"))]
