"""Check a deploy before it is made: would every call that waits bind to the code that is loaded here?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from ..application import Application
from ..exceptions import DecodeError
from ..protocol.message import Message
from ..protocol.state import Snapshot
from ..schedules.definition import Definition

__all__ = ["CallProblem", "DeployCheck", "check_deploy"]

KINDS: Final = ("queued", "delayed", "limited")
PAGE: Final = 100
EXAMPLES: Final = 5

OURS: Final = "streamtasks."
"""How names begin of tasks that every worker has."""


class CallProblem(NamedTuple):
    """Calls of a task that would fail for the same reason.

    Attributes:
        task: its name; empty: this process cannot read the calls.
        problem: why.
        calls: how many.
        examples: ids of some, and ``schedule <name>``.
    """

    task: str
    problem: str
    calls: int
    examples: list[str]


class DeployCheck(NamedTuple):
    """What was found.

    Attributes:
        checked: calls that were looked at, follow-ups and schedules included.
        problems: those that would fail, by task.
        is_complete: False: there were more than were to be looked at.
    """

    checked: int
    problems: list[CallProblem]
    is_complete: bool


class _Check:
    """What has been found so far."""

    def __init__(self, app: Application) -> None:
        self._app = app
        self._wire = app.settings.wire
        self._found: dict[tuple[str, str], CallProblem] = {}
        self.checked = 0

    def snapshot(self, snapshot: Snapshot) -> None:
        """Check a task that waits, and what follows it."""
        try:
            message = Message.decode(snapshot.envelope, self._wire, snapshot.id)
        except DecodeError as error:
            self._add("", str(error), snapshot.id)
            return
        self._call(message.task, [*([None] if message.takes else []), *message.args], message.kwargs, snapshot.id)
        self._links(message.links, message.error_links, snapshot.id)

    def schedule(self, name: str, definition: bytes) -> None:
        """Check what a schedule calls."""
        example = f"schedule {name}"
        try:
            call = Definition.decode(definition, name, self._wire).call
        except DecodeError as error:
            self._add("", str(error), example)
            return
        self._call(call["task"], call["args"], call["kwargs"], example)
        self._links(call.get("ok") or (), call.get("er") or (), example)

    def _links(self, links: Sequence[Mapping[str, Any]], errors: Sequence[Mapping[str, Any]], example: str) -> None:
        # They get the result, or id, message and traceback of a failure.
        for before, link in [*((1, link) for link in links), *((3, link) for link in errors)]:
            given = [] if link["immutable"] else [None] * before
            self._call(link["task"], [*given, *link["args"]], link["kwargs"], example)

    def _call(self, task: str, args: Sequence[Any], kwargs: Mapping[str, Any], example: str) -> None:
        if task.startswith(OURS):
            return
        self.checked += 1
        known = self._app.find(task)
        if known is None:
            self._add(task, "no task of this name is known here", example)
            return
        try:
            known.check_call(args, kwargs)
        except TypeError as error:
            self._add(task, str(error), example)

    def _add(self, task: str, problem: str, example: str) -> None:
        known = self._found.setdefault((task, problem), CallProblem(task, problem, 0, []))
        if len(known.examples) < EXAMPLES:
            known.examples.append(example)
        self._found[task, problem] = known._replace(calls=known.calls + 1)

    def result(self, *, is_complete: bool) -> DeployCheck:
        """Return what was found, by task."""
        return DeployCheck(self.checked, [self._found[key] for key in sorted(self._found)], is_complete)


def check_deploy(app: Application, most: int = 100_000) -> DeployCheck:
    """Bind every call that waits, with what follows it, and every schedule, to the code of an app; nothing runs.

    It reads 100 calls at a time. Queued calls that workers have claimed are among them; parts of workflows that wait
    for others, and calls in an outbox, are not.

    Args:
        app: the code, as a worker loads it.
        most: calls to look at.

    Raises:
        ServerNotSupported: this store cannot list tasks.
    """
    store, check, looked_at = app.owner.store, _Check(app), 0
    after = ""
    while schedules := store.list_schedules(1000, after):
        for one in schedules:
            check.schedule(one.name, one.definition)
        after = schedules[-1].name
    for kind in KINDS:
        cursor = ""
        while True:
            if looked_at >= most:
                return check.result(is_complete=False)
            page = store.waiting_ids(kind, cursor, min(PAGE, most - looked_at))
            looked_at += len(page.ids)
            for snapshot in store.read(page.ids) if page.ids else ():
                if snapshot is not None and not snapshot.is_finished:
                    check.snapshot(snapshot)
            cursor = page.cursor
            if not cursor:
                break
    return check.result(is_complete=True)
