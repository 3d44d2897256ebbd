"""Configure Django for the dashboard alone, and serve it."""

from __future__ import annotations

import getpass
import os
import secrets
import socket
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final, NamedTuple

from streamtasks.exceptions import ConfigurationError
from streamtasks_workers.app_loader import load

__all__ = ["Options", "configure", "serve"]

_LOOPBACK: Final = ("127.0.0.1", "localhost", "[::1]")
_APPS: Final = ("django.contrib.staticfiles", "streamtasks_django.dashboard")


class Options(NamedTuple):
    """Options of the command.

    Attributes:
        app: the plain Python app, ``"module:attribute"``.
        settings: the settings module of a Django project.
        host: the address to listen at.
        port: the port; 0: a free one.
        hosts: further names by which browsers may reach it.
        read_only: whether nothing can be changed.
        tokens: a JSON file with tokens of the API.
        token_file: the same; browsers come in by these tokens, too, with the roles of each, and by nothing else.
    """

    app: str | None
    settings: str | None
    host: str
    port: int
    hosts: Sequence[str] = ()
    read_only: bool = False
    tokens: str | None = None
    token_file: str | None = None


def serve(options: Options, tell: Callable[[str], None]) -> None:
    """Serve until a signal comes.

    Args:
        options: of the command.
        tell: prints a line.

    Raises:
        ConfigurationError: an option is wrong, the address cannot be had, or the server is not installed.
    """
    try:
        import uvicorn
    except ImportError as error:
        raise ConfigurationError(
            "The dashboard's server is not installed: pip install 'streamtasks[dashboard]'."
        ) from error
    is_local = options.host in ("127.0.0.1", "localhost", "::1")
    if not is_local and not options.hosts:
        raise ConfigurationError(
            f"--bind {options.host} can be reached from elsewhere: name with --host how browsers call this machine."
        )
    listener = _listening(options)
    port = listener.getsockname()[1]
    shown = f"[{options.host}]" if ":" in options.host else options.host
    before = f"http://{options.hosts[0] if options.hosts else shown}:{port}"
    if options.token_file is None:
        configure(options, port, lambda key: tell(f"Dashboard {before}/enter/{key}"))
    else:
        configure(options, port, None)
        tell(f"Dashboard {before}/enter/")
    if not is_local:
        tell("It is not encrypted: let only a proxy with TLS reach it.")
    way = "The address lets one browser in, once." if options.token_file is None else "It asks for a token."
    tell(f"{way} Ctrl-C stops.")

    from django.contrib.staticfiles.handlers import ASGIStaticFilesHandler
    from django.core.asgi import get_asgi_application

    application: Any = ASGIStaticFilesHandler(get_asgi_application())
    config = uvicorn.Config(
        application, lifespan="off", log_level="warning", access_log=False, server_header=False, proxy_headers=False,
        timeout_graceful_shutdown=3,
    )  # fmt: skip
    with suppress(KeyboardInterrupt):  # which it raises again at its end
        uvicorn.Server(config).run(sockets=[listener])


def _listening(options: Options) -> socket.socket:
    family = socket.AF_INET6 if ":" in options.host else socket.AF_INET
    try:
        return socket.create_server((options.host, options.port), family=family)
    except OSError as error:
        raise ConfigurationError(
            f"{options.host}:{options.port} cannot be had ({error}); give another address with --bind."
        ) from error


def configure(options: Options, port: int, tell: Callable[[str], None] | None) -> None:
    """Set Django up for the dashboard.

    Args:
        options: of the command.
        port: where it is served.
        tell: is called with each key that lets a browser in; None: tokens do.

    Raises:
        ConfigurationError: the app or the project cannot be found, or is wrong.
    """
    import django
    from django.conf import settings

    project = options.settings or os.environ.get("DJANGO_SETTINGS_MODULE")
    if options.app:
        [app] = load(options.app, None, ())
        backend = {"BACKEND": "streamtasks_django.standalone.app_backend.AppBackend", "OPTIONS": {"app": app}}
        settings.configure(**_values(options, port, {}), TASKS={"default": backend}, DATABASES={}, USE_I18N=False)
        django.setup()
    elif project:
        known = _project(project)
        settings.configure(known, **_values(options, port, vars(known)))
        load(None, None if project == os.environ.get("DJANGO_SETTINGS_MODULE") else project, ())
    else:
        raise ConfigurationError(
            "Nothing to show: give --app module:app, or --settings (or DJANGO_SETTINGS_MODULE) for a Django project."
        )
    from .door import Keys

    if tell is None:
        _check_tokens(options)
    settings.STREAMTASKS_STANDALONE["keys"] = Keys(tell)


def _check_tokens(options: Options) -> None:
    from ..conf.project import dashboard_tokens

    if not dashboard_tokens():
        raise ConfigurationError(
            f"--token-file {options.token_file} has no tokens; `streamtasks token NAME` prints one to keep there."
        )


def _project(module: str) -> Any:
    """Return the settings of a project."""
    import sys
    from pathlib import Path

    from django.conf import Settings

    from streamtasks.protocol.absent_module import is_absent

    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        return Settings(module)
    except ModuleNotFoundError as error:
        if not is_absent(module, error):
            raise
        raise ConfigurationError(f"The settings module {module!r} cannot be imported: {error}") from error


def _values(options: Options, port: int, known: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings that the dashboard has of its own, whatever the project has."""
    apps = list(known.get("INSTALLED_APPS", ()))
    ours: dict[str, Any] = {**(known.get("STREAMTASKS") or {})}
    ours["DASHBOARD_ROLES"] = "streamtasks_django.standalone.door.roles"
    if options.tokens is not None and options.token_file is not None:
        raise ConfigurationError("Give --tokens or --token-file, not both.")
    if (tokens := options.token_file or options.tokens) is not None:
        ours["DASHBOARD_TOKENS"] = tokens
    return {
        "DEBUG": False,
        "SECRET_KEY": secrets.token_urlsafe(32),  # of this process alone
        "ALLOWED_HOSTS": [*_LOOPBACK, *options.hosts],
        "INSTALLED_APPS": [*apps, *(app for app in _APPS if app not in apps)],
        "MIDDLEWARE": [
            "django.middleware.common.CommonMiddleware",
            "streamtasks_django.standalone.door.door",
            "django.middleware.csrf.CsrfViewMiddleware",
        ],
        "ROOT_URLCONF": "streamtasks_django.standalone.urls",
        "TEMPLATES": [{"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True}],
        "STATIC_URL": "/static/",
        "FORCE_SCRIPT_NAME": None,
        "SECURE_SSL_REDIRECT": False,
        "USE_TZ": True,
        # Cookies ignore ports: two dashboards on one machine would take each other's.
        "CSRF_COOKIE_NAME": f"streamtasks_csrf_{port}",
        "CSRF_COOKIE_SAMESITE": "Strict",
        "CSRF_COOKIE_SECURE": False,
        "CSRF_USE_SESSIONS": False,
        "CSRF_TRUSTED_ORIGINS": [],
        "STREAMTASKS": ours,
        "STREAMTASKS_STANDALONE": {
            "cookie": f"streamtasks_dashboard_{port}",
            "name": _name(),
            "read_only": options.read_only,
        },
    }


def _name() -> str:
    try:
        user = getpass.getuser()
    except (KeyError, OSError, ImportError):  # a container's user may have no name
        user = "unknown"
    return f"{user}@{socket.gethostname()}"[:128]
