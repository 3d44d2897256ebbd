"""Tasks in a module that TASK_IMPORTS names."""

from django.tasks import task


@task
def elsewhere() -> str:
    return "found through TASK_IMPORTS"
