"""Users of test servers, with the rights that `streamtasks acl` prints for their roles.

`pytest --acl worker` and `--acl producer` run tests so that the package connects as such a user: in this process as the
one named, in worker processes always as the worker. What tests look at themselves they read without a user, with all
rights.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

import redis

from streamtasks.stores.factory import open_store
from streamtasks.stores.redis import endpoints
from streamtasks.stores.redis.access import UserRole, rules
from streamtasks_workers.testing.embedded import EmbeddedServer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from streamtasks import StoreSettings
    from streamtasks.stores.base import Store

PASSWORD = "pw-of-a-test"
ANY_PREFIX = ("~*{*", "&*{*")
"""The keys of streamtasks, whatever their prefix: tests have many."""

_CREDENTIALS = ("username", "password", "credential_provider")
_READS_OPTIONS = "connection_options"
_active = False


def server_version(client: redis.Redis) -> tuple[int, int]:
    """The version by which rules are made; every Valkey says that it is 7.2."""
    info: Any = client.info("server")
    major, minor, *_ = info["redis_version"].split(".")
    return int(major), int(minor)


def create_users(url: str, prefix: str = "streamtasks:", *more: str) -> None:
    """Create a user for each role, named as it is; ``more``: further rules."""
    with redis.Redis.from_url(url) as client:
        version = server_version(client)
        for role in UserRole:
            words = [*rules(role, prefix, version), *more]
            client.execute_command("ACL", "SETUSER", role.name.lower(), "reset", "on", f">{PASSWORD}", *words)


def restore_users(url: str) -> None:
    """Create the users anew that tests run as, if they do."""
    if _active:
        create_users(url, "streamtasks:", *ANY_PREFIX)


def as_user(url: str, role: UserRole) -> str:
    """Return the URL for a user of this role."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=f"{role.name.lower()}:{PASSWORD}@{parts.netloc.rpartition('@')[2]}"))


def worker_url(url: str, connection: Mapping[str, Any] | None = None) -> str:
    """Return the URL for a worker process: with a user of its own if tests run so and none is named."""
    if any((connection or {}).get(name) for name in (*_CREDENTIALS, "password_file")):
        return url
    return as_user(url, UserRole.WORKER) if _active and url.startswith("redis://") and "@" not in url else url


def worker_settings(settings: StoreSettings) -> StoreSettings:
    """Return the settings for a worker by hand: with a user of its own, if tests run so and none is named."""
    url = worker_url(settings.url, settings.connection)
    return settings if url == settings.url else replace(settings, url=url)


def as_worker(store: Store) -> Store:
    """Return a store for a child by hand: that of a worker, if tests run so."""
    settings: StoreSettings | None = getattr(store, "settings", None)
    found = settings if settings is None else worker_settings(settings)
    return store if found is None or found is settings else open_store(found)


def script_user() -> str:
    """Return the name of the user as which `script_client` runs scripts."""
    return UserRole.WORKER.name.lower() if _active else "default"


def script_client(client: redis.Redis) -> redis.Redis:
    """Return a client on which scripts run as in a worker: of its user if tests run so, else this one."""
    options = client.connection_pool.connection_kwargs
    if not _active or options.get("username"):
        return client
    port = options["port"]
    if port not in _script_clients:
        _script_clients[port] = redis.Redis(
            port=port, protocol=2, username=UserRole.WORKER.name.lower(), password=PASSWORD
        )
    return _script_clients[port]


_script_clients: dict[int, redis.Redis] = {}


def connect_as(role: UserRole) -> None:
    """Have each server of this process know the users, and the package connect as this one where no user is named."""
    global _active
    _active = True
    start, read = EmbeddedServer.start, getattr(endpoints, _READS_OPTIONS)

    def start_with_users(self: EmbeddedServer) -> None:
        path, given = self.directory / "users.acl", self.extra_args
        if path.exists():  # it starts again, and its clients are there already: it has users from the start
            self.extra_args = (*given, "--aclfile", str(path))
        try:
            start(self)
        finally:
            self.extra_args = given
        if "--sentinel" not in given and not path.exists():
            with suppress(redis.AuthenticationError):  # it has a password; then tests name it
                restore_users(self.url)
                with redis.Redis.from_url(self.url, decode_responses=True) as client:
                    lines: Any = client.execute_command("ACL", "LIST")
                path.write_text("\n".join([*lines, ""]))

    def with_user(settings: StoreSettings) -> dict[str, Any]:
        options: dict[str, Any] = read(settings)
        if not any(options.get(name) for name in _CREDENTIALS):
            options |= {"username": role.name.lower(), "password": PASSWORD}
        return options

    EmbeddedServer.start = start_with_users  # type: ignore[method-assign]
    setattr(endpoints, _READS_OPTIONS, with_user)
