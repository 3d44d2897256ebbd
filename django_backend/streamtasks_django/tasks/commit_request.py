"""Ask for what is enqueued in a block to wait for the commit of the transaction around it."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

from django.db import DEFAULT_DB_ALIAS

from ..conf.transactions import check_database

__all__ = ["asked_database", "awaited_database", "enqueue_on_commit"]

asked_database: Final[ContextVar[str | None]] = ContextVar("streamtasks_on_commit", default=None)
"""The database that `enqueue_on_commit` names; empty: that of the alias; None: nobody has asked."""


@contextmanager
def enqueue_on_commit(using: str | None = None) -> Generator[None]:
    """Hold everything that is enqueued in this block back until the transaction around it is committed.

    Tasks, bulk calls and workflows: their ids are known at once, and after a rollback nothing is sent. Outside of a
    transaction they are enqueued at once.

    Args:
        using: the alias of the database; None: as OPTIONS ``on_commit`` says, else ``"default"``.

    Raises:
        ConfigurationError: DATABASES has no such alias.
    """
    token = asked_database.set("" if using is None else check_database("using", using))
    try:
        yield
    finally:
        asked_database.reset(token)


def awaited_database(own: str | None) -> str | None:
    """Return the database whose transaction calls have to wait for; None: they wait for none.

    Args:
        own: what OPTIONS ``on_commit`` of their backend says.
    """
    asked = asked_database.get()
    return own if asked is None else asked or own or DEFAULT_DB_ALIAS
