"""Addresses of the dashboard: ``path("streamtasks/", include("streamtasks_django.dashboard.urls"))``."""

from __future__ import annotations

from django.urls import path

from . import views
from .api.urls import urlpatterns as api_patterns
from .pages import bulk, charts, letter, lists, queue, raw, schedule_edit, schedules, state, task, worker, workflow

__all__ = ["app_name", "urlpatterns"]

app_name = "streamtasks_dashboard"

urlpatterns = [
    *api_patterns,
    path("", views.overview, name="index"),
    path("<str:alias>/", views.overview, name="overview"),
    path("<str:alias>/queues/", views.queues, name="queues"),
    path("<str:alias>/queues/one/", queue.queue, name="queue"),
    path("<str:alias>/queues/pause/", queue.pause, name="pause"),
    path("<str:alias>/queues/resume/", queue.resume, name="resume"),
    path("<str:alias>/queues/purge/", queue.purge, name="purge"),
    path("<str:alias>/queues/forget/", queue.forget, name="forget"),
    path("<str:alias>/tasks/", lists.tasks, name="tasks"),
    path("<str:alias>/tasks/selected/", bulk.selected, name="selected"),
    path("<str:alias>/tasks/<str:task_id>/", task.task, name="task"),
    path("<str:alias>/tasks/<str:task_id>/raw/", raw.raw, name="raw"),
    path("<str:alias>/tasks/<str:task_id>/stack/", task.stack, name="stack"),
    path("<str:alias>/tasks/<str:task_id>/retry/", task.retry, name="retry"),
    path("<str:alias>/tasks/<str:task_id>/revoke/", task.revoke, name="revoke"),
    path("<str:alias>/workflows/<str:workflow_id>/", workflow.workflow, name="workflow"),
    path("<str:alias>/workflows/<str:workflow_id>/revoke/", workflow.workflow_revoke, name="workflow_revoke"),
    path("<str:alias>/workflows/<str:workflow_id>/retry/", workflow.workflow_retry, name="workflow_retry"),
    path("<str:alias>/charts/", charts.charts, name="charts"),
    path("<str:alias>/workers/", views.workers, name="workers"),
    path("<str:alias>/workers/one/", worker.worker, name="worker"),
    path("<str:alias>/workers/drain/", worker.drain, name="drain"),
    path("<str:alias>/workers/stop/", worker.stop, name="stop"),
    path("<str:alias>/dead-letters/", lists.dead_letters, name="dead_letters"),
    path("<str:alias>/dead-letters/one/", letter.letter, name="letter"),
    path("<str:alias>/dead-letters/one/raw/", raw.letter_raw, name="letter_raw"),
    path("<str:alias>/dead-letters/replay/", letter.replay, name="replay"),
    path("<str:alias>/dead-letters/discard/", letter.discard, name="discard"),
    path("<str:alias>/bulk/", bulk.bulk_operations, name="bulk_operations"),
    path("<str:alias>/bulk/plan/", bulk.bulk_plan, name="bulk_plan"),
    path("<str:alias>/bulk/<str:bulk_id>/", bulk.bulk, name="bulk"),
    path("<str:alias>/bulk/<str:bulk_id>/apply/", bulk.bulk_apply, name="bulk_apply"),
    path("<str:alias>/bulk/<str:bulk_id>/abort/", bulk.bulk_abort, name="bulk_abort"),
    path("<str:alias>/bulk/<str:bulk_id>/undo/", bulk.bulk_undo, name="bulk_undo"),
    path("<str:alias>/schedules/", schedules.schedules, name="schedules"),
    path("<str:alias>/schedules/one/", schedules.schedule, name="schedule"),
    path("<str:alias>/schedules/edit/", schedule_edit.schedule_edit, name="schedule_edit"),
    path("<str:alias>/schedules/pause/", schedules.schedule_pause, name="schedule_pause"),
    path("<str:alias>/schedules/resume/", schedules.schedule_resume, name="schedule_resume"),
    path("<str:alias>/schedules/run/", schedules.schedule_run, name="schedule_run"),
    path("<str:alias>/limits/", state.limits, name="limits"),
    path("<str:alias>/doctor/", state.doctor, name="doctor"),
    path("<str:alias>/audit/", views.audit, name="audit"),
]
