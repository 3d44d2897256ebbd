"""The abstract model of a task's result: subclass it for a table, columns and indexes of your own.

::

    class CustomTaskResult(TaskResult):
        category = models.CharField(max_length=50, blank=True)

        class Meta:
            db_table = "custom_task_results"
            indexes = [models.Index(fields=["category", "created_at"])]

It is abstract because Django allows indexes on inherited columns only then (models.E016). The concrete model is
`streamtasks_django.models.TaskResult`.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar, override

from django.core.serializers.json import DjangoJSONEncoder
from django.db import models
from django.db.models import F
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from streamtasks.protocol.state import FINAL_STATES

__all__ = ["RowEncoder", "TaskResult", "TaskResultManager"]


class RowEncoder(DjangoJSONEncoder):
    """Encode what Django can, and everything else (values of msgpack and pickle) as its ``repr()``."""

    @override
    def default(self, o: Any) -> Any:
        """See `json.JSONEncoder.default`."""
        try:
            return super().default(o)
        except TypeError:
            return repr(o)


class TaskResultManager(models.Manager[Any]):
    """The manager of results: ``date_created`` and ``date_done`` may stand in filters and orderings.

    They are ``created_at`` and ``finished_at`` under the documented names. A manager of your own that should know them
    is a subclass of this one.
    """

    @override
    def get_queryset(self) -> models.QuerySet[Any, Any]:
        """Return all rows."""
        return super().get_queryset().alias(date_created=F("created_at"), date_done=F("finished_at"))


class TaskResult(models.Model):
    """The result of one finished task.

    Attributes:
        id: of the task.
        status: Django's: SUCCESSFUL or FAILED.
        state: the detailed state: SUCCESS, IGNORED, FAILURE, EXPIRED, REVOKED or DEAD.
        name: of the task, mostly its path.
        result: what it returned, as JSON; what JSON cannot hold is its ``repr()``. None for others than successes.
        traceback: of the last error, empty if there is none.
        meta: ``attempts``; of a failure ``error``, with its ``type`` and ``message``; and ``extra``: values of
            ``apply_async()`` for which the model has no field.
        worker: the child of a worker that ran it last.
        created_at: when it was enqueued. ``started_at``: its first start. ``finished_at``: its end.
    """

    class Status(models.TextChoices):
        """Values of ``status``."""

        READY = "READY", _("Ready")
        RUNNING = "RUNNING", _("Running")
        SUCCESSFUL = "SUCCESSFUL", _("Successful")
        FAILED = "FAILED", _("Failed")

    STATES: ClassVar = [(state.value, state.value) for state in sorted(FINAL_STATES)]

    id: models.CharField[str, str] = models.CharField(_("id"), max_length=64, primary_key=True)
    status: models.CharField[str, str] = models.CharField(_("status"), max_length=16, choices=Status.choices)
    state: models.CharField[str, str] = models.CharField(_("state"), max_length=16, choices=STATES)
    name: models.CharField[str, str] = models.CharField(_("task"), max_length=255)
    queue: models.CharField[str, str] = models.CharField(_("queue"), max_length=128, default="default")
    priority: models.SmallIntegerField[int, int] = models.SmallIntegerField(_("priority"), default=0)
    args = models.JSONField(_("arguments"), default=list, blank=True, encoder=RowEncoder)
    kwargs = models.JSONField(_("keyword arguments"), default=dict, blank=True, encoder=RowEncoder)
    result = models.JSONField(_("result"), null=True, blank=True, encoder=RowEncoder)
    traceback: models.TextField[str, str] = models.TextField(_("traceback"), default="", blank=True)
    meta = models.JSONField(_("meta"), default=dict, blank=True, encoder=RowEncoder)
    worker: models.CharField[str, str] = models.CharField(_("worker"), max_length=255, default="", blank=True)
    created_at: models.DateTimeField[datetime, datetime] = models.DateTimeField(
        _("created at"), default=timezone.now, db_index=True
    )
    started_at: models.DateTimeField[datetime | None, datetime | None] = models.DateTimeField(
        _("started at"), null=True, blank=True
    )
    finished_at: models.DateTimeField[datetime | None, datetime | None] = models.DateTimeField(
        _("finished at"), null=True, blank=True, db_index=True
    )

    objects = TaskResultManager()

    class Meta:
        abstract = True
        verbose_name = _("task result")
        verbose_name_plural = _("task results")

    @override
    def __str__(self) -> str:
        return f"{self.name} {self.id}"

    @property
    def date_created(self) -> datetime:
        """``created_at`` under its documented name."""
        return self.created_at

    @property
    def date_done(self) -> datetime | None:
        """``finished_at`` under its documented name."""
        return self.finished_at
