"""The command ``streamtasks dead-letters``: list dead letters, show, replay and discard them."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import click

from .bulk_plans import is_for_all, plan_and_apply, plan_options
from .filter_options import Chosen, filter_options
from .listing_group import ListingGroup
from .target import Target, change_options, target_options

if TYPE_CHECKING:
    from streamtasks.protocol.state import DeadLetter
    from streamtasks.stores.owner import Owner

__all__ = ["dead_letters_command"]


@click.group("dead-letters", cls=ListingGroup)
def dead_letters_command() -> None:
    """List dead letters, show, replay and discard them. LETTER is the id of a task, or a cursor of the list."""


@dead_letters_command.command("list")
@target_options
@click.argument("words", nargs=-1, metavar="[FILTER]...")
@filter_options()
@click.option("--limit", type=click.IntRange(1, 100), default=50, show_default=True, help="Dead letters of a page.")
@click.option("--cursor", default="", help="Continue behind a page: what it printed last, or the cursor of a letter.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_(target: Target, words: tuple[str, ...], chosen: Chosen, limit: int, cursor: str, as_json: bool) -> None:
    """Show a page of dead letters, the newest first. Its last line has the cursor of the next page, if any.

    FILTER chooses them, as `queue:mails error:crashed arg.user=7 since:1h`, and options do, too. A page ends after
    1,000 that were looked at.
    """
    from streamtasks.operations.inspect import message_of
    from streamtasks.operations.search import find_letters

    from .output import call, moment, print_json, print_next_page, print_table, short

    owner = target.owner
    page = find_letters(owner.store, owner.settings.wire, chosen.filter(owner, words, "dead"), cursor, limit)
    if as_json:
        print_json({"dead_letters": [_json(letter) for letter in page.letters], "cursor": page.cursor})
        return
    if not page.letters and not page.cursor:
        click.echo("there is no such dead letter")
        return
    rows = []
    for letter in page.letters:
        message = message_of(letter)
        what = "?" if message is None else f"{message.task}({call(message.args, message.kwargs)})"
        rows.append(
            [letter.cursor, letter.id or "-", letter.reason, letter.stream, moment(letter.died_ms), short(what)]
        )
    print_table(["cursor", "id", "reason", "stream", "died", "call"], rows)
    print_next_page(page.cursor)


@dead_letters_command.command("show")
@target_options
@click.argument("letter")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def show(target: Target, letter: str, as_json: bool) -> None:
    """Show a dead letter. `streamtasks show` with the task's id shows its attempts and its error."""
    from streamtasks.operations.inspect import message_of

    from .output import call, clean, moment, print_json, print_table

    found = _found(target.owner, letter)
    if as_json:
        print_json(_json(found))
        return
    rows = [["reason", found.reason], ["stream", found.stream], ["died", moment(found.died_ms)]]
    message = message_of(found)
    if message is None:
        rows.append(["bytes", repr(found.envelope[:1000])])
    else:
        rows.append(["call", f"{message.task}({call(message.args, message.kwargs)})"])
    print_table(["dead letter", clean(found.id or found.cursor)], rows)


def _changes(_context: click.Context, parameter: click.Parameter, value: str | None) -> Any:
    if value is None:
        return None
    with suppress(ValueError):
        found = json.loads(value)
        if isinstance(found, list if parameter.name == "args" else dict):
            return found
    raise click.BadParameter(f"{value!r} is not a JSON {'list' if parameter.name == 'args' else 'object'}.")


@dead_letters_command.command("replay")
@target_options
@click.argument("letters", nargs=-1)
@click.option("--all", "all_", is_flag=True, help="All that LETTERS, as a FILTER, and the options below choose.")
@click.option("--args", callback=_changes, help="A JSON list: other positional arguments.")
@click.option("--kwargs", callback=_changes, help="A JSON object: other keyword arguments.")
@click.option("--queue", help="Another queue.")
@filter_options("--of-queue")
@plan_options
@change_options
def replay(
    target: Target, letters: tuple[str, ...], all_: bool, chosen: Chosen, how: Any, by: Any, **changes: Any
) -> None:
    """Enqueue the calls of dead letters again, each as a new task, and discard the letters.

    --all counts them and shows some before it asks; see `bulk`.
    """
    from streamtasks.operations import control

    owner = target.owner
    given = {name: value for name, value in changes.items() if value is not None}
    if is_for_all(letters, all_, chosen, how, "dead letters"):
        plan_and_apply(owner, "replay", chosen.filter(owner, letters, "dead"), by, how, given)
        return
    for key in letters:
        click.echo(f"{key}: enqueued again as {control.replay(owner, _found(owner, key), **by, **given)}")


@dead_letters_command.command("discard")
@target_options
@click.argument("letters", nargs=-1)
@click.option("--all", "all_", is_flag=True, help="All that LETTERS, as a FILTER, and the options below choose.")
@filter_options("--of-queue")
@plan_options
@change_options
def discard(target: Target, letters: tuple[str, ...], all_: bool, chosen: Chosen, how: Any, by: Any) -> None:
    """Delete dead letters; their calls are lost then. What was discarded with --all can be put back for an hour."""
    from streamtasks.operations import control

    owner = target.owner
    if is_for_all(letters, all_, chosen, how, "dead letters"):
        plan_and_apply(owner, "discard", chosen.filter(owner, letters, "dead"), by, how)
        return
    found = [_found(owner, key) for key in letters]
    if not how["yes"]:
        click.confirm(f"Delete {len(found)} dead letters?", abort=True)
    click.echo(f"dead letters discarded: {control.discard(owner, found, **by)}")


def _found(owner: Owner, key: str) -> DeadLetter:
    from streamtasks.operations import inspect

    from .output import clean

    found = inspect.dead_letter(owner.store, key)
    if found is None:
        raise click.ClickException(clean(f"There is no dead letter {key}; the list shows those that are kept."))
    return found


def _json(letter: DeadLetter) -> dict[str, Any]:
    from streamtasks.operations.inspect import message_of

    message = message_of(letter)
    shown = {
        "cursor": letter.cursor, "id": letter.id or None, "reason": letter.reason, "stream": letter.stream,
        "died_ms": letter.died_ms,
    }  # fmt: skip
    if message is None:
        return shown | {"bytes": letter.envelope.decode("utf-8", "backslashreplace")}
    return shown | {"task": message.task, "args": message.args, "kwargs": message.kwargs}
