"""Check the documented settings ``TASK_...``."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from django.conf import settings as django_settings
from django.core import checks
from django.core.checks import CheckMessage, Error

from streamtasks import ConfigurationError

from ..conf import task_settings
from .suggestions import suggestion

if TYPE_CHECKING:
    from ..enqueue.store_alias import StoreAlias

__all__ = ["check_task_settings"]

_READ: Final[tuple[Callable[[], Any], ...]] = (
    task_settings.max_retries,
    task_settings.default_retry_delay_s,
    task_settings.result_expires,
    task_settings.send_events,
    task_settings.track_started,
)


def check_task_settings(backends: Sequence[StoreAlias]) -> list[CheckMessage]:
    """Check the values of the settings, and against the aliases of TASKS."""
    return [*_values(), *_names(), *_routes(backends), *_workers(backends)]


def _values() -> Iterator[CheckMessage]:
    for read in _READ:
        try:
            read()
        except ConfigurationError as error:
            yield Error(f"The setting {error}", id="streamtasks.E009")


def _names() -> Iterator[CheckMessage]:
    for name in sorted(dir(django_settings)):
        if name.startswith("TASK_") and name not in task_settings.KNOWN:
            yield checks.Warning(
                f"The setting {name} is unknown.{suggestion(name, task_settings.KNOWN)}",
                hint=f"Known: {', '.join(sorted(task_settings.KNOWN))}. If another package uses it, silence this.",
                id="streamtasks.W004",
            )


def _routes(backends: Sequence[StoreAlias]) -> Iterator[CheckMessage]:
    try:
        exact, globs = task_settings.routes()
    except ConfigurationError as error:
        yield Error(f"The setting {error}", id="streamtasks.E010")
        return
    queues = {backend.alias: backend.queues for backend in backends}
    for name, route in (*exact.items(), *globs):
        allowed = queues.get(route.backend) if route.backend is not None else None
        if route.queue is not None and allowed and route.queue not in allowed:
            yield Error(
                f"TASK_ROUTES[{name!r}] routes to the queue {route.queue!r}, which is not in QUEUES of "
                f"TASKS[{route.backend!r}].",
                hint=f"It has: {', '.join(sorted(allowed))}.",
                id="streamtasks.E010",
            )


def _workers(backends: Sequence[StoreAlias]) -> Iterator[CheckMessage]:
    every = getattr(django_settings, "TASK_WORKERS", None) or {}
    if not isinstance(every, Mapping):
        return  # the check of every worker's options reports it
    aliases = getattr(django_settings, "TASKS", {})
    for alias in sorted(every, key=str):
        if alias not in aliases:
            yield checks.Warning(
                f"TASK_WORKERS has {alias!r}, which is not an alias of TASKS.{suggestion(str(alias), aliases)}",
                id="streamtasks.W005",
            )
    for backend in backends:
        yield from _contradictions(backend, every.get(backend.alias))


def _contradictions(backend: StoreAlias, given: Any) -> Iterator[CheckMessage]:
    options = backend.params.get("OPTIONS") or {}
    own = options.get("worker") if isinstance(options, Mapping) else None
    if not isinstance(own, Mapping) or not isinstance(given, Mapping):
        return
    for name, target in task_settings.WORKERS.items():
        if name in given and target in own and given[name] != own[target]:
            yield checks.Warning(
                f"TASK_WORKERS[{backend.alias!r}] has {name} = {given[name]!r}, but 'worker' in OPTIONS has "
                f"{target} = {own[target]!r}, which takes effect.",
                hint="Give it once.",
                id="streamtasks.W007",
            )
