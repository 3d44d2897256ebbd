"""Find the owner of a backend's tasks, workflows and schedules."""

from __future__ import annotations

from typing import Any

from ..exceptions import InvalidTask

__all__ = ["owner_of"]


def owner_of(backend: Any) -> Any:
    """Return ``backend.owner``, the `streamtasks_django.enqueue.owner.BackendOwner` of a backend with a store.

    Raises:
        InvalidTask: the backend has no store.
    """
    owner = getattr(backend, "owner", None)
    if owner is None:
        raise InvalidTask(
            f"The backend {backend.alias!r} ({type(backend).__name__}) runs no workflows. Use RedisBackend, or "
            "MemoryBackend for development and tests."
        )
    return owner
