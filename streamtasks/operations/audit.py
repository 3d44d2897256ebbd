"""Note who changes what, and why: before the change, so that nothing is changed without a trace; list the notes."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Generator
from contextlib import contextmanager
from typing import Final, NamedTuple

from ..exceptions import InvalidTask, StoreUnavailable
from ..stores.steering import SteeringStore
from ..stores.steering_types import AuditEntry
from .store_calls import Steps, StoreOperation, ask

__all__ = ["MOST_ACTOR", "MOST_REASON", "AuditPage", "check", "entries", "latest", "record", "recorded"]

MOST_ACTOR: Final = 128
MOST_REASON: Final = 1000
"""Most characters of who and of why."""


_MOST: Final = 100


class AuditPage(NamedTuple):
    """Audit entries, and the cursor behind them; empty: there are no more."""

    entries: list[AuditEntry]
    cursor: str


@StoreOperation
def entries(cursor: str = "", limit: int = _MOST) -> Steps[AuditPage]:
    """Return a page of audit entries, newest first.

    Args:
        cursor: that of the last page; empty: from the newest.
        limit: of entries, at most 100.
    """
    limit = min(limit, _MOST)
    found: list[AuditEntry] = yield ask("audit_entries", limit, cursor)
    return AuditPage(found, found[-1].cursor if len(found) == limit else "")


def latest(store: SteeringStore, operations: Collection[str], target: str) -> AuditEntry | None:
    """Return the last of the latest 100 changes that was one of these operations on a target.

    Args:
        store: where it was noted.
        operations: as in `AuditEntry`.
        target: what the change was about, or what its description begins with, before a colon.
    """
    for one in store.audit_entries():
        if one.operation in operations and (one.target == target or one.target.startswith(f"{target}: ")):
            return one
    return None


def record(store: SteeringStore, operation: str, target: str, actor: str, reason: str) -> None:
    """Write an audit entry.

    The store counts it, see `counted_as`.

    Args:
        store: where the change is made.
        operation: as in `AuditEntry`.
        target: what it is about.
        actor: who asks for it.
        reason: why; may be empty.

    Raises:
        InvalidTask: actor or reason cannot be that. Nothing is to be changed then.
        StoreError: the entry could not be written. Nothing is to be changed then.
    """
    check(actor, reason)
    store.record_audit(AuditEntry(operation, target[:256], actor, reason, nonce=uuid.uuid4().hex))


@contextmanager
def recorded(store: SteeringStore, operation: str, target: str, actor: str, reason: str) -> Generator[None]:
    """Write an audit entry, and a second one, ``<operation> failed``, if what is done in this context fails.

    Arguments and errors as of `record`. While the store cannot be reached there is no second entry.
    """
    record(store, operation, target, actor, reason)
    try:
        yield
    except StoreUnavailable:
        raise
    except Exception as error:
        # Not its text, in which there may be arguments, which not everybody may see.
        record(store, f"{operation} failed", f"{target[:150]}: {type(error).__name__}", actor, reason)
        raise


def check(actor: str, reason: str) -> None:
    """Check who asks for a change, and why.

    Raises:
        InvalidTask: actor or reason cannot be that.
    """
    if not isinstance(actor, str) or not actor.strip() or len(actor) > MOST_ACTOR:
        raise InvalidTask(f"actor is {actor!r}; say who asks for it in 1 to {MOST_ACTOR} characters.")
    if not isinstance(reason, str) or len(reason) > MOST_REASON:
        raise InvalidTask(f"reason is {reason!r:.100}; it must be a text of at most {MOST_REASON} characters.")
