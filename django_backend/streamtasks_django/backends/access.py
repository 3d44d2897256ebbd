"""Find the backend of an alias."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..framework import DEFAULT_TASK_BACKEND_ALIAS, task_backends

if TYPE_CHECKING:
    from .base import StoreBackend

__all__ = ["get_task_backend"]


def get_task_backend(alias: str = DEFAULT_TASK_BACKEND_ALIAS) -> StoreBackend:
    """Return the backend of an alias of ``settings.TASKS``.

    Type checkers take it for one on a server or in memory, as most are; at run time it is what the setting names.

    Raises:
        InvalidTaskBackend: the alias is unknown, or its class cannot be imported.
    """
    return task_backends[alias]  # type: ignore[return-value]
