"""Operations of the API: each says its method, address, role, input and output; routes and document come from that."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from streamtasks.exceptions import InvalidTask
from streamtasks.protocol.wire import Wire
from streamtasks.stores.base import Store

from .fields import REASON, Field

if TYPE_CHECKING:
    from ...backends.base import StoreBackend
    from ...enqueue.owner import BackendOwner

__all__ = ["OPERATIONS", "Call", "Operation", "change", "read"]


class Call(NamedTuple):
    """A request that may be answered.

    Attributes:
        backend: whose tasks it is about.
        roles: of who asks.
        actor: who asks, for the audit.
        given: the checked values of the query or the body.
        path: the address that was asked for.
    """

    backend: StoreBackend
    roles: frozenset[str]
    actor: str
    given: Mapping[str, Any]
    path: str

    @property
    def owner(self) -> BackendOwner:
        """The owner of the tasks."""
        return self.backend.owner

    @property
    def store(self) -> Store:
        """The store of the tasks."""
        return self.backend.stores.plain

    @property
    def wire(self) -> Wire:
        """Decodes what the store holds."""
        return self.backend.store_settings.wire

    @property
    def by(self) -> dict[str, Any]:
        """Who asks for a change, and why, as `operations.control` takes it.

        Raises:
            InvalidTask: the reason is blank.
        """
        reason = self.given["reason"].strip()
        if not reason:
            raise InvalidTask("The reason is blank: say why, for those who read the audit later.")
        return {"actor": self.actor, "reason": reason}


class Operation(NamedTuple):
    """An operation of the API.

    Attributes:
        method: of HTTP.
        path: behind the alias, if it is about a backend, with ``{names}`` of what it is about.
        role: what it needs.
        fields: what it takes: GET in its query, others in a JSON object.
        answer: the JSON Schema of what it returns.
        status: of the answer.
        run: does it; its docstring describes it.
    """

    method: str
    path: str
    role: str
    fields: Sequence[Field]
    answer: Mapping[str, Any]
    status: int
    run: Callable[..., Any]

    @property
    def name(self) -> str:
        """The name of the operation."""
        return self.run.__name__


OPERATIONS: Final[list[Operation]] = []
"""All operations, in the order of their definition."""

type _Run = Callable[..., Any]


def read(path: str, role: str, answer: Mapping[str, Any], *fields: Field) -> Callable[[_Run], _Run]:
    """Make an operation of a function that reads something."""

    def decorate(run: _Run) -> _Run:
        OPERATIONS.append(Operation("GET", path, role, fields, answer, 200, run))
        return run

    return decorate


def change(
    path: str, role: str, answer: Mapping[str, Any], *fields: Field, method: str = "POST", status: int = 200
) -> Callable[[_Run], _Run]:
    """Make an operation of a function that changes something, for a reason."""

    def decorate(run: _Run) -> _Run:
        OPERATIONS.append(Operation(method, path, role, (*fields, REASON), answer, status, run))
        return run

    return decorate
