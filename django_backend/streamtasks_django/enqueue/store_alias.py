"""One alias of TASKS whose tasks live in a `Store`: what the layers below the backends know of a backend."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

from django.apps import apps

from streamtasks import ConfigurationError, StoreSettings

from ..conf import version
from ..conf.options import OPTIONS, forget_settings, settings_of, store_settings
from ..conf.row_options import extra_fields, result_model_label
from ..conf.transactions import commit_database, outbox_database
from ..framework import BaseTaskBackend
from ..results.rows import write_rows
from ..tasks.row_values import row_of_attempt

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
        copies_rows: whether workers copy what finishes to the rows of results, if there are any.
        model: of the rows of results, where they are kept; an ``__init__()`` may set it. None: that of
            ``result_model`` in OPTIONS.
    """

    params: dict[str, Any]
    known_options = OPTIONS
    needs_worker = True
    copies_rows = False
    model: Any = None

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

    def forget_settings(self) -> None:
        """Read `store_settings` anew from now on, with all that depends on them."""
        forget_settings(self.alias)
        for name in ("store_settings", "stores"):
            if name in vars(self):
                delattr(self, name)
        version.renew()

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

    @property
    def keeps_rows(self) -> bool:
        """Whether results have rows in the database."""
        return self.result_label is not None

    @property
    def result_label(self) -> str | None:
        """The label of the model of the rows of results, if no `model` is set; None: results have no rows.

        Raises:
            ConfigurationError: ``result_model`` in OPTIONS is not the label of a model.
        """
        return result_model_label(self.params.get("OPTIONS") or {})

    @property
    def rows_database(self) -> str | None:
        """The alias of the database with the rows of results; None: the routers decide."""
        return None

    def unfit_database(self, databases: Sequence[str]) -> str:  # noqa: ARG002
        """Return why one of these databases cannot hold the tasks, and what to do; empty: it can, or need not."""
        return ""

    def row_model(self) -> Any:
        """Return the model of the rows of results: `model`, or that of ``result_model``.

        Raises:
            ConfigurationError: there is no such model.
        """
        return self.model_named(self.model or self.result_label)

    def model_named(self, label: Any) -> Any:
        """Return the model with this label; anything else than a text as it is.

        Raises:
            ConfigurationError: there is no such model.
        """
        if not isinstance(label, str):
            return label
        try:
            return apps.get_model(label)
        except LookupError as error:
            raise ConfigurationError(
                f"result_model of TASKS[{self.alias!r}] is {label!r}, but {error} Is its app in INSTALLED_APPS? "
                "That of 'streamtasks_database.TaskResult' is 'streamtasks_django.database'."
            ) from error

    def takes_extra(self, name: str) -> bool:
        """Return whether ``apply_async()`` takes this name, which is no option."""
        return self.wants_outcomes or name in extra_fields(self.params.get("OPTIONS") or {})

    def store_result(self, task_id: str, result: Any, status: str, **kwargs: Any) -> None:
        """Write the row of an outcome, if results have rows; an override may add values of columns, or do other things.

        The server has the outcome anyway. For an override, the worker calls it for every final outcome, before the
        outcome is committed: at least once, and twice only if the worker is killed in between. An exception that it
        raises is logged and changes nothing.

        Args:
            task_id: the id of the task.
            result: the return value; the exception of a failed task; None for an ignored one.
            status: Django's status.
            **kwargs: ``priority``, and every argument of ``apply_async()`` that is not an option. Those that name no
                column of the model are kept in its ``meta``.
        """
        if self.keeps_rows:
            model = self.row_model()
            write_rows(model, [row_of_attempt(model, task_id, result, status, kwargs)], self.rows_database)
