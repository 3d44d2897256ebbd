"""System checks. Those of a backend run with every management command and touch no network.

================  ==================================================================================
streamtasks.E001  an option in OPTIONS has a wrong value, or two contradict each other
streamtasks.E002  QUEUES holds a name that cannot be a queue's
streamtasks.E003  two aliases keep their tasks under the same keys of the same server
streamtasks.E004  an option of the worker (``worker``, ``TASK_WORKERS``, ``STREAMTASKS["WORKER"]``) is wrong
streamtasks.E005  ``STREAMTASKS["MIDDLEWARE"]`` names something that is no middleware
streamtasks.E006  ``STREAMTASKS`` or ``TASK_IMPORTS`` has a wrong type
streamtasks.E007  (``--deploy``) the server is too old, may evict tasks, or refuses the password; or there is none
streamtasks.E008  ``STREAMTASKS["MAY_VIEW_TASK"]`` names something that is no function
streamtasks.E009  a setting ``TASK_...`` has a wrong value
streamtasks.E010  ``TASK_ROUTES`` is wrong, or sends to a queue that its backend does not have
streamtasks.E011  ``TASK_SCHEDULE``, one of its entries, or ``schedule`` of a task is wrong
streamtasks.E012  two schedules of one backend have the same name
streamtasks.W001  OPTIONS has an unknown key
streamtasks.W002  ``STREAMTASKS`` has an unknown key
streamtasks.W003  (``--deploy``) the server cannot be reached from here
streamtasks.W004  there is a setting ``TASK_...`` that is not known
streamtasks.W005  ``TASK_WORKERS`` names an alias that TASKS does not have
streamtasks.W007  ``TASK_WORKERS`` and ``worker`` in OPTIONS say different things
================  ==================================================================================
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from django.conf import settings as django_settings
from django.core import checks
from django.core.checks import CheckMessage, Error
from django.tasks import task_backends
from django.tasks.exceptions import InvalidTaskBackend
from redis.exceptions import RedisError

from streamtasks import ConfigurationError, StoreError, StoreSettings, UnknownQueue
from streamtasks.protocol.keys import check_queue
from streamtasks.stores.factory import open_store
from streamtasks.stores.redis import connections

from ..conf import project, task_settings
from ..enqueue.store_alias import StoreAlias
from .suggestions import suggestion
from .task_settings import check_task_settings

__all__ = ["check_backend", "check_servers"]


def check_backend(backend: StoreAlias) -> list[CheckMessage]:
    """Check what one alias of TASKS says and, once in a project, the settings that concern all of them."""
    messages = [*_options(backend), *_queues(backend), *_worker(backend)]
    ours = _ours()
    if not ours or ours[0].alias == backend.alias:
        messages += [*_process_wide(), *check_task_settings(ours), *_same_keys(ours)]
    return messages


def _ours() -> list[StoreAlias]:
    found = []
    for alias in task_backends.settings:
        try:
            backend = task_backends[alias]
        except InvalidTaskBackend:
            continue  # Django's own check says so
        if isinstance(backend, StoreAlias):
            found.append(backend)
    return found


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
        settings = backend.read_settings()
        if not settings.is_memory:
            connections.connection_options(settings)
    except ConfigurationError as error:
        yield Error(f"{where}: {error}", id="streamtasks.E001")


def _queues(backend: StoreAlias) -> Iterator[CheckMessage]:
    for queue in sorted(backend.queues, key=str):
        try:
            check_queue(queue)
        except UnknownQueue as error:
            yield Error(f"{_where(backend, 'QUEUES')}: {error}", id="streamtasks.E002")


def _worker(backend: StoreAlias) -> Iterator[CheckMessage]:
    from streamtasks_workers.process.options import WorkerOptions

    try:
        WorkerOptions.merged(project.worker_defaults(backend.params.get("OPTIONS") or {}, backend.alias))
    except (ConfigurationError, UnknownQueue, TypeError, AttributeError) as error:
        yield Error(
            f"The options of a worker for TASKS[{backend.alias!r}] are wrong: {error}",
            hint="They come from STREAMTASKS['WORKER'], from TASK_WORKERS and from 'worker' in OPTIONS.",
            id="streamtasks.E004",
        )


def _process_wide() -> Iterator[CheckMessage]:
    given: Any = getattr(django_settings, "STREAMTASKS", None) or {}
    if isinstance(given, Mapping):
        for name in sorted(set(given) - project.STREAMTASKS, key=str):
            yield checks.Warning(
                f"STREAMTASKS has the unknown key {name!r}.{suggestion(str(name), project.STREAMTASKS)}",
                hint=f"Known keys: {', '.join(sorted(project.STREAMTASKS))}.",
                id="streamtasks.W002",
            )
        try:
            project.middleware()
        except ConfigurationError as error:
            yield Error(str(error), id="streamtasks.E005")
        try:
            project.may_view_task()
        except ConfigurationError as error:
            yield Error(str(error), id="streamtasks.E008")
    else:
        yield Error(f"The setting STREAMTASKS is {given!r}; it must be a dict.", id="streamtasks.E006")
    try:
        project.task_imports()
    except (ConfigurationError, TypeError) as error:
        yield Error(str(error), id="streamtasks.E006")


def _readable_settings(backend: StoreAlias) -> StoreSettings | None:
    try:
        return backend.store_settings
    except ConfigurationError:
        return None  # reported by _options


def _same_keys(backends: list[StoreAlias]) -> Iterator[CheckMessage]:
    seen: dict[tuple[Any, ...], str] = {}
    for backend in backends:
        settings = _readable_settings(backend)
        if settings is None or settings.is_memory:
            continue
        options = connections.connection_options(settings)
        key = (connections.address(settings), options.get("db") or 0, settings.key_prefix)
        if key in seen:
            yield Error(
                f"TASKS[{seen[key]!r}] and TASKS[{backend.alias!r}] use the same keys of {key[0]}: a worker of one "
                "would run the tasks of the other.",
                hint="Give each its own key_prefix, or use one alias with several queues.",
                id="streamtasks.E003",
            )
        seen.setdefault(key, backend.alias)


@checks.register("streamtasks", deploy=True)
def check_servers(**_: Any) -> list[CheckMessage]:
    """Ask every server whether it keeps what it is given; ``manage.py check --deploy``."""
    messages: list[CheckMessage] = []
    for backend in _ours():
        settings = _readable_settings(backend)
        if settings is None:
            continue
        try:
            away = None if settings.is_memory else _away(settings)
            if away is None:
                open_store(settings).check()
            else:
                messages.append(checks.Warning(f"TASKS[{backend.alias!r}]: {away}", id="streamtasks.W003"))
        except (ConfigurationError, StoreError) as error:
            messages.append(Error(f"TASKS[{backend.alias!r}]: {error}", id="streamtasks.E007"))
    return messages


def _away(settings: StoreSettings) -> str | None:
    """Return why the server cannot be reached, None if it can.

    Raises:
        AccessDenied: user or password are wrong.
    """
    connection = connections.new_connection(settings)
    try:
        connection.connect()
    except (RedisError, OSError) as error:
        lasting = connections.lasting_error(error, settings)
        if lasting is not None:
            raise lasting from error
        return f"{connections.address(settings)} cannot be reached from here: {error}"
    finally:
        connection.disconnect()
    return None
