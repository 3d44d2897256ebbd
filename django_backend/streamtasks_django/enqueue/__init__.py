"""Enqueue calls of Django tasks, workflows and schedules."""
