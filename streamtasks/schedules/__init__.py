"""Schedules: tasks that are enqueued again and again by a rule."""

from __future__ import annotations

from .rules import crontab, every

__all__ = ["crontab", "every"]
