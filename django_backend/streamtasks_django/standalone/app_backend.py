"""A plain Python app as a backend, so that the dashboard shows it as it shows one of Django."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, override

from ..backends.base import StoreBackend
from ..enqueue.store_alias import Stores

if TYPE_CHECKING:
    from streamtasks import StoreSettings, StreamTasks
    from streamtasks.schedules.schedules import Schedules

__all__ = ["AppBackend"]


class AppBackend(StoreBackend):
    """Shows and steers the tasks of the app in its OPTIONS; nothing but what an operator repeats is enqueued."""

    known_options = frozenset({"app"})

    @property
    def app(self) -> StreamTasks:
        """The app."""
        found: StreamTasks = self.params["OPTIONS"]["app"]
        return found

    @cached_property
    @override
    def owner(self) -> Any:
        """The app as the owner of its tasks."""
        return self.app.owner

    @cached_property
    @override
    def stores(self) -> Stores:
        """The app's store."""
        return Stores(self.app.owner.store, self.app.owner.async_store)

    @cached_property
    @override
    def store_settings(self) -> StoreSettings:
        """The app's settings."""
        return self.app.settings

    @property
    @override
    def schedules(self) -> Schedules:
        """The app's schedules."""
        return self.app.schedules

    @override
    def application(self) -> Any:
        """Return the app as a worker serves it."""
        return self.app
