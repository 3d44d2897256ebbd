"""The stored definition of a schedule, and the messages of its occurrences.

The bytes are one JSON object, version 1::

    {"v": 1, "name": ..., "rule": {"crontab": {field: text}, "tz": zone} or {"every_ms": ms},
     "call": signature (see `encode_signature`), "misfire": policy, "bound_ms": ms}

The call is resolved when the schedule is created, so a worker that fires it needs neither the task nor the app.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from ..exceptions import DecodeError, InvalidTask
from ..protocol.json import dumps, loads
from ..protocol.keys import check_schedule_name
from ..protocol.links import check_signature
from ..protocol.message import Message
from ..protocol.seals import SCHEDULE
from ..protocol.shards import occurrence_id
from ..protocol.validation import check_seconds
from ..protocol.wire import JSON, Wire
from ..settings import StoreSettings
from ..stores.schedule_store import DueSchedule, Firing, NewSchedule
from ..stores.types import NewMessage
from ..tasks.options import seconds
from ..tasks.resolved import link_message
from ..tasks.signature import Signature
from ..tasks.signature_wire import decode_signature, encode_signature
from .occurrences import MISFIRES, check_misfire, plan
from .rules import Rule, rule_from_dict

__all__ = ["DEFAULT_BOUND_S", "VERSION", "Definition"]

VERSION: Final = 1
DEFAULT_BOUND_S: Final = 86_400.0
"""An occurrence that is older than this, seconds, is not fired any more."""

_MOST_BYTES: Final = 1024 * 1024
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Definition:
    """A schedule: its call and its rule.

    Attributes:
        name: of the schedule; it is unique.
        rule: when; it names its zone.
        call: the resolved signature, as `encode_signature` makes it.
        misfire: the policy for occurrences that were not fired in time; see `occurrences.plan`.
        bound_s: an occurrence that is older than this, seconds, is not fired any more.
    """

    name: str
    rule: Rule
    call: Mapping[str, Any] = field(hash=False)
    misfire: str = "one"
    bound_s: float = DEFAULT_BOUND_S

    def __post_init__(self) -> None:
        check_schedule_name(self.name)
        check_misfire(self.misfire)
        check_seconds("misfire_bound", self.bound_s, InvalidTask)

    @classmethod
    def of(
        cls,
        name: str,
        rule: Rule,
        call: Signature,
        misfire: str = "one",
        misfire_bound: float | timedelta = DEFAULT_BOUND_S,
    ) -> Definition:
        """Return the schedule of a call that is resolved already.

        Raises:
            InvalidTask: an option is wrong, or cannot be repeated.
        """
        check_schedule_name(name)
        _check_times(call)
        wire = encode_signature(call)
        wire.pop("id", None)
        # The ids of links are made for each occurrence; these stand for them, so that the same is stored the same.
        return cls(
            name=name,
            rule=rule,
            call=_with_link_ids(wire, name, 0, ""),
            misfire=misfire,
            bound_s=seconds(misfire_bound),
        )

    @property
    def signature(self) -> Signature:
        """The call."""
        return decode_signature(dict(self.call))

    # -- what is stored ---------------------------------------------------------------------------------

    def encode(self, wire: Wire = JSON) -> bytes:
        """Return the bytes that are stored; ``wire``: how they are signed or encrypted. The same become the same.

        Raises:
            InvalidTask: JSON cannot carry an argument or a header.
        """
        body = dumps(
            {
                "v": VERSION,
                "name": self.name,
                "rule": self.rule.as_dict(),
                "call": dict(self.call),
                "misfire": self.misfire,
                "bound_ms": self._bound_ms,
            }
        )
        return wire.seal(body, SCHEDULE, self.name, stable=True)

    @classmethod
    def decode(cls, data: bytes, name: str, wire: Wire = JSON) -> Definition:
        """Read what `encode` returned; ``name``: the name under which it is stored.

        Raises:
            NotAuthentic: it is changed, forged, moved, or unsigned although it must be signed.
            DecodeError: it is something else, or of a version that this release does not know.
        """
        data = wire.unseal(data, SCHEDULE, name)
        body = loads(data)
        if not isinstance(body, dict) or body.get("v") != VERSION:
            raise DecodeError(f"not a schedule of version {VERSION}: {data[:80]!r}")
        try:
            call, misfire, bound_ms = body["call"], body["misfire"], body["bound_ms"]
            check_signature(call)
            if misfire not in MISFIRES or type(bound_ms) is not int:
                raise DecodeError(f"a schedule holds wrong values: {data[:80]!r}")
            rule = rule_from_dict(body["rule"])
            return cls(name=body["name"], rule=rule, call=call, misfire=misfire, bound_s=bound_ms / 1000)
        except (KeyError, InvalidTask) as error:
            raise DecodeError(f"a schedule lacks a value, or has a wrong one: {error}: {data[:80]!r}") from error

    def new_schedule(
        self, now_ms: int, wire: Wire = JSON, declared: str = "", since_ms: int = 0, release: str = ""
    ) -> NewSchedule:
        """Return the schedule as a store keeps it. ``now_ms``: its first occurrence is later than this."""
        rule = dumps(self.rule.as_dict()).decode()
        return NewSchedule(self.name, self.encode(wire), rule, self.rule.next_ms(now_ms), declared, since_ms, release)

    # -- what comes of it -------------------------------------------------------------------------------

    def message(self, at_ms: int, tag: str, settings: StoreSettings, task_id: str = "") -> NewMessage:
        """Return the message of an occurrence; it depends on nothing else.

        Its ``expires`` and its ``countdown`` count from the occurrence; of its headers, ``schedule`` is the name,
        ``scheduled_for`` the time (ISO 8601, UTC), and ``schedule_rule`` what `Rule.as_dict` returns.

        Args:
            at_ms: the occurrence, ms since the epoch.
            tag: the shard of the schedule.
            settings: how messages are encoded.
            task_id: another id than that of the occurrence.
        """
        task_id = task_id or occurrence_id(self.name, at_ms, tag)
        signature = decode_signature(_with_link_ids(dict(self.call), task_id, at_ms, tag))
        options = signature.options
        at = _EPOCH + timedelta(milliseconds=at_ms)
        if options.countdown is not None:
            options = replace(options, countdown=None, eta=at + timedelta(seconds=seconds(options.countdown)))
        if options.expires is not None:
            options = replace(options, expires=at + timedelta(seconds=seconds(options.expires)))
        signature = replace(signature, options=options)
        message = Message(
            id=task_id,
            task=signature.task,
            args=list(signature.args),
            kwargs=dict(signature.kwargs),
            headers={
                **options.headers,
                "schedule": self.name,
                "scheduled_for": at.isoformat(timespec="milliseconds"),
                "schedule_rule": self.rule.as_dict(),
            },
        )
        return link_message(signature, message, settings.wire)

    def firing(self, due: DueSchedule, now_ms: int, settings: StoreSettings, tag: str) -> Firing:
        """Return the messages to enqueue now (at most 100, and 1 MiB plus one message) and the next occurrence.

        Args:
            due: the schedule as the store returned it.
            now_ms: the store's clock, ms since the epoch.
            settings: how messages are encoded.
            tag: the shard of the schedule.
        """
        fires, missed, next_ms = plan(self.rule, due.next_ms, now_ms, self.misfire, self._bound_ms)
        messages: list[NewMessage] = []
        size = last_ms = 0
        for at_ms in fires:
            if size > _MOST_BYTES:
                next_ms = at_ms  # and the rest next time
                break
            messages.append(self.message(at_ms, tag, settings))
            size += len(messages[-1].envelope)
            last_ms = at_ms
        return Firing(due.name, due.revision, due.next_ms, next_ms, messages, missed, last_ms)

    @property
    def _bound_ms(self) -> int:
        return round(self.bound_s * 1000)


def _check_times(call: Signature) -> None:
    """Check that a call can be repeated.

    Raises:
        InvalidTask: an option prevents that; the message names it.
    """
    options = call.options
    if options.after:
        raise InvalidTask(f"link is {options.after!r}, the id of a task; a schedule cannot wait for one.")
    if options.eta is not None:
        raise InvalidTask(f"eta is {options.eta!r}; the schedule decides when. Leave it out, or give a countdown.")
    if isinstance(options.expires, datetime):
        raise InvalidTask(f"expires is {options.expires!r}; of a schedule it must be seconds from each occurrence.")


def _with_link_ids(call: dict[str, Any], seed: str, at_ms: int, tag: str, path: str = "") -> dict[str, Any]:
    """Return a signature whose links have ids that depend only on their position, a seed and a time."""
    found = dict(call)
    for kind in ("ok", "er"):
        if kind in call:
            found[kind] = [
                _with_link_ids(
                    {**one, "id": occurrence_id(f"{seed}\0{path}{kind}{place}", at_ms, tag)},
                    seed,
                    at_ms,
                    tag,
                    f"{path}{kind}{place}.",
                )
                for place, one in enumerate(call[kind])
            ]
    return found
