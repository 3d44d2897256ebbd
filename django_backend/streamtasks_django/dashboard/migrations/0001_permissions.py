"""The permissions of the dashboard."""

from typing import ClassVar

from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True

    dependencies: ClassVar = []

    operations: ClassVar = [
        migrations.CreateModel(
            name="Dashboard",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID"))
            ],
            options={
                "permissions": [
                    ("view", "Can see the task dashboard"),
                    ("see_arguments", "Can see arguments, results and error messages of tasks"),
                    ("operate", "Can retry, revoke and replay tasks, one or many, and run schedules"),
                    ("administer", "Can pause queues, tasks and schedules, purge queues, and drain and stop workers"),
                ],
                "managed": False,
                "verbose_name": "overview",
                "verbose_name_plural": "overview",
                "default_permissions": (),
            },
        ),
    ]
