"""Create the table of the outbox."""

from __future__ import annotations

from typing import ClassVar

from django.db import migrations, models
from django.db.models.functions import Now


class Migration(migrations.Migration):
    """Create the table."""

    initial = True

    dependencies: ClassVar = []

    operations: ClassVar = [
        migrations.CreateModel(
            name="OutboxEntry",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("backend", models.CharField(max_length=100)),
                ("task_id", models.CharField(db_index=True, max_length=100)),
                ("is_workflow", models.BooleanField(default=False)),
                ("content", models.BinaryField()),
                ("created_at", models.DateTimeField(db_default=Now())),
                ("error", models.TextField(blank=True, default="")),
            ],
            options={
                "db_table": "streamtasks_outbox",
                "verbose_name_plural": "outbox entries",
                "indexes": [models.Index(fields=["backend", "id"], name="streamtasks_outbox_next")],
            },
        ),
    ]
