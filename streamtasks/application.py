"""What a worker needs to know of an app: where its messages are, and which tasks it has."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from .attempt import Attempt
from .middleware import Middleware
from .settings import StoreSettings

__all__ = ["Application", "Runnable"]


class Runnable(Protocol):
    """A registered task as a worker sees it.

    Attributes:
        name: the name messages carry.
        is_async: a coroutine function.
        max_retries: how often `Retry` may run it again, unless the message says otherwise.
        retry_delay_s: seconds before a retry that names no delay.
    """

    @property
    def name(self) -> str: ...
    @property
    def is_async(self) -> bool: ...
    @property
    def max_retries(self) -> int | None: ...
    @property
    def retry_delay_s(self) -> float: ...

    def run(self, attempt: Attempt) -> Any:
        """Call the function with the attempt's arguments; of a coroutine function, return the coroutine."""
        ...


class Application(Protocol):
    """Messages, tasks and middleware of one app (one Django backend alias)."""

    @property
    def label(self) -> str:
        """How logs and the command line name it: ``"module:app"``, or the alias."""
        ...

    @property
    def settings(self) -> StoreSettings: ...

    @property
    def worker_defaults(self) -> dict[str, Any]:
        """Options of a worker that the project's settings give, by the names of `WorkerOptions`."""
        ...

    @property
    def middleware(self) -> Sequence[Middleware]: ...

    def find(self, name: str) -> Runnable | None:
        """Return the registered task of that name. Never imports anything."""
        ...
