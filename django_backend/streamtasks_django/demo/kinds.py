"""The kinds of tasks on the page: for each its texts, its input and its call."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django.utils import timezone

from . import tasks

if TYPE_CHECKING:
    from ..framework import TaskResult

__all__ = ["KINDS", "MAX_SHOWN", "Kind"]

MAX_SHOWN = 50
"""Most tasks that the page shows, and most that one press of a button enqueues."""


@dataclass(frozen=True, slots=True)
class Kind:
    """One button.

    Attributes:
        key: its name in requests.
        title: on the card.
        text: a sentence about what happens.
        code: the call, as text.
        what: the label of its button for screen readers.
        enqueue: enqueues it with the given number.
        label: the meaning of the number; empty: there is no number.
        default: the number at first.
        highest: its largest value; the smallest is 1.
    """

    key: str
    title: str
    text: str
    code: str
    what: str
    enqueue: Callable[[int], list[TaskResult[..., Any]]]
    label: str = ""
    default: int = 1
    highest: int = 1


def _quick(number: int) -> list[TaskResult[..., Any]]:
    return [tasks.square.enqueue(n) for n in range(1, number + 1)]


def _delayed(number: int) -> list[TaskResult[..., Any]]:
    due = timezone.now() + timedelta(seconds=number)
    return [tasks.remind.using(run_after=due).enqueue("It is time.")]


KINDS = {
    kind.key: kind
    for kind in (
        Kind(
            "quick",
            "Quick tasks",
            "A batch of calls that take no time.",
            "square.enqueue(n)",
            "quick tasks",
            _quick,
            "How many",
            20,
            MAX_SHOWN,
        ),
        Kind(
            "progress",
            "A long one",
            "Takes four seconds and shows how far it is.",
            "report.enqueue(pages=40, seconds=4)",
            "a long task",
            lambda _: [tasks.report.enqueue(pages=40, seconds=4)],
        ),
        Kind(
            "delayed",
            "A delayed one",
            "Waits on the server and starts when it is due, never early.",
            "remind.using(run_after=due)",
            "a delayed task",
            _delayed,
            "Seconds",
            3,
            60,
        ),
        Kind(
            "failing",
            "A failing one",
            "Divides by zero. Its traceback is recorded.",
            "divide.enqueue(1, 0)",
            "a failing task",
            lambda _: [tasks.divide.enqueue(1, 0)],
        ),
        Kind(
            "async",
            "A coroutine",
            "Waits for ten answers at once, on an event loop.",
            "fetch_all.enqueue(10, seconds=1)",
            "a coroutine",
            lambda _: [tasks.fetch_all.enqueue(10, seconds=1)],
        ),
        Kind(
            "crash",
            "One that is killed",
            "Kills its own process halfway. The worker notices and runs it again.",
            "survive.enqueue(seconds=2)",
            "a task that is killed",
            lambda _: [tasks.survive.enqueue(seconds=2)],
        ),
    )
}
