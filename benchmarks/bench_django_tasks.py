"""The task of the benchmarks' Django project."""

from django.tasks import task


@task
def noop() -> None:
    """Do nothing."""
