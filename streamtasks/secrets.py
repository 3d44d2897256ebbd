"""Secrets as settings name them: the text itself, ``"env:NAME"``, or ``"file:/path"``."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from .exceptions import ConfigurationError

__all__ = ["LEAST_BYTES", "read_secrets"]

LEAST_BYTES: Final = 32
"""A secret is refused if it has fewer bytes."""

_MAKE: Final = "python -c 'import secrets; print(secrets.token_urlsafe(48))'"


def read_secrets(option: str, given: Any) -> tuple[str | bytes, ...]:
    """Return the secrets that an option names, in their order.

    An entry is the secret itself, or ``"env:NAME"``: an environment variable with secrets separated by spaces, or
    ``"file:/path"``: a file with one in each line, in which empty lines and those that begin with # do not count.

    Args:
        option: its name, for errors; secrets are never shown.
        given: a list of entries.

    Raises:
        ConfigurationError: a secret is missing or too short; the message says how to make one.
    """
    if not isinstance(given, (tuple, list)) or not all(isinstance(one, (str, bytes)) and one for one in given):
        raise ConfigurationError(f"{option} must be a list of non-empty strings.")  # which are not shown
    found: list[str | bytes] = []
    for place, entry in enumerate(given):
        for secret, where in _entry(f"{option}[{place}]", entry):
            size = len(secret.encode() if isinstance(secret, str) else secret)
            if size < LEAST_BYTES:
                raise ConfigurationError(
                    f"{where} has {size} bytes; a secret needs at least {LEAST_BYTES}. Make one with: {_MAKE}"
                )
            found.append(secret)
    return tuple(found)


def _entry(where: str, entry: str | bytes) -> Iterator[tuple[str | bytes, str]]:
    """Return the secrets of one entry, and where each was found."""
    if isinstance(entry, str) and entry.startswith("env:"):
        name = entry.removeprefix("env:")
        words = os.environ.get(name, "").split()
        if not words:
            raise ConfigurationError(
                f"{where} is 'env:{name}', and the environment variable {name} is not set or empty. Set it to one or "
                "more secrets, separated by spaces."
            )
        for at, word in enumerate(words, 1):
            yield word, f"{where}, secret {at} of the environment variable {name},"
    elif isinstance(entry, str) and entry.startswith("file:"):
        path = Path(entry.removeprefix("file:"))
        try:
            lines = [line.strip() for line in path.read_text().splitlines()]
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigurationError(
                f"{where} is 'file:{path}', which cannot be read: {type(error).__name__}. It must be a text file with "
                "one secret in each line, which this process may read."
            ) from None
        named = [(line, f"{where}, line {at} of {path},") for at, line in enumerate(lines, 1) if _counts(line)]
        if not named:
            raise ConfigurationError(f"{where} is 'file:{path}', which holds no secret; write one in each line.")
        yield from named
    else:
        yield entry, where


def _counts(line: str) -> bool:
    return bool(line) and not line.startswith("#")
