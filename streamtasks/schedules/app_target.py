"""Where the schedules of a plain Python app are; see `place.Place`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..exceptions import InvalidTask
from ..stores.owner import AppOwner
from ..stores.types import NewMessage
from ..tasks.signature import Signature
from ..tasks.task import Task, check_arguments

__all__ = ["AppPlace", "call_of"]


class AppPlace(AppOwner):
    """An app, as its schedules see it."""

    @property
    def zone(self) -> str:
        """See `Place.zone`."""
        return self._app.timezone

    def call(self, task: Any, args: Sequence[Any], kwargs: Mapping[str, Any], options: Mapping[str, Any]) -> Signature:
        """See `Place.call`."""
        if isinstance(task, str):
            found = self._app.find(task)
            if found is None:
                known = ", ".join(sorted(self._app.tasks)) or "none"
                raise InvalidTask(f"task is {task!r}, which {self.label} does not know; it knows: {known}.")
            task = found
        signature = call_of(task, args, kwargs)
        origin = signature.origin
        if not isinstance(origin, Task) or origin.app is not self._app:
            raise InvalidTask(f"task is {task!r}, which is none of {self.label}.")
        return signature.set(**options)

    def resolve(self, signature: Signature) -> Signature:
        """See `Place.resolve`."""
        assert signature.origin is not None
        return signature.origin.resolve(signature, self._app.settings.tags[0])

    def enqueue(self, message: NewMessage) -> Any:
        """See `Place.enqueue`."""
        return self._app.send([message])[0]

    async def aenqueue(self, message: NewMessage) -> Any:
        """See `Place.aenqueue`."""
        return (await self._app.asend([message]))[0]


def call_of(task: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Signature:
    """Return the call that a task, or a signature of one, means.

    Raises:
        InvalidTask: it is neither, or a signature with arguments beside it.
    """
    args, kwargs = check_arguments(args, kwargs)
    if isinstance(task, Signature):
        if args or kwargs:
            raise InvalidTask(f"task is {task!r}, a signature; it has the arguments already.")
        return task
    if not hasattr(task, "si"):
        raise InvalidTask(f"task is {task!r}; it must be a task, its name, or a signature (task.s(...)).")
    made: Signature = task.si(*args, **kwargs)
    return made
