"""One alias of TASKS whose tasks live in a `Store`: what the layers below the backends know of a backend."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

from django.tasks.backends.base import BaseTaskBackend

from streamtasks import StoreSettings

from ..conf.options import OPTIONS, settings_of, store_settings
from ..conf.transactions import commit_database, outbox_database

if TYPE_CHECKING:
    from streamtasks.stores.base import Store

__all__ = ["StoreAlias", "Stores"]


class Stores(NamedTuple):
    """One store, for plain code and for event loops."""

    plain: Store
    asynchronous: Any  # an AsyncStore that can inspect, too


class StoreAlias(BaseTaskBackend):
    """The settings and the store of one alias.

    Attributes:
        params: the entry of TASKS.
        known_options: every key that its OPTIONS may have.
        needs_worker: whether a worker process runs its tasks.
    """

    params: dict[str, Any]
    known_options = OPTIONS
    needs_worker = True

    @property
    def label(self) -> str:
        """The name of the alias in error messages."""
        return f"the backend {self.alias!r}"

    @cached_property
    def store_settings(self) -> StoreSettings:
        """The engine's settings.

        Raises:
            ConfigurationError: OPTIONS has a wrong value.
        """
        return settings_of(self.alias, self.params, self.read_settings)

    def read_settings(self) -> StoreSettings:
        """Read `store_settings` anew, for the system checks; errors as there."""
        return store_settings(self.alias, self.params.get("OPTIONS") or {})

    @cached_property
    def commit_database(self) -> str | None:
        """The database whose transactions hold calls back (option ``on_commit``); None: calls go at once.

        Raises:
            ConfigurationError: the option has a wrong value.
        """
        return commit_database(self.params.get("OPTIONS") or {})

    @cached_property
    def outbox_database(self) -> str | None:
        """The database with the outbox that calls go through (option ``outbox``); None: they go to the store.

        Raises:
            ConfigurationError: the option has a wrong value, or the outbox's app is not installed.
        """
        return outbox_database(self.params.get("OPTIONS") or {})

    @cached_property
    def delivers_later(self) -> bool:
        """Whether OPTIONS make calls wait for something before they go to the store.

        Raises:
            ConfigurationError: an option has a wrong value.
        """
        return self.outbox_database is not None or self.commit_database is not None

    @cached_property
    def stores(self) -> Stores:
        """The store of these settings, shared by the whole process."""
        raise NotImplementedError

    @property
    def wants_outcomes(self) -> bool:
        """Whether the class overrides `store_result`."""
        return type(self).store_result is not StoreAlias.store_result

    def store_result(self, task_id: str, result: Any, status: str, **kwargs: Any) -> None:
        """Override this method to store outcomes in a second place; the backend stores them already.

        The worker calls it for every final outcome, before the outcome is committed: at least once, and twice only if
        the worker is killed in between. An exception that it raises is logged and changes nothing.

        Args:
            task_id: the id of the task.
            result: the return value; the exception of a failed task; None for an ignored one.
            status: Django's status.
            **kwargs: ``priority``, and every argument of ``apply_async()`` that is not an option.
        """
