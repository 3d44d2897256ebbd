"""The table of the outbox."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar

from django.db import models
from django.db.models.functions import Now

__all__ = ["OutboxEntry"]


class OutboxEntry(models.Model):
    """A message or a workflow that was enqueued in a transaction and is to be relayed to the store.

    Attributes:
        backend: the alias of TASKS.
        task_id: the id of the message, or of the workflow.
        is_workflow: which of them.
        content: see `content`.
        created_at: when it was written, by the database's clock.
        error: why it cannot be relayed; empty: it can.
    """

    backend: models.CharField[str, str] = models.CharField(max_length=100)
    task_id: models.CharField[str, str] = models.CharField(max_length=100, db_index=True)
    is_workflow: models.BooleanField[bool, bool] = models.BooleanField(default=False)
    content: models.BinaryField[bytes, bytes] = models.BinaryField()
    created_at: models.DateTimeField[datetime, datetime] = models.DateTimeField(db_default=Now())
    error: models.TextField[str, str] = models.TextField(blank=True, default="")

    class Meta:
        db_table = "streamtasks_outbox"
        indexes: ClassVar = [models.Index(fields=["backend", "id"], name="streamtasks_outbox_next")]
        verbose_name_plural = "outbox entries"

    def __str__(self) -> str:
        return f"{self.backend}: {self.task_id}"
