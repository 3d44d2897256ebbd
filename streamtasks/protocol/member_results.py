"""Results of members of a group, as the store keeps them in the workflow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..exceptions import DecodeError, TaskRevoked, WorkerCrashed
from .errors import describe, rebuild
from .state import State
from .wire import RESULT, Wire

__all__ = ["Member", "encode_member", "read_member", "read_members", "value_of_node"]


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
        DecodeError: this process cannot, or may not, read that.
    """
    if not result:
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


def encode_member(task_id: str, state: str, result: bytes, *, late: bool = False) -> bytes:
    """Return what the store keeps of one member."""
    return f"{'-' if late else ''}{state} {task_id}\n".encode() + result
