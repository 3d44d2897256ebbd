"""What a shard finds its messages by, besides their ids: each a query of the table of messages."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, override

from django.db.models import Q
from django.db.models.functions import Substr

from streamtasks.stores.memory.delayed import Delayed
from streamtasks.stores.rules import phases
from streamtasks.stores.steering_types import pause_of

from .message_rows import LiveRows

__all__ = ["BatchIndex", "DelayedIndex", "LinkIndex", "WaitingIndexes", "paused"]

PROMOTED: Final = 1000
"""Most messages that one step promotes."""

WAITING: Final = 1000
"""Most waiting messages of a limit that one step looks at."""

_PAUSE: Final = f"pause:{pause_of('', 'x')[:-1]}"
"""What the names of states of paused tasks begin with."""


def paused(states: Any) -> Q:
    """Return the condition of messages whose task is paused, and which would run otherwise; ``states``: all rows."""
    names = states.filter(kind="pause", name__startswith=_PAUSE).annotate(task=Substr("name", len(_PAUSE) + 1))
    return Q(skip_reason="", task__in=names.values("task"))


class DelayedIndex(Delayed):
    """Delayed messages, which lie in the table of messages."""

    def __init__(self, live: LiveRows) -> None:
        super().__init__()
        self._live = live

    @property
    def _rows(self) -> Any:
        return self._live.rows.filter(phase=phases.DELAYED)

    @override
    def put(self, task_id: str, due_ms: int) -> None:
        self._live.due_ms[task_id] = due_ms

    @override
    def discard(self, task_id: str) -> None:
        """Forget nothing: the message itself goes, or is in another phase."""

    @override
    def due_ms(self, task_id: str) -> int:
        message = self._live.get(task_id)
        return self._live.due_ms.get(task_id, 0) if message and message.phase == phases.DELAYED else 0

    @override
    def first(self) -> tuple[int, str] | None:
        self._live.write()
        found: tuple[int, str] | None = self._rows.order_by("due_ms").values_list("due_ms", "id").first()
        return found

    @override
    def take_due(self, now_ms: int) -> list[str]:
        rows = self._rows.filter(due_ms__lte=now_ms).order_by("due_ms", "id")[:PROMOTED]
        return [message.id for message in self._live.select(rows)]


class BatchIndex(dict[str, tuple[str, ...]]):
    """The messages of each claim: rows with its token."""

    def __init__(self, live: LiveRows) -> None:
        super().__init__()
        self._live = live

    @override
    def get(self, key: str, default: Any = None, /) -> Any:
        self._live.write()
        return tuple(message.id for message in self._live.select(self._live.rows.filter(token=key).order_by("place")))

    @override
    def pop(self, key: str, *default: Any) -> Any:
        """Remove nothing: a message says itself whose it is."""
        return ()


class _WaitingIndex(dict[str, tuple[int, int, str]]):
    """The messages that wait for one limit, with their places; they are looked for when somebody wants to see them.

    Those of paused tasks are not among them: they are not admitted, so they hold no token.
    """

    def __init__(self, live: LiveRows, states: Any, limit: str) -> None:
        super().__init__()
        self._live = live
        self._limit = limit
        self._states = states
        self._is_loaded = False

    def _load(self) -> None:
        if self._is_loaded:
            return
        self._is_loaded = True
        self._live.write()
        rows = self._live.rows.filter(phase=phases.LIMITED, limit_name=self._limit).exclude(paused(self._states))
        for message in self._live.select(rows.order_by("wait_rank", "wait_number", "id")[:WAITING]):
            super().setdefault(message.id, (*self._live.waits[message.id], message.id))

    @override
    def __setitem__(self, key: str, value: tuple[int, int, str]) -> None:
        super().__setitem__(key, value)
        self._live.waits[key] = value[:2]

    @override
    def __iter__(self) -> Iterator[str]:
        self._load()
        return super().__iter__()

    @override
    def values(self) -> Any:
        self._load()
        return super().values()

    @override
    def get(self, key: str, default: Any = None, /) -> Any:
        self._load()
        return super().get(key, default)


class WaitingIndexes(dict[str, dict[str, tuple[int, int, str]]]):
    """The messages that wait for limits, by the limit's name."""

    def __init__(self, live: LiveRows, states: Any) -> None:
        super().__init__()
        self._live = live
        self._states = states

    def __missing__(self, key: str) -> _WaitingIndex:
        self[key] = made = _WaitingIndex(self._live, self._states, key)
        return made

    @override
    def get(self, key: str, default: Any = None, /) -> Any:
        return self[key]

    @override
    def setdefault(self, key: str, default: Any = None, /) -> Any:
        return self[key]


class LinkIndex(dict[str, list[str]]):
    """The messages that wait for a task, but not for a workflow: those are let go by their numbers."""

    def __init__(self, live: LiveRows) -> None:
        super().__init__()
        self._live = live

    @override
    def pop(self, key: str, *default: Any) -> Any:
        self._live.write()
        rows = self._live.rows.filter(after=key, phase=phases.BLOCKED, then="").order_by("enqueued_ms", "id")
        return [message.id for message in self._live.select(rows)]

    @override
    def setdefault(self, key: str, default: Any = None, /) -> Any:
        return []
