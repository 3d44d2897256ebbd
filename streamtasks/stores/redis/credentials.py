"""Where user and password of a connection come from: options, a file, or a provider that is asked at each login."""

from __future__ import annotations

import asyncio
import math
import time
from importlib import import_module
from pathlib import Path
from typing import Any, Final, override

from redis.credentials import CredentialProvider
from redis.exceptions import AuthenticationError
from redis.exceptions import ConnectionError as RedisConnectionError

from ...exceptions import ConfigurationError

__all__ = ["read_password", "with_credentials"]

SHARE: Final = 0.8
"""Credentials are replaced after this share of the time that they hold."""

LEAST_S: Final = 1.0
"""But not sooner, seconds."""


class PasswordFile(CredentialProvider):
    """The password that a file holds, read at each login, so that a new one needs no restart.

    ``every_s``: how often connections log in again, seconds.
    """

    def __init__(self, path: str, username: str | None, every_s: float) -> None:
        self._path, self._username, self._every_s = path, username, every_s

    def renew_in_s(self) -> float:
        """See `logins.Source`."""
        return self._every_s

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
    """A user's provider, whose errors are those of a connection, and that does not block an event loop.

    ``every_s``: how often connections log in again, seconds, if it does not say itself until when credentials hold.
    """

    def __init__(self, inner: Any, name: str, every_s: float) -> None:
        self._inner, self._name, self._every_s = inner, name, every_s
        self._expires_at = getattr(inner, "expires_at", None)

    def renew_in_s(self) -> float:
        """See `logins.Source`."""
        if not callable(self._expires_at):
            return self._every_s
        try:
            end = self._expires_at()
            if end is None:
                return self._every_s
            if isinstance(end, bool) or not isinstance(end, (int, float)) or not math.isfinite(end):
                raise TypeError(  # noqa: TRY301 - as any other fault of it
                    f"expires_at() must return seconds since the epoch as time.time(), or None, not {end!r}"
                )
        except Exception as error:
            raise self._failed(error) from error
        return min(self._every_s, max(LEAST_S, SHARE * (end - time.time())))

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
    """Return connection options with ``password_file`` and dotted paths as a `logins.Source`, for redis-py.

    Args:
        options: as users give them.
        where: the setting that they stand in, for errors.

    Raises:
        ConfigurationError: ways contradict each other, or one of them cannot be used.
    """
    found = dict(options)
    path, given = found.pop("password_file", None), found.pop("credential_provider", None)
    every_s = _seconds(found.pop("reauthenticate_every", None), where)
    if path is None and given is None:
        if every_s < math.inf:
            raise ConfigurationError(
                f"{where}: reauthenticate_every is given, but neither password_file nor credential_provider; a "
                "password that stands in the settings does not change, so remove it."
            )
        return found
    if given is not None:
        several = [name for name in ("username", "password", "password_file") if options.get(name)]
        if several:
            raise ConfigurationError(
                f"{where}: credential_provider and {' and '.join(several)} are given; the provider returns user and "
                "password, so remove the rest."
            )
        found["credential_provider"] = _provider(given, where, every_s)
        return found
    if found.pop("password", None):
        raise ConfigurationError(f"{where}: password and password_file are given; give only one of them.")
    if not isinstance(path, (str, Path)) or not str(path):
        raise ConfigurationError(f"{where}: password_file must be the path of a file.")
    found["credential_provider"] = PasswordFile(str(path), found.pop("username", None), every_s)
    return found


def _seconds(given: Any, where: str) -> float:
    """Return the value of ``reauthenticate_every``, which is text in a URL; infinite: it is not given."""
    if given is None:
        return math.inf
    try:
        seconds = math.nan if isinstance(given, bool) else float(given)
    except (TypeError, ValueError):
        seconds = math.nan
    if not LEAST_S <= seconds < math.inf:
        raise ConfigurationError(f"{where}: reauthenticate_every is {given!r}; it must be seconds, 1 or more.")
    return seconds


def _provider(given: Any, where: str, every_s: float) -> CredentialProvider:
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
    return Provider(found, name, every_s)
