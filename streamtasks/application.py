"""An app as a worker sees it: its store, tasks and middleware."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from .protocol.state import State
from .settings import StoreSettings
from .stores.owner import Owner
from .tasks.attempt import Attempt, AttemptOutcome
from .tasks.middleware import Middleware
from .tasks.run_options import RunOptions

if TYPE_CHECKING:
    from .schedules.definition import Definition

__all__ = ["Application", "Relay", "Runnable", "TaskLog"]


class Runnable(Protocol):
    """A registered task as a worker sees it.

    Attributes:
        name: its name in messages.
        is_async: whether it is a coroutine function.
        run_options: how attempts of it are run.
    """

    @property
    def name(self) -> str: ...
    @property
    def is_async(self) -> bool: ...
    @property
    def run_options(self) -> RunOptions: ...

    def run(self, attempt: Attempt) -> Any:
        """Call the function with the attempt's arguments; of a coroutine function, return the coroutine."""
        ...

    def check_call(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
        """Check that the function can be called with these arguments; nothing runs.

        Raises:
            TypeError: it cannot; the text says why.
        """
        ...

    def before_start(self, attempt: Attempt) -> None:
        """Call the hook before `run`. An error fails the attempt, as an error of the task would."""
        ...

    def after(self, attempt: Attempt, outcome: AttemptOutcome) -> None:
        """Call the hooks of an outcome before it is committed. Errors are logged."""
        ...


class Relay(Protocol):
    """Moves messages that were written elsewhere to the store. All calls come from one thread."""

    def run(self) -> float:
        """Move all that is there; return seconds until it is to be called again.

        Raises:
            StoreError: something could not be moved; it is called again soon.
        """
        ...

    def fileno(self) -> int | None:
        """Return a descriptor that becomes readable when there is more to move; None: there is none."""
        ...


class TaskLog(NamedTuple):
    """How a worker logs the attempts of an app.

    Attributes:
        logger: the name of the logger.
        words: for states that are called otherwise there.
        attempts_a_second: of so many a child logs start and success one by one; of more it says how many there were.
    """

    logger: str = "streamtasks.tasks"
    words: Mapping[State, str] = {}
    attempts_a_second: int = 100


class Application(Protocol):
    """Messages, tasks and middleware of one app (one Django backend alias)."""

    @property
    def label(self) -> str:
        """Its name in logs and on the command line: ``"module:app"``, or the alias."""
        ...

    @property
    def project_name(self) -> str:
        """What declares its schedules: ``"module:app"``, or the settings module and the alias."""
        ...

    @property
    def settings(self) -> StoreSettings: ...

    def renew_settings(self) -> None:
        """Have settings and stores with all shards that are known now, see `StoreSettings.follow_shards`."""
        ...

    @property
    def owner(self) -> Owner:
        """What owns its tasks."""
        ...

    @property
    def worker_defaults(self) -> dict[str, Any]:
        """Worker options from the project's settings, by the names of `WorkerOptions`."""
        ...

    @property
    def middleware(self) -> Sequence[Middleware]: ...

    @property
    def listens_to_ends(self) -> bool:
        """Whether something is called with the end of every task: middleware, receivers of signals."""
        ...

    @property
    def task_log(self) -> TaskLog:
        """How its workers log attempts."""
        ...

    def relay(self) -> Relay | None:
        """Return what moves messages from elsewhere to the store; None: there is nothing. Called in a keeper."""
        ...

    @property
    def companion(self) -> Sequence[str]:
        """The command of a process that a worker keeps running beside its keeper; empty: there is none."""
        ...

    def declared_schedules(self) -> Sequence[Definition]:
        """Return the schedules that its code and settings declare. Called once, in the process that loads the code.

        Those that are wrong are logged and left out.
        """
        ...

    def task_names(self) -> Sequence[str]:
        """Return the names of the tasks that `find` finds, for other workers. Imports nothing."""
        ...

    def find(self, name: str) -> Runnable | None:
        """Return the registered task of that name. Never imports anything."""
        ...
