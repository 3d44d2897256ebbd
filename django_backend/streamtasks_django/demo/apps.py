"""The app of the example site."""

from __future__ import annotations

from django.apps import AppConfig

__all__ = ["DemoConfig"]


class DemoConfig(AppConfig):
    """Templates, static files and tasks of the example site."""

    name = "streamtasks_django.demo"
    label = "streamtasks_demo"
