"""Results of members of a group, as the store keeps them in the workflow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..exceptions import DecodeError, NotAuthentic, TaskRevoked, WorkerCrashed
from .errors import describe, rebuild
from .graph import ids_of, runs_of
from .seals import RESULT, unsigned
from .state import State, check_outcome
from .wire import Wire

__all__ = ["Member", "check_inputs", "encode_member", "inputs_of", "read_member", "read_members", "value_of_node"]


@dataclass(slots=True)
class Member:
    """The outcome of a finished member, with its encoded result or error.

    ``late``: it finished after the fan-in was decided, and does not count for it.
    """

    id: str
    state: State
    result: bytes
    late: bool
    wire: Wire

    @property
    def succeeded(self) -> bool:
        """Whether it counts as a success."""
        return self.state in (State.SUCCESS, State.IGNORED)

    def value(self) -> Any:
        """Return its value; None if it was ignored.

        Raises:
            DecodeError: this process cannot, or may not, read that.
        """
        if self.wire.requires_signed:
            check_outcome(self.state, self._said() if self.result else None, self.id)
        return value_of_node(self.result, self.id, self.wire)

    def error(self) -> dict[str, Any] | None:
        """Return its error as `errors.describe` returns it; None if it succeeded."""
        if self.succeeded:
            return None
        if self.state in (State.REVOKED, State.EXPIRED):
            return describe(TaskRevoked(f"Task {self.id} was {self.state.value.lower()} before it finished."))
        try:
            error = self._said().get("e")
        except DecodeError as unreadable:
            return describe(unreadable)
        return error if isinstance(error, dict) else describe(WorkerCrashed(f"Task {self.id} was given up on."))

    def failure(self) -> Exception | None:
        """Return its exception; None if it succeeded."""
        error = self.error()
        return None if error is None else rebuild(error)

    def _said(self) -> dict[str, Any]:
        found = self.wire.loads(self.result, RESULT, self.id) if self.result else {}
        return found if isinstance(found, dict) else {}


def value_of_node(result: bytes, task_id: str, wire: Wire) -> Any:
    """Return what a node returned, by its encoded result.

    Raises:
        NotAuthentic: nothing is stored, and it must be signed.
        DecodeError: this process cannot, or may not, read that.
    """
    if not result:
        if wire.requires_signed:
            raise unsigned(RESULT, task_id)
        return None
    found = wire.loads(result, RESULT, task_id)
    if not isinstance(found, dict):
        raise DecodeError(f"not an outcome: {result[:80]!r}")
    return found.get("r")


def read_member(content: bytes, wire: Wire) -> Member | None:
    """Read what the store keeps of one member (see gather.lua); None if it is not finished."""
    if not content:
        return None
    head, _, result = content.partition(b"\n")
    state, _, task_id = head.decode().partition(" ")
    return Member(task_id, State(state.removeprefix("-")), result, state.startswith("-"), wire)


def read_members(contents: Sequence[bytes], wire: Wire) -> list[Member | None]:
    """Read what the store keeps of members."""
    return [read_member(content, wire) for content in contents]


def inputs_of(ids: Sequence[str], needed: int) -> list[Any]:
    """Return what a signed message says of the members of a fan-in, in order; ``needed``: how many must be there."""
    return [needed, len(ids), runs_of(dict(enumerate(ids)))]


def check_inputs(members: Sequence[Member | None], inputs: Sequence[Any], task_id: str) -> None:
    """Check that these members, each of whose results is signed for itself, are those that a message is to get.

    Args:
        members: what the store keeps.
        inputs: `Message.inputs` of a signed message.
        task_id: its id.

    Raises:
        NotAuthentic: one is missing, or stands in the place of another.
        DecodeError: the message holds something else.
    """
    try:
        needed, count, runs = inputs
        fits = len(members) == count == sum(run[1] for run in runs)
        expected = ids_of(runs) if fits else {}
        there = sum(member is not None and not member.late for member in members)
        ids_fit = all(member is None or member.id == expected.get(place) for place, member in enumerate(members))
        fits = fits and ids_fit and there >= needed
    except (KeyError, TypeError, ValueError) as error:
        raise DecodeError(f"not the members of a fan-in: {str(inputs)[:80]}") from error
    if not fits:
        raise NotAuthentic(
            f"The results that {task_id} is to get are not authentic: a member is missing, or was moved to another "
            "place. Find out who may write to the server, and start the workflow again.",
            "results were moved on the server: find out who may write there, and start the workflow again",
        )


def encode_member(task_id: str, state: str, result: bytes, *, late: bool = False) -> bytes:
    """Return what the store keeps of one member."""
    return f"{'-' if late else ''}{state} {task_id}\n".encode() + result
