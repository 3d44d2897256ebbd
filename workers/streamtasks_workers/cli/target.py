"""The app that a command is about, who asks, and how errors end a command; shared by the commands."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any, Final

import click

if TYPE_CHECKING:
    from streamtasks.application import Application
    from streamtasks.stores.owner import Owner

__all__ = ["Target", "app_option", "change_options", "reporting_errors", "settings_option", "target_options"]


app_option: Final = click.option(
    "--app", envvar="STREAMTASKS_WORKER_APP", help="The plain Python app: module:attribute."
)
settings_option: Final = click.option(
    "--settings",
    envvar="STREAMTASKS_WORKER_SETTINGS",
    help="The Django project: its settings module (else DJANGO_SETTINGS_MODULE).",
)


class _WrongSetup(click.ClickException):
    exit_code = 2


def reporting_errors[**P](command: Callable[P, None]) -> Callable[P, None]:
    """Report an error: exit status 2 for the configuration, else 1."""

    @wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        from streamtasks.exceptions import ConfigurationError, StreamTasksError

        from .output import clean

        try:
            command(*args, **kwargs)
        except (StreamTasksError, TypeError) as error:
            kind = _WrongSetup if isinstance(error, ConfigurationError) else click.ClickException
            raise kind(clean(str(error))) from error

    return run


class Target:
    """The apps that the options name; loaded when a command needs them."""

    def __init__(self, app: str | None, settings: str | None, backend: str | None) -> None:
        self._given = (app, settings, (backend,) if backend else ())

    def all(self) -> list[Application]:
        """Return the apps.

        Raises:
            ConfigurationError: none was named, or it cannot be found.
        """
        from ..app_loader import load

        return load(*self._given)

    def one(self) -> Application:
        """Return the app, or of several backends the one that is named default.

        Raises:
            ConfigurationError: there are several, and none of that name.
        """
        from streamtasks.exceptions import ConfigurationError

        apps = self.all()
        named = [app for app in apps if app.label == "default"] if len(apps) > 1 else apps
        if not named:
            raise ConfigurationError(f"Choose a backend with --backend: {', '.join(app.label for app in apps)}.")
        return named[0]

    @property
    def owner(self) -> Owner:
        """The owner of the tasks of `one`."""
        return self.one().owner


def target_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add --app, --settings and --backend to a command, which gets a `Target` as its first argument instead."""

    @app_option
    @settings_option
    @click.option("--backend", help="An alias of TASKS; needed if there are several and none is named default.")
    @wraps(command)
    def run(app: str | None, settings: str | None, backend: str | None, **rest: Any) -> None:
        command(Target(app, settings, backend), **rest)

    return reporting_errors(run)


def change_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add --actor and --reason to a command, which gets them as one argument ``by`` for `operations.control`."""

    @click.option("--actor", envvar="STREAMTASKS_ACTOR", help="Who asks for it [default: the system's user and host].")
    @click.option("--reason", default="", help="Why; it is noted on the server together with the actor.")
    @wraps(command)
    def run(*args: Any, actor: str | None, reason: str, **rest: Any) -> None:
        command(*args, by={"actor": actor or _system_user(), "reason": reason}, **rest)

    return run


def _system_user() -> str:
    import getpass
    import socket

    try:
        user = getpass.getuser()
    except (KeyError, OSError, ImportError):  # a container's user may have no name
        user = "unknown"
    return f"{user}@{socket.gethostname()}"[:128]
