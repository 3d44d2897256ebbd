"""The words and options by which commands choose tasks: one grammar, that of `streamtasks.operations.filter_text`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from typing import TYPE_CHECKING, Any, Final

import click

if TYPE_CHECKING:
    from streamtasks.operations.filters import TaskFilter
    from streamtasks.stores.owner import Owner

__all__ = ["STATES", "Chosen", "filter_options"]

STATES: Final = ("queued", "delayed", "limited", "running", "finished", "succeeded", "failed", "revoked")
"""`streamtasks.operations.inspect.STATES`, here because ``--help`` shall not import the engine."""

_PAIRS: Final = ("arg", "header")


class Chosen:
    """What options choose: of each its key in the grammar and its text; of arguments and headers NAME=VALUE."""

    def __init__(self, given: Sequence[tuple[str, str]]) -> None:
        self._given = given

    def __bool__(self) -> bool:
        """Return whether there is any."""
        return bool(self._given)

    def filter(self, owner: Owner, words: Sequence[str] = (), state: str = "") -> TaskFilter:
        """Return the filter of these options and of words of the grammar; ``state``: if none is named.

        Raises:
            UsageError: they are no filter.
        """
        from streamtasks.exceptions import InvalidTask, UnknownQueue
        from streamtasks.operations.filter_text import parse_filter

        from .output import clean

        text = " ".join([*words, *(_term(key, value) for key, value in self._given)])
        try:
            return parse_filter(text, state, lambda: owner.store.measures().now_ms)
        except (InvalidTask, UnknownQueue) as error:
            raise click.UsageError(clean(str(error))) from error


def _term(key: str, value: str) -> str:
    from streamtasks.operations.filter_text import argument_value
    from streamtasks.operations.filters import argument_term, term

    if key not in _PAIRS:
        return term(key, value)
    name, _, text = value.partition("=")
    return argument_term(key, name, argument_value(text))


def _pairs(_context: click.Context, parameter: click.Parameter, given: tuple[str, ...]) -> tuple[str, ...]:
    for one in given:
        if not one.partition("=")[0] or "=" not in one:
            raise click.BadParameter(f"{one!r} is not NAME=VALUE.", param=parameter)
    return given


def filter_options(queue: str = "--queue", *, has_state: bool = False) -> Callable[..., Any]:
    """Add options that choose tasks; the command gets them as ``chosen``.

    Args:
        queue: the option for the queue, where ``--queue`` is something else.
        has_state: whether there are several states to choose from.
    """
    options = [
        *([click.option("--state", type=click.Choice(STATES), help="Which tasks.")] if has_state else ()),
        click.option(queue, "queue_", help="Only those of this queue."),
        click.option("--name", "task", help="The name of the task."),
        click.option("--since", help="Not before this time, as 2026-11-28T06:00 (UTC if it names no zone), or 1h ago."),
        click.option("--until", help="Before this time."),
        *([click.option("--outcome", help="Of finished ones the state, as FAILURE.")] if has_state else ()),
        click.option("--error", help="The type of its error, as ValueError; of dead letters also the reason."),
        click.option("--worker", help="The worker that runs it, or ran it last, or a child of it."),
        click.option("--id", "id_", help="How its id begins."),
        click.option("--arg", multiple=True, callback=_pairs, help="NAME=VALUE or NUMBER=VALUE, VALUE in JSON."),
        click.option("--header", multiple=True, callback=_pairs, help="The same of a header."),
    ]
    keys = {"queue_": "queue", "id_": "id"}
    names = ("state", "queue_", "task", "since", "until", "outcome", "error", "worker", "id_")

    def add(command: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(command)
        def run(*given: Any, **rest: Any) -> None:
            chosen = [(keys.get(name, name), rest.pop(name)) for name in names if name in rest]
            chosen += [(name, one) for name in _PAIRS for one in rest.pop(name)]
            command(*given, chosen=Chosen([(key, value) for key, value in chosen if value]), **rest)

        decorated: Callable[..., Any] = run
        for option in reversed(options):
            decorated = option(decorated)
        return decorated

    return add
