"""The tables of results."""

import django.utils.timezone
from django.db import migrations, models

import streamtasks_django.backends.database.models


class Migration(migrations.Migration):
    initial = True

    dependencies = []

    operations = [
        migrations.CreateModel(
            name="MirrorPosition",
            fields=[
                ("source", models.CharField(max_length=255, primary_key=True, serialize=False)),
                ("position", models.JSONField(null=True)),
                ("version", models.BigIntegerField(default=0)),
                ("worker", models.CharField(default="", max_length=255)),
                ("changed_at", models.DateTimeField(auto_now=True)),
            ],
            options={
                "db_table": "streamtasks_mirror_positions",
            },
        ),
        migrations.CreateModel(
            name="TaskResult",
            fields=[
                ("id", models.CharField(max_length=64, primary_key=True, serialize=False, verbose_name="id")),
                (
                    "status",
                    models.CharField(
                        choices=[
                            ("READY", "Ready"),
                            ("RUNNING", "Running"),
                            ("SUCCESSFUL", "Successful"),
                            ("FAILED", "Failed"),
                        ],
                        max_length=16,
                        verbose_name="status",
                    ),
                ),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("DEAD", "DEAD"),
                            ("EXPIRED", "EXPIRED"),
                            ("FAILURE", "FAILURE"),
                            ("IGNORED", "IGNORED"),
                            ("REVOKED", "REVOKED"),
                            ("SUCCESS", "SUCCESS"),
                        ],
                        max_length=16,
                        verbose_name="state",
                    ),
                ),
                ("name", models.CharField(max_length=255, verbose_name="task")),
                ("queue", models.CharField(default="default", max_length=128, verbose_name="queue")),
                ("priority", models.SmallIntegerField(default=0, verbose_name="priority")),
                (
                    "args",
                    models.JSONField(
                        blank=True,
                        default=list,
                        encoder=streamtasks_django.backends.database.models.RowEncoder,
                        verbose_name="arguments",
                    ),
                ),
                (
                    "kwargs",
                    models.JSONField(
                        blank=True,
                        default=dict,
                        encoder=streamtasks_django.backends.database.models.RowEncoder,
                        verbose_name="keyword arguments",
                    ),
                ),
                (
                    "result",
                    models.JSONField(
                        blank=True,
                        encoder=streamtasks_django.backends.database.models.RowEncoder,
                        null=True,
                        verbose_name="result",
                    ),
                ),
                ("traceback", models.TextField(blank=True, default="", verbose_name="traceback")),
                (
                    "meta",
                    models.JSONField(
                        blank=True,
                        default=dict,
                        encoder=streamtasks_django.backends.database.models.RowEncoder,
                        verbose_name="meta",
                    ),
                ),
                ("worker", models.CharField(blank=True, default="", max_length=255, verbose_name="worker")),
                (
                    "created_at",
                    models.DateTimeField(db_index=True, default=django.utils.timezone.now, verbose_name="created at"),
                ),
                ("started_at", models.DateTimeField(blank=True, null=True, verbose_name="started at")),
                ("finished_at", models.DateTimeField(blank=True, db_index=True, null=True, verbose_name="finished at")),
            ],
            options={
                "verbose_name": "task result",
                "verbose_name_plural": "task results",
                "db_table": "streamtasks_results",
                "abstract": False,
            },
        ),
    ]
