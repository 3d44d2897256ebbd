"""The pages that the navigation names, in its order."""

from __future__ import annotations

from typing import Final, NamedTuple

__all__ = ["NAVIGATION", "Entry"]


class Entry(NamedTuple):
    """A page in the navigation.

    Attributes:
        name: of its route.
        title: as it is shown.
        key: what goes there after ``g``.
        below: names of templates of pages that belong to it.
        is_apart: whether a line stands above it.
    """

    name: str
    title: str
    key: str
    below: tuple[str, ...] = ()
    is_apart: bool = False

    @property
    def route(self) -> str:
        """The route with its namespace."""
        return f"streamtasks_dashboard:{self.name}"

    @property
    def pages(self) -> tuple[str, ...]:
        """The names of templates for which it is the present one."""
        return (self.name, *self.below)


NAVIGATION: Final = (
    Entry("overview", "Overview", "o"),
    Entry("charts", "Charts", "c"),
    Entry("queues", "Queues", "q", ("queue",)),
    Entry("tasks", "Tasks", "t", ("task", "workflow", "selected")),
    Entry("workers", "Workers", "w", ("worker",)),
    Entry("dead_letters", "Dead letters", "d", ("letter",)),
    Entry("schedules", "Schedules", "s", ("schedule",)),
    Entry("limits", "Limits", "l"),
    Entry("bulk_operations", "Bulk", "b", ("bulk",), is_apart=True),
    Entry("audit", "Audit", "y"),
    Entry("doctor", "Doctor", "h"),
)
