"""The tasks, as Django's own decorator makes them."""

from django.tasks import task

from compare import peer


@task
def noop() -> int:
    return peer.noop()


@task
def take(text: str) -> int:
    return peer.take(text)


@task
def now() -> float:
    return peer.now()


TASKS = {"noop": noop, "take": take, "now": now}
