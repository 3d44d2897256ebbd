"""Check the schedules that a project declares."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from django.core.checks import CheckMessage, Error

from streamtasks import ConfigurationError, StreamTasksError
from streamtasks.schedules.declared import definition_of_entry

from ..conf import task_settings
from ..enqueue.owner import BackendOwner
from ..framework import task_backends
from ..tasks import declared_schedules
from .suggestions import suggestion

if TYPE_CHECKING:
    from ..enqueue.store_alias import StoreAlias

__all__ = ["check_schedules"]


def check_schedules(backends: Sequence[StoreAlias]) -> Iterator[CheckMessage]:
    """Check each declared schedule, with the tasks that a worker would load."""
    try:
        from_settings = task_settings.schedule()
        entries = list(declared_schedules.entries())
    except ConfigurationError as error:
        yield Error(f"The setting {error}", id="streamtasks.E011")
        return
    by_alias = {backend.alias: backend for backend in backends}
    seen: set[tuple[str | None, str]] = set()
    for place, (name, entry) in enumerate(entries):
        where = f"TASK_SCHEDULE[{name!r}]" if place < len(from_settings) else f"schedule of the task {name}"
        alias = declared_schedules.alias_of(entry)
        yield from _entry(where, name, entry, alias, by_alias)
        if (alias, name) in seen:
            yield Error(
                f"{where}: TASK_SCHEDULE has an entry of that name, too.",
                hint="The schedule of a task has the task's name. Declare it once.",
                id="streamtasks.E012",
            )
        seen.add((alias, name))


def _entry(
    where: str, name: str, entry: Any, alias: str | None, by_alias: Mapping[str, StoreAlias]
) -> Iterator[CheckMessage]:
    wanted = _backend_of(entry)
    if wanted is not None and wanted not in task_backends.settings:
        yield Error(
            f"{where}: backend is {wanted!r}, which is not an alias of TASKS."
            f"{suggestion(str(wanted), task_backends.settings)}",
            id="streamtasks.E011",
        )
        return
    if alias is not None and alias not in by_alias:
        return  # a backend without schedules, as in a project's tests
    backend = by_alias[alias] if alias is not None else next(iter(by_alias.values()))
    try:
        _ = backend.store_settings
    except ConfigurationError:
        return  # reported for the alias
    try:
        definition_of_entry(BackendOwner(backend), name, entry)
    except (StreamTasksError, TypeError, ValueError) as error:
        yield Error(f"{where}: {error}", id="streamtasks.E011")


def _backend_of(entry: Any) -> Any:
    options = entry.get("options") if isinstance(entry, Mapping) else None
    return options.get("backend") if isinstance(options, Mapping) else None
