"""Whose tasks, workflows and schedules something is about: an app, or one alias of a Django project."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from ..settings import StoreSettings
from .base import AsyncStore, Store

if TYPE_CHECKING:
    from ..app import StreamTasks

__all__ = ["AppOwner", "Owner"]


class Owner(Protocol):
    """What has a store."""

    @property
    def label(self) -> str:
        """How errors name it."""
        ...

    @property
    def settings(self) -> StoreSettings: ...

    @property
    def store(self) -> Store: ...

    @property
    def async_store(self) -> AsyncStore: ...


class AppOwner:
    """A plain Python app; see `Owner`."""

    def __init__(self, app: StreamTasks) -> None:
        self._app = app

    @property
    def label(self) -> str:
        """See `Owner.label`."""
        return f"the app {self._app.label!r} ({self._app.settings.url})"

    @property
    def settings(self) -> StoreSettings:
        """The app's settings."""
        return self._app.settings

    @property
    def store(self) -> Store:
        """The app's store."""
        return self._app.store

    @property
    def async_store(self) -> AsyncStore:
        """The same store for event loops."""
        return self._app.async_store
