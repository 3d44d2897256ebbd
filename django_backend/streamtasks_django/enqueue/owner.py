"""One alias of TASKS as the owner of workflows and schedules; see `streamtasks.stores.owner.Owner`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from streamtasks.settings import StoreSettings
    from streamtasks.stores.base import AsyncStore, Store

    from ..backends.base import StoreBackend

__all__ = ["BackendOwner"]


class BackendOwner:
    """One alias."""

    def __init__(self, backend: StoreBackend) -> None:
        self._backend = backend

    @property
    def label(self) -> str:
        """See `Owner.label`."""
        return f"the backend {self._backend.alias!r}"

    @property
    def settings(self) -> StoreSettings:
        """The engine's settings."""
        return self._backend.store_settings

    @property
    def store(self) -> Store:
        """The backend's store."""
        return self._backend.stores.plain

    @property
    def async_store(self) -> AsyncStore:
        """The same store for event loops."""
        found: AsyncStore = self._backend.stores.asynchronous
        return found
