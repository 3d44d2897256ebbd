"""Values that a request carries: checked, and described in the API's document, from one definition."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from django.http import QueryDict

from streamtasks.exceptions import InvalidTask

__all__ = ["CURSOR", "FILTER", "LIMIT", "REASON", "Field", "from_body", "from_query", "schema_of"]

_TYPES: Final[Mapping[str, type | tuple[type, ...]]] = {
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
    "array": list,
    "object": dict,
}


class Field(NamedTuple):
    """A value of a request.

    Attributes:
        name: its name.
        kind: its JSON type.
        about: what it means.
        is_required: whether it must be there.
        default: the value if it is not there; None: it is left out then.
        least: the smallest number.
        most: the greatest number, or the most characters or items.
        choices: the only values; empty: any.
    """

    name: str
    kind: str
    about: str
    is_required: bool = False
    default: Any = None
    least: float | None = None
    most: float | None = None
    choices: Sequence[str] = ()

    def checked(self, value: Any) -> Any:
        """Return a value if it can be one.

        Raises:
            InvalidTask: it cannot.
        """
        wanted = _TYPES[self.kind]
        if not isinstance(value, wanted) or (isinstance(value, bool) and self.kind != "boolean"):
            raise InvalidTask(f"{self.name} is {value!r:.100}; it must be of the JSON type {self.kind}.")
        if self.choices and value not in self.choices:
            raise InvalidTask(f"{self.name} is {value!r:.100}; it must be one of {', '.join(self.choices)}.")
        size: Any = len(value) if isinstance(value, str | list | dict) else value
        unit = {"string": " characters", "array": " items", "object": " members"}.get(self.kind, "")
        if self.least is not None and not size >= self.least:
            raise InvalidTask(f"{self.name} is {value!r:.100}; give at least {self.least:g}{unit}.")
        if self.most is not None and not size <= self.most:
            raise InvalidTask(f"{self.name} is {value!r:.100}; give at most {self.most:g}{unit}.")
        return value


CURSOR: Final = Field("cursor", "string", "That of the last page; without it: from the first.", default="", most=4096)
LIMIT: Final = Field("limit", "integer", "Most items of the page.", default=50, least=1, most=100)
FILTER: Final = Field(
    "filter",
    "string",
    "Which ones, in the grammar of the command line: `state:failed queue:mail task:shop.mail arg.user=7 since:1h`.",
    default="",
    most=10_000,
)
REASON: Final = Field("reason", "string", "Why; it is kept in the audit.", is_required=True, least=1, most=1000)

_WORDS: Final = {"true": True, "false": False}


def from_query(fields: Sequence[Field], given: QueryDict) -> dict[str, Any]:
    """Return the checked values of a query.

    Raises:
        InvalidTask: one is wrong, unknown or missing.
    """
    read: dict[str, Any] = {}
    known = {field.name: field for field in fields}
    for name, texts in given.lists():
        if len(texts) > 1:
            raise InvalidTask(f"{name} is given {len(texts)} times; give it once.")
        text = texts[0]
        field = known.get(name)
        if field is None:
            raise _unknown(name, list(known))
        if field.kind == "string":
            read[name] = text
        elif field.kind == "boolean":
            read[name] = _WORDS.get(text, text)
        else:
            read[name] = _json_or_text(text)
    return _checked(fields, read)


def from_body(fields: Sequence[Field], data: bytes) -> dict[str, Any]:
    """Return the checked values of a body, which is a JSON object.

    Raises:
        InvalidTask: it is none, or one of its members is wrong, unknown or missing.
    """
    try:
        given = json.loads(data or b"{}", parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise InvalidTask(f"The body is no JSON: {error}.") from error
    if not isinstance(given, dict):
        raise InvalidTask(f"The body is {given!r:.100}; it must be a JSON object.")
    known = [field.name for field in fields]
    for name in given:
        if name not in known:
            raise _unknown(name, known)
    return _checked(fields, given)


def _refuse(word: str) -> Any:
    raise ValueError(f"{word} is not in JSON")


def _json_or_text(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _unknown(name: str, known: Sequence[str]) -> InvalidTask:
    return InvalidTask(f"{name!r:.100} is not known here; there are {', '.join(known) or 'none'}.")


def _checked(fields: Sequence[Field], given: dict[str, Any]) -> dict[str, Any]:
    for field in fields:
        if given.get(field.name) is not None:
            field.checked(given[field.name])
        elif field.is_required:
            raise InvalidTask(f"{field.name} is missing: {field.about}")
        else:
            given.pop(field.name, None)
            if field.default is not None:
                given[field.name] = field.default
    return given


def schema_of(field: Field) -> dict[str, Any]:
    """Return the JSON Schema of a value."""
    low, high = {"string": ("minLength", "maxLength"), "array": ("minItems", "maxItems")}.get(
        field.kind, ("minimum", "maximum")
    )
    given = {low: field.least, high: field.most, "default": field.default}
    schema: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    schema["type"] = field.kind
    if field.choices:
        schema["enum"] = list(field.choices)
    return schema
