"""The tables of results: results themselves, and how far they have been copied from each shard."""

from __future__ import annotations

from datetime import datetime
from typing import override

from django.db import models

from ..backends.database.models import TaskResult as AbstractTaskResult

__all__ = ["MirrorPosition", "TaskResult"]


class TaskResult(AbstractTaskResult):
    """The result of one finished task, in the table ``streamtasks_results``."""

    class Meta(AbstractTaskResult.Meta):
        db_table = "streamtasks_results"


class MirrorPosition(models.Model):
    """How far finished records of one shard have been copied to one model.

    It changes in the transaction that writes the rows.

    Attributes:
        source: model, key prefix and tag of the shard.
        position: that of `streamtasks.stores.types.FinishedPage`; None: nothing has been copied.
        version: how often it has changed: of two workers that read the same, one fails to change it.
        worker: the one that changed it last.
    """

    source: models.CharField[str, str] = models.CharField(max_length=255, primary_key=True)
    position = models.JSONField(null=True)
    version: models.BigIntegerField[int, int] = models.BigIntegerField(default=0)
    worker: models.CharField[str, str] = models.CharField(max_length=255, default="")
    changed_at: models.DateTimeField[datetime, datetime] = models.DateTimeField(auto_now=True)

    class Meta:
        db_table = "streamtasks_mirror_positions"

    @override
    def __str__(self) -> str:
        return self.source
