"""Signed addresses: whoever has one may watch the progress of that task, for a while, and nothing else."""

from __future__ import annotations

from typing import Final

from django.core import signing
from django.urls import reverse

__all__ = ["AGE_S", "address_of", "task_of"]

AGE_S: Final = 86_400
"""For so long an address is valid, seconds, unless it is made for less."""

_SALT: Final = "streamtasks.progress"


def address_of(alias: str, task_id: str, max_age_s: int = AGE_S) -> str:
    """Return the address of a task's progress.

    Args:
        alias: of the backend.
        task_id: of the task.
        max_age_s: for how long it is valid, seconds.
    """
    signed = signing.dumps([alias, task_id, max_age_s], salt=_SALT)
    return reverse("streamtasks_progress:state", args=[signed])


def task_of(signed: str) -> tuple[str, str]:
    """Return alias and id of the task of an address.

    Raises:
        BadSignature: it is not signed with the key of this project, was changed, or is not valid any more.
    """
    alias, task_id, max_age_s = signing.loads(signed, salt=_SALT)
    signing.loads(signed, salt=_SALT, max_age=max_age_s)
    return str(alias), str(task_id)
