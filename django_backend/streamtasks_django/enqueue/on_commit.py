"""Hold calls back while a database transaction is open, and enqueue them when it is committed.

Django forgets the callbacks of a savepoint that is rolled back, so each held call has one of its own, which only hands
the call over. Behind it stands a callback that belongs to no savepoint: the last of these sends everything at once.
Between two of them no callback of anybody else stands, so that an error of that one loses nothing that came before it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any, NamedTuple

from django.db import connections, transaction

from streamtasks.exceptions import StreamTasksError
from streamtasks.tasks.known_id import check_known

from ..framework import task_enqueued
from .signal_dispatch import send

if TYPE_CHECKING:
    from streamtasks.stores.types import NewMessage
    from streamtasks.stores.workflow_types import NewWorkflow

    from ..framework import TaskResult
    from .pipeline import Prepared
    from .store_alias import StoreAlias

__all__ = ["Held", "HeldWorkflow", "held_of", "hold", "is_open"]

logger = logging.getLogger("streamtasks")


class Held(NamedTuple):
    """Calls that were prepared together.

    Attributes:
        backend: their alias.
        calls: the calls.
        own_id: whether the caller has chosen the id of the only one.
    """

    backend: StoreAlias
    calls: Sequence[Prepared]
    own_id: bool = False

    def ids(self) -> Iterator[str]:
        """Yield the ids of its messages."""
        return (message.id for _, message, _ in self.calls)


class HeldWorkflow(NamedTuple):
    """A workflow.

    Attributes:
        backend: its alias.
        new: the workflow.
        results: the results of its tasks, which ``task_enqueued`` shows.
    """

    backend: StoreAlias
    new: NewWorkflow
    results: Callable[[], Iterable[TaskResult[..., Any]]]


def is_open(database: str) -> bool:
    """Return whether a transaction is open on this thread's connection.

    Raises:
        TransactionManagementError: transactions are managed by hand, without autocommit.
    """
    connection = connections[database]
    if connection.in_atomic_block:
        return True
    if connection.connection is not None and not connection.autocommit:
        transaction.on_commit(_nothing, using=database)  # refuses, in Django's own words
    return False


def _nothing() -> None:
    """Do nothing."""


class _Ledger:
    """What the callbacks of one transaction have handed over, and the callback that sends it."""

    __slots__ = ("due", "sender")

    def __init__(self) -> None:
        self.due: list[Held | HeldWorkflow] = []
        self.sender: _Send | None = None


class _HandOver:
    """The callback of one held call: it runs unless its savepoint was rolled back."""

    __slots__ = ("held", "ledger")

    def __init__(self, held: Held | HeldWorkflow, ledger: _Ledger | None) -> None:
        self.held = held
        self.ledger = ledger

    def __call__(self) -> None:
        if self.ledger is None:
            _send_all([self.held])
        else:
            self.ledger.due.append(self.held)


class _Send:
    """The callback behind it: the last one sends what all of them have handed over."""

    __slots__ = ("ledger",)

    def __init__(self, ledger: _Ledger) -> None:
        self.ledger = ledger
        ledger.sender = self

    def __call__(self) -> None:
        if self.ledger.sender is self:
            due, self.ledger.due = self.ledger.due, []
            _send_all(due)


def hold(held: Held | HeldWorkflow, database: str) -> None:
    """Hold calls back until the open transaction of a database is committed."""
    connection = connections[database]
    if any(getattr(block, "_from_testcase", False) for block in connection.atomic_blocks):
        # captureOnCommitCallbacks() may run any part of the callbacks: each call has one, which sends it.
        transaction.on_commit(_HandOver(held, None), using=database)
        return
    last = connection.run_on_commit[-1][1] if connection.run_on_commit else None
    ledger = last.ledger if isinstance(last, _Send) else _Ledger()
    transaction.on_commit(_HandOver(held, ledger), using=database)
    connection.run_on_commit.append((set(), _Send(ledger), False))  # type: ignore[arg-type]  # so it is since 4.2


def held_of(backend: StoreAlias) -> Iterator[Held | HeldWorkflow]:
    """Yield what the open transactions of this thread hold back for an alias."""
    for connection in connections.all(initialized_only=True):
        if connection.in_atomic_block:
            for _, callback, *_ in connection.run_on_commit:
                if isinstance(callback, _HandOver) and callback.held.backend.alias == backend.alias:
                    yield callback.held


def _send_all(due: Sequence[Held | HeldWorkflow]) -> None:
    """Send what was held back: of each alias in order, and neighbouring messages in one call.

    Raises:
        StreamTasksError: that of the first alias that failed; the others were sent, or their errors are logged.
    """
    first: StreamTasksError | None = None
    for alias in dict.fromkeys(held.backend.alias for held in due):
        mine = [held for held in due if held.backend.alias == alias]
        try:
            for is_workflow, some in groupby(mine, lambda held: isinstance(held, HeldWorkflow)):
                if is_workflow:
                    for held in some:
                        _send_workflow(held)  # type: ignore[arg-type]
                else:
                    _send_calls(list(some))  # type: ignore[arg-type]
        except StreamTasksError as error:
            if first is not None:
                logger.exception("The backend %r could not take what a committed transaction has enqueued", alias)
            first = first or error
    if first is not None:
        raise first


def _send_workflow(held: HeldWorkflow) -> None:
    if held.backend.stores.plain.start_workflow(held.new):
        for result in held.results():
            send(task_enqueued, type(held.backend), result)


def _send_calls(some: Sequence[Held]) -> None:
    backend = some[0].backend
    calls = [call for held in some for call in held.calls]
    patience = {retry_time_s for _, _, retry_time_s in calls}
    store = backend.stores.plain
    accepted = store.enqueue([message for _, message, _ in calls], patience.pop() if len(patience) == 1 else None)
    for result, _, _ in calls:
        send(task_enqueued, type(backend), result)
    known = {message.id for (_, message, _), new in zip(calls, accepted, strict=True) if not new}
    chosen: list[NewMessage] = [held.calls[0][1] for held in some if held.own_id and held.calls[0][1].id in known]
    for message, snapshot in zip(chosen, store.read([one.id for one in chosen]) if chosen else (), strict=True):
        check_known(message, snapshot, backend.store_settings.wire)
