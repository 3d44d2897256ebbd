"""Metadata of tasks: JSON values beside the arguments, which a running task may change.

The names and the rules are those that are proposed for Django: https://github.com/django/new-features/issues/141.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from streamtasks.exceptions import InvalidKey
from streamtasks.exceptions import InvalidTask as EngineInvalidTask
from streamtasks.protocol.json import dumps, loads

from ..exceptions import InvalidTask
from ..framework import normalize_json

__all__ = ["HEADER", "MAX_BYTES", "checked", "json_copy", "merged", "shown"]

HEADER: Final = "django.metadata"
"""The header of a message that holds the metadata."""

MAX_BYTES: Final = 15 * 1024
"""Most bytes of metadata as JSON: what the headers of a message hold, without the room for others."""


def checked(metadata: Any) -> dict[str, Any]:
    """Return a copy of metadata as a worker receives it.

    Raises:
        InvalidTask: it is no dict, or JSON cannot encode it, or it is too large.
    """
    if not isinstance(metadata, Mapping):
        raise InvalidTask(f"metadata must be a dict; it is {metadata!r}.")
    for name in metadata:
        if not isinstance(name, str):
            raise InvalidTask(f"metadata keys must be strings; one is {name!r}.")
    try:
        return json_copy(metadata)
    except (TypeError, ValueError) as error:
        if isinstance(error, InvalidTask):
            raise
        raise InvalidTask(f"metadata must be JSON-serializable: {error}") from error


def json_copy(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Return a copy of metadata that went through JSON.

    Raises:
        TypeError, ValueError: JSON cannot encode it.
        InvalidTask: it takes too many bytes.
    """
    try:
        data = dumps(normalize_json(metadata))
    except InvalidKey as error:
        raise TypeError(f"metadata has the key {error.key!r}; keys must be strings.") from error
    except EngineInvalidTask as error:
        raise TypeError(f"metadata cannot be stored: {error}") from error
    if len(data) > MAX_BYTES:
        raise InvalidTask(
            f"metadata takes {len(data)} bytes; at most {MAX_BYTES} are kept with a task. Store the data elsewhere and "
            "keep its id."
        )
    copy: dict[str, Any] = loads(data)
    return copy


def shown(raw: Mapping[str, Any]) -> dict[str, Any]:
    """Return what users see of metadata, as a copy: keys that begin with ``_`` belong to backends and libraries."""
    return {name: value for name, value in json_copy(raw).items() if not name.startswith("_")} if raw else {}


def merged(raw: Mapping[str, Any], changed: Mapping[str, Any]) -> dict[str, Any]:
    """Return changed metadata, as a copy, with the keys of backends and libraries as they were.

    Raises:
        TypeError, ValueError: JSON cannot encode it.
        InvalidTask: it takes too many bytes.
    """
    own = {name: value for name, value in raw.items() if name.startswith("_")}
    return json_copy(own | {name: value for name, value in changed.items() if not str(name).startswith("_")})
