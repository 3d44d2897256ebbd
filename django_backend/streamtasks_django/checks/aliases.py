"""Check the aliases of TASKS: OPTIONS, QUEUES and the worker's options."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from django.apps import apps
from django.conf import settings as django_settings
from django.core import checks
from django.core.checks import CheckMessage, Error

from streamtasks import ConfigurationError, StoreSettings, UnknownQueue
from streamtasks.protocol.keys import check_queue
from streamtasks.stores.redis import addresses, connections

from ..conf import project, row_options, task_settings
from ..conf.transactions import commit_database, outbox_database
from ..enqueue.store_alias import StoreAlias
from ..framework import InvalidTaskBackend, task_backends
from ..results.rows import columns_of
from ..tasks.call_options import extra_names
from ..tasks.retry_policy import BACKOFF, MAX_ATTEMPTS, settings_of
from ..tasks.row_values import COLUMNS_OF_ROWS
from .suggestions import suggestion

__all__ = ["check_alias", "check_same_keys", "readable_settings", "store_aliases"]

_PARAMS: Final = frozenset({BACKOFF, MAX_ATTEMPTS, "BACKEND", "OPTIONS", "QUEUES"})
"""Every key of an alias of TASKS."""


def store_aliases() -> list[StoreAlias]:
    """Return the aliases of TASKS that have a store."""
    found = []
    for alias in task_backends.settings:
        try:
            backend = task_backends[alias]
        except InvalidTaskBackend:
            continue  # Django's own check reports it
        if isinstance(backend, StoreAlias):
            found.append(backend)
    return found


def readable_settings(backend: StoreAlias) -> StoreSettings | None:
    """Return the settings of an alias, None if they are wrong, which `check_alias` reports."""
    try:
        return backend.store_settings
    except ConfigurationError:
        return None


def check_alias(backend: StoreAlias) -> list[CheckMessage]:
    """Check one alias."""
    return [*_params(backend), *_options(backend), *_rows(backend), *_queues(backend), *_worker(backend)]


def _params(backend: StoreAlias) -> Iterator[CheckMessage]:
    try:
        settings_of(backend.params)
    except ConfigurationError as error:
        yield Error(f"TASKS[{backend.alias!r}]: {error}", id="streamtasks.E001")
    for name in sorted(set(backend.params) - _PARAMS, key=str):
        if name in backend.known_options:
            yield Error(
                f"TASKS[{backend.alias!r}] has {name!r} beside OPTIONS, where it has no effect.",
                hint=f"Move it: 'OPTIONS': {{{name!r}: ...}}.",
                id="streamtasks.E013",
            )
        else:
            yield checks.Warning(
                f"TASKS[{backend.alias!r}] has the unknown key {name!r}.{suggestion(str(name), _PARAMS)}",
                hint=f"Known keys: {', '.join(sorted(_PARAMS))}. Options of the backend belong in OPTIONS.",
                id="streamtasks.W008",
            )


def _where(backend: StoreAlias, part: str) -> str:
    return f"TASKS[{backend.alias!r}][{part!r}]"


def _options(backend: StoreAlias) -> Iterator[CheckMessage]:
    options = backend.params.get("OPTIONS") or {}
    where = _where(backend, "OPTIONS")
    if isinstance(options, Mapping):
        for name in sorted(set(options) - backend.known_options, key=str):
            yield checks.Warning(
                f"{where} has the unknown key {name!r}.{suggestion(str(name), backend.known_options)}",
                hint=f"Known keys: {', '.join(sorted(backend.known_options))}.",
                id="streamtasks.W001",
            )
    try:
        task_settings.check_retry_options(options)
        commit_database(options)
        outbox_database(options)
        settings = backend.read_settings()
        if settings.is_redis:
            addresses.connection_options(settings)
    except ConfigurationError as error:
        yield Error(f"{where}: {error}", id="streamtasks.E001")


def _rows(backend: StoreAlias) -> Iterator[CheckMessage]:
    options = backend.params.get("OPTIONS") or {}
    if not isinstance(options, Mapping):
        return  # reported by _options
    where = _where(backend, "OPTIONS")
    try:
        names = row_options.extra_fields(options)
        for name in sorted(names.difference(extra_names(dict.fromkeys(names)))):
            yield Error(f"{where}: extra_fields has {name!r}, which is an option of a call.", id="streamtasks.E014")
        model = backend.row_model() if backend.keeps_rows else None
    except ConfigurationError as error:
        yield Error(f"{where}: {error}", id="streamtasks.E014")
        return
    if model is None:
        return
    if backend.copies_rows and not apps.is_installed("streamtasks_django.database"):
        yield Error(
            f"{where}: result_model needs the app 'streamtasks_django.database', which notes what has been copied.",
            hint="Add 'streamtasks_django.database' to INSTALLED_APPS and run migrate.",
            id="streamtasks.E014",
        )
    elif not columns_of(model).issuperset(COLUMNS_OF_ROWS):
        yield Error(
            f"{where}: result_model is {model._meta.label}, which is no model of results.",
            hint="Let it subclass streamtasks_django.backends.database.models.TaskResult.",
            id="streamtasks.E014",
        )


def _queues(backend: StoreAlias) -> Iterator[CheckMessage]:
    for queue in sorted(backend.queues, key=str):
        try:
            check_queue(queue)
        except UnknownQueue as error:
            yield Error(f"{_where(backend, 'QUEUES')}: {error}", id="streamtasks.E002")


def _worker(backend: StoreAlias) -> Iterator[CheckMessage]:
    from streamtasks_workers.process.options import WorkerOptions

    options = backend.params.get("OPTIONS") or {}
    if not isinstance(options, Mapping) or not isinstance(getattr(django_settings, "STREAMTASKS", None) or {}, Mapping):
        return  # reported by _options or check_project
    try:
        WorkerOptions.merged(project.worker_defaults(options, backend.alias))
    except (ConfigurationError, UnknownQueue, TypeError, AttributeError) as error:
        yield Error(
            f"The options of a worker for TASKS[{backend.alias!r}] are wrong: {error}",
            hint="They come from STREAMTASKS['WORKER'], from TASK_WORKERS and from 'worker' in OPTIONS.",
            id="streamtasks.E004",
        )


def check_same_keys(backends: Sequence[StoreAlias]) -> Iterator[CheckMessage]:
    """Check that no two aliases use the same keys of one server."""
    seen: dict[tuple[Any, ...], str] = {}
    for backend in backends:
        settings = readable_settings(backend)
        if settings is None or settings.is_memory:
            continue
        if settings.is_sql:
            yield from _same_tables(settings, backend.alias, seen)
            continue
        options = addresses.connection_options(settings)
        key = (connections.address(settings), options.get("db") or 0, settings.key_prefix)
        if key in seen:
            yield Error(
                f"TASKS[{seen[key]!r}] and TASKS[{backend.alias!r}] use the same keys of {key[0]}: a worker of one "
                "would run the tasks of the other.",
                hint="Give each its own key_prefix, or use one alias with several queues.",
                id="streamtasks.E003",
            )
        seen.setdefault(key, backend.alias)


def _same_tables(settings: StoreSettings, alias: str, seen: dict[tuple[Any, ...], str]) -> Iterator[CheckMessage]:
    if (settings.url,) in seen:
        yield Error(
            f"TASKS[{seen[settings.url,]!r}] and TASKS[{alias!r}] use the same tables: a worker of one would run the "
            "tasks of the other.",
            hint="Give each its own table_name, or use one alias with several queues.",
            id="streamtasks.E003",
        )
    seen.setdefault((settings.url,), alias)
