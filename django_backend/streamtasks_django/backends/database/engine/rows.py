"""Dicts of the shard's state whose entries are rows: read when they are asked for, written at the end of a step."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final, override

from django.db import connections

from .codec import decode, encode
from .tables import Tables

__all__ = ["AT_ONCE", "Lazy", "RowNames", "StateRows", "parts_of", "upsert"]

AT_ONCE: Final = 500
"""Rows that one statement writes or names at most: SQLite allows no more variables than about 32,000."""


def _no_number(_: Any) -> int:
    return 0


class Lazy[K, V](dict[K, V]):
    """A dict that finds its entries elsewhere. `find` and `find_all` return what is there; each is asked once.

    What it holds is what was asked for. A subclass writes at the end what differs from `before`.
    """

    def __init__(self) -> None:
        super().__init__()
        self.before: dict[K, Any] = {}
        self.deleted: set[K] = set()
        self._absent: set[K] = set()
        self._has_all = False

    def find(self, keys: list[K]) -> Iterable[tuple[K, V]]:
        """Return those of these entries that exist."""
        raise NotImplementedError

    def find_all(self) -> Iterable[tuple[K, V]]:
        """Return all entries."""
        raise NotImplementedError

    def mark(self, key: K, value: V) -> Any:  # noqa: ARG002
        """Return what tells later whether a value was changed."""
        return encode(value)

    def load(self, keys: Iterable[K]) -> None:
        """Read entries that are not known yet, all of them together."""
        wanted = [key for key in dict.fromkeys(keys) if not self._knows(key)]
        for start in range(0, len(wanted), AT_ONCE):
            some = wanted[start : start + AT_ONCE]
            for key, value in self.find(some):
                self._found(key, value)
            self._absent.update(key for key in some if not dict.__contains__(self, key))

    def load_all(self) -> None:
        """Read all entries."""
        if not self._has_all:
            for key, value in self.find_all():
                if not self._knows(key):
                    self._found(key, value)
            self._has_all = True

    def _knows(self, key: K) -> bool:
        return self._has_all or super().__contains__(key) or key in self._absent or key in self.deleted

    def _found(self, key: K, value: V) -> None:
        super().__setitem__(key, value)
        self.before[key] = self.mark(key, value)

    def changed(self) -> list[tuple[K, V]]:
        """Return the entries that are new or differ, and let them count as written."""
        found = []
        for key, value in super().items():
            mark = self.mark(key, value)
            if self.before.get(key) != mark:
                self.before[key] = mark
                found.append((key, value))
        return found

    def gone(self) -> list[K]:
        """Return the entries that were deleted, and let that count as written."""
        found = [key for key in self.deleted if not dict.__contains__(self, key)]
        self._absent.update(found)
        self.deleted.clear()
        return found

    @override
    def __contains__(self, key: object) -> bool:
        self.load([key])  # type: ignore[list-item]
        return super().__contains__(key)

    @override
    def __getitem__(self, key: K) -> V:
        self.load([key])
        return super().__getitem__(key)

    @override
    def get(self, key: K, default: Any = None, /) -> Any:
        self.load([key])
        return super().get(key, default)

    @override
    def __setitem__(self, key: K, value: V) -> None:
        self.deleted.discard(key)
        super().__setitem__(key, value)

    @override
    def setdefault(self, key: K, default: Any = None, /) -> Any:
        if key not in self:
            self[key] = default
        return super().__getitem__(key)

    @override
    def __delitem__(self, key: K) -> None:
        if key not in self:
            raise KeyError(key)
        super().__delitem__(key)
        self.before.pop(key, None)
        self.deleted.add(key)

    @override
    def pop(self, key: K, *default: Any) -> Any:
        if key not in self:
            if default:
                return default[0]
            raise KeyError(key)
        value = super().__getitem__(key)
        del self[key]
        return value

    @override
    def update(self, *others: Any, **named: Any) -> None:
        found: dict[Any, Any] = dict(*others, **named)
        for key, value in found.items():
            self[key] = value

    @override
    def __iter__(self) -> Iterator[K]:
        self.load_all()
        return iter(list(super().keys()))

    @override
    def keys(self) -> Any:
        self.load_all()
        return super().keys()

    @override
    def items(self) -> Any:
        self.load_all()
        return super().items()

    @override
    def values(self) -> Any:
        self.load_all()
        return super().values()

    @override
    def __len__(self) -> int:
        """Return how many are loaded; at least one, so that nobody takes an unread dict for an empty one."""
        return super().__len__() or 1


class StateRows[K, V](Lazy[K, V]):
    """Rows of one kind in the table of states.

    Args:
        using: the database.
        names: the tables.
        kind: of the rows.
        key: makes a key of a row's name.
        number: what a value has in the row's own column.
        read: completes a decoded value.
        expires_ms: when the row may be deleted, ms since the epoch; 0: never.
        prefix: what the rows' names begin with, after the kind.
    """

    def __init__(
        self,
        using: str,
        names: Tables,
        kind: str,
        key: Callable[[str], Any] = str,
        number: Callable[[Any], int] = _no_number,
        read: Callable[[Any, Any], Any] = lambda _, value: value,
        expires_ms: Callable[[Any], int] = _no_number,
        prefix: str = "",
    ) -> None:
        super().__init__()
        self._using = using
        self._model = names.state
        self._kind = kind
        self._start = f"{kind}:{prefix}"
        self._key = key
        self._number = number
        self._read = read
        self._expires_ms = expires_ms

    def _name(self, key: Any) -> str:
        return f"{self._start}{chr(31).join(key) if isinstance(key, tuple) else key}"

    def _entries(self, rows: Any) -> Iterator[tuple[K, V]]:
        for name, data in rows.values_list("name", "data"):
            key = self._key(name.removeprefix(self._start))
            yield key, self._read(key, decode(bytes(data)))

    @override
    def find(self, keys: list[K]) -> Iterable[tuple[K, V]]:
        names = [self._name(key) for key in keys]
        return self._entries(self._model.objects.using(self._using).filter(name__in=names))

    @override
    def find_all(self) -> Iterable[tuple[K, V]]:
        return self._entries(self._model.objects.using(self._using).filter(kind=self._kind))

    def to_write(self) -> tuple[list[Any], list[str]]:
        """Return the rows that are new or differ, and the names of those that are gone."""
        rows = [
            self._model(
                name=self._name(key),
                kind=self._kind,
                number=self._number(value),
                expires_ms=self._expires_ms(value),
                data=encode(value),
            )
            for key, value in self.changed()
        ]
        return rows, [self._name(key) for key in self.gone()]


class RowNames:
    """A set whose members are rows of one kind."""

    def __init__(self, rows: StateRows[str, int]) -> None:
        self._rows = rows

    def add(self, name: str) -> None:
        self._rows[name] = 1

    def discard(self, name: str) -> None:
        self._rows.pop(name, None)

    def __iter__(self) -> Iterator[str]:
        return iter(self._rows)


def parts_of(name: str) -> tuple[str, ...]:
    """Return the key of a row whose name has several parts."""
    return tuple(name.split(chr(31)))


def upsert(using: str, model: Any, rows: Iterable[Any], columns: tuple[str, ...] = ()) -> None:
    """Insert rows, or replace those with the same key."""
    many = list(rows)
    if not many:
        return
    names = columns or tuple(one.name for one in model._meta.fields if not one.primary_key)
    has_target = connections[using].features.supports_update_conflicts_with_target
    key = [model._meta.pk.name] if has_target else None
    model.objects.using(using).bulk_create(
        many, batch_size=AT_ONCE, update_conflicts=True, unique_fields=key, update_fields=names
    )
