"""Run transitions of the memory store as steps on a database."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from streamtasks.exceptions import ConfigurationError, StoreError
from streamtasks.settings import StoreSettings

from ....results.rows import REFUSED
from .notify import notify
from .session import Session
from .shard import Finished, SqlShard

__all__ = ["Receiver", "Steps", "address_of", "receivers"]

SCHEME: Final = "django://"

type Receiver = Callable[[str, Sequence[Finished], bool], None]
"""Called with (database alias, records, one by one) in the transaction that writes the records.

If the database refuses a value, the step is undone and made again, ``one by one``: then the receiver leaves out what
is refused.
"""

receivers: Final[dict[tuple[str, str], Receiver]] = {}
"""Who is called with what has finished in a store, by the database's alias and the beginning of the tables' names."""


def address_of(settings: StoreSettings) -> tuple[str, str]:
    """Return the database's alias and the beginning of the tables' names.

    Raises:
        ConfigurationError: the URL is none of a database.
    """
    alias, _, table = settings.url.removeprefix(SCHEME).partition("/")
    if not settings.url.startswith(SCHEME) or not alias or not table:
        raise ConfigurationError(f"url is {settings.shown_url!r}; write django://<database alias>/<table name>.")
    return alias, table


class Steps:
    """Steps of one store.

    Attributes:
        pushes_made: how many pushes its steps had for others: SQLite cannot carry them, and tells a connection only of
            what others have changed.

    Args:
        settings: of the store.
        own: use connections of its own; see `Session`.
    """

    def __init__(self, settings: StoreSettings, *, own: bool = True) -> None:
        self.settings = settings
        self.alias, self.table = address_of(settings)
        self.own = Session(settings, self.alias, self.table, own=True)
        self.pushes_made = 0
        self.session = self.own if own else Session(settings, self.alias, self.table, own=False)

    @property
    def tags(self) -> tuple[str, ...]:
        """The shards: one, however many tags the settings name."""
        return self.settings.tags

    def outside(self) -> Session:
        """Return the session of a step that does not wait for the caller's transaction.

        A step of more than plain messages holds the lock of all steps, which must not last until somebody commits. On
        SQLite it has to be part of the transaction, which holds the lock of the whole database.
        """
        session = self.session
        if session is not self.own and session.connection.in_atomic_block and session.vendor != "sqlite":
            return self.own
        return session

    def change[T](self, work: Callable[[SqlShard], T], retry_s: float | None = None) -> T:
        """Make one step and return what ``work`` returns; errors as of `Session.run`."""
        session = self.outside()

        receiver = self.receiver

        def step(one_by_one: bool) -> T:
            with session.transaction() as now_us:
                shard = self._shard(session, now_us)
                answer = work(shard)
                finished = shard.write()
                if finished and receiver is not None:
                    receiver(session.using, finished, one_by_one)
                notify(session.connection, self.table, shard.pushes)
                if shard.pushes:
                    session.count_pushes()
            self.pushes_made += len(shard.pushes)
            return answer

        return self.with_receiver(session, step, retry_s)

    @property
    def receiver(self) -> Receiver | None:
        """Who is called with what has finished."""
        return receivers.get((self.alias, self.table))

    def with_receiver[T](self, session: Session, step: Callable[[bool], T], retry_s: float | None) -> T:
        """Make a step that calls the receiver; again, one by one, if the database refuses what that writes."""
        inside = session.connection.in_atomic_block  # then what is refused might be found after the step
        try:
            return session.run(lambda: step(inside), retry_s)
        except REFUSED:
            if self.receiver is None or inside:
                raise
        except StoreError as error:
            if self.receiver is None or inside or not isinstance(error.__cause__, REFUSED):
                raise
        return session.run(lambda: step(True), retry_s)

    def look[T](self, work: Callable[[SqlShard], T]) -> T:
        """Call ``work`` with what is stored now; what it changes is not kept."""
        session = self.session
        return session.run(lambda: work(self._shard(session, session.now_us())))

    def on_shard[T](self, tag: str, work: Callable[[SqlShard], T], *, changes: bool) -> T:  # noqa: ARG002
        """Call ``work`` with the only shard in one step; see `Transitions`."""
        return self.change(work) if changes else self.look(work)

    def _shard(self, session: Session, now_us: int) -> SqlShard:
        return SqlShard(self.settings, session.using, session.tables, now_us, self.tags[0])
