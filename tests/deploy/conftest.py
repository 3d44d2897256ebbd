"""A project to deploy."""

from __future__ import annotations

from tests.support.example_project import example_project

__all__ = ["example_project"]
