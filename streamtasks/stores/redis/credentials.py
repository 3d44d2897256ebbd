"""Where user and password of a connection come from: options, a file, or a provider that is asked at each connect."""

from __future__ import annotations

import asyncio
from importlib import import_module
from pathlib import Path
from typing import Any, override

from redis.credentials import CredentialProvider
from redis.exceptions import AuthenticationError
from redis.exceptions import ConnectionError as RedisConnectionError

from ...exceptions import ConfigurationError

__all__ = ["read_password", "with_credentials"]


class PasswordFile(CredentialProvider):
    """The password that a file holds, read at each connect, so that a new one needs no restart."""

    def __init__(self, path: str, username: str | None) -> None:
        self._path, self._username = path, username

    @override
    def get_credentials(self) -> tuple[str] | tuple[str, str]:
        try:
            password = read_password(self._path)
        except ConfigurationError as error:
            raise AuthenticationError(str(error)) from error
        return (self._username, password) if self._username else (password,)

    @override
    async def get_credentials_async(self) -> tuple[str] | tuple[str, str]:
        return self.get_credentials()  # a small local file


class Provider(CredentialProvider):
    """A user's provider, whose errors are those of a connection, and that does not block an event loop."""

    def __init__(self, inner: Any, name: str) -> None:
        self._inner, self._name = inner, name

    @override
    def get_credentials(self) -> tuple[str] | tuple[str, str]:
        try:
            return self._checked(self._inner.get_credentials())
        except Exception as error:
            raise self._failed(error) from error

    @override
    async def get_credentials_async(self) -> tuple[str] | tuple[str, str]:
        own = getattr(type(self._inner), "get_credentials_async", None)
        try:
            if own is None or own is CredentialProvider.get_credentials_async:
                return self._checked(await asyncio.to_thread(self._inner.get_credentials))
            return self._checked(await self._inner.get_credentials_async())
        except Exception as error:
            raise self._failed(error) from error

    def _checked(self, found: Any) -> tuple[str] | tuple[str, str]:
        if isinstance(found, (tuple, list)) and len(found) in (1, 2) and all(isinstance(one, str) for one in found):
            return tuple(found)
        raise TypeError("it must return (user, password) or (password,)")  # what it returned may be a secret

    def _failed(self, error: Exception) -> RedisConnectionError:
        return RedisConnectionError(f"credential_provider {self._name} failed: {type(error).__name__}: {error}")


def read_password(path: str) -> str:
    """Return the password that a file holds; line ends behind it do not count.

    Raises:
        ConfigurationError: it cannot be read, or is empty.
    """
    try:
        password = Path(path).read_text("utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise ConfigurationError(f"password_file {path!r} cannot be read: {reason}.") from error
    if not password:
        raise ConfigurationError(f"password_file {path!r} is empty; write the password into it.")
    return password


def with_credentials(options: dict[str, Any], where: str) -> dict[str, Any]:
    """Return connection options with ``password_file`` and dotted paths as a provider for redis-py.

    Args:
        options: as users give them.
        where: the setting that they stand in, for errors.

    Raises:
        ConfigurationError: ways contradict each other, or one of them cannot be used.
    """
    found = dict(options)
    path, given = found.pop("password_file", None), found.pop("credential_provider", None)
    if path is None and given is None:
        return found
    if given is not None:
        several = [name for name in ("username", "password", "password_file") if options.get(name)]
        if several:
            raise ConfigurationError(
                f"{where}: credential_provider and {' and '.join(several)} are given; the provider returns user and "
                "password, so remove the rest."
            )
        found["credential_provider"] = _provider(given, where)
        return found
    if found.pop("password", None):
        raise ConfigurationError(f"{where}: password and password_file are given; give only one of them.")
    if not isinstance(path, (str, Path)) or not str(path):
        raise ConfigurationError(f"{where}: password_file must be the path of a file.")
    found["credential_provider"] = PasswordFile(str(path), found.pop("username", None))
    return found


def _provider(given: Any, where: str) -> CredentialProvider:
    name = given if isinstance(given, str) else type(given).__qualname__
    found = given
    if isinstance(given, str):
        module, _, attribute = given.rpartition(".")
        try:
            found = getattr(import_module(module), attribute)
        except (ImportError, AttributeError, ValueError) as error:
            raise ConfigurationError(
                f"{where}: credential_provider {given!r} cannot be imported ({error}); write its dotted path, as in "
                "'shop.iam.Tokens'."
            ) from error
    if isinstance(found, type) or (callable(found) and not hasattr(found, "get_credentials")):
        name = given if isinstance(given, str) else found.__qualname__
        found = found()
    if not callable(getattr(found, "get_credentials", None)):
        raise ConfigurationError(
            f"{where}: credential_provider {name} has no get_credentials(); derive it from "
            "redis.credentials.CredentialProvider."
        )
    return Provider(found, name)
