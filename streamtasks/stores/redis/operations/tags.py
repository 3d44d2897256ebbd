"""Agree with all other processes which shards there are."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import batched
from typing import Any, Final, cast

from ....exceptions import ConfigurationError
from ....protocol.keys import Keys
from ....protocol.shards import ALL_TAGS, Tags
from ....settings import StoreSettings
from ..batches import MOST
from ..scripts import Call, script
from ..shards import Operation, Request, Shards
from .steering import pause_call, pauses_call

__all__ = ["NOTE_TAG", "agree", "disagreement", "noted_tags", "tags_call"]

NOTE_TAG: Final = "tags"
"""The list is in a slot of its own, the same whatever the shards are."""


def tags_call(prefix: str, tags: Sequence[str], *, grows: bool = True) -> Call:
    """Build tags."""
    return script("tags").call(Keys(prefix, NOTE_TAG), grows=int(grows), more_args=tags)


def agree(shards: Shards, retry_time_s: float | None = None) -> Operation[None]:
    """Note the shards of this store if nobody has before, or if there are more now; else check that they are the same.

    More than were noted before are only noted if the settings ask for them. They begin with the pauses of the others.
    In a process that follows the list, it may have more than the settings: then some are not used here yet.

    Raises:
        ConfigurationError: they are not.
    """
    settings = shards.settings
    tags = cast("Tags", settings.tags)
    [reply] = yield Request([tags_call(settings.key_prefix, tags, grows=False)], retry_time_s)
    if not tags.are_default and 0 < len(reply) - 1 < len(tags) and _tags_in(reply) == tags[: len(reply) - 1]:
        yield from _pause_new(shards, len(reply) - 1, retry_time_s)
        [reply] = yield Request([tags_call(settings.key_prefix, tags)], retry_time_s)
    noted = _tags_in(reply)
    grown = settings.follows_shards and noted[: len(tags)] == tags
    if not grown and (error := disagreement(settings, noted)):
        raise ConfigurationError(error)
    tags.first = noted[: reply[0]]
    shards.agreed = True


def noted_tags(shards: Shards) -> Operation[tuple[str, ...]]:
    """See `SupervisorStore.noted_tags`. Where nothing is noted any more, the shards of the settings are noted anew."""
    settings = shards.settings
    [reply] = yield [tags_call(settings.key_prefix, settings.tags, grows=False)]
    return _tags_in(reply)


def disagreement(settings: StoreSettings, noted: tuple[str, ...]) -> str:
    """Return why the shards of these settings cannot be those that are noted; empty: they are, or will be added."""
    tags = cast("Tags", settings.tags)
    if not noted or noted == tags:
        return ""
    if noted == tags[: len(noted)]:
        if not tags.are_default:
            return ""
        return (
            f"The tasks under key_prefix {settings.key_prefix!r} at {settings.shown_url} are spread over {len(noted)} "
            f"shards, not over {len(tags)} as is the default now: set shards={len(noted)} to keep them, or "
            f"shards={len(tags)} to add the others, which cannot be taken away again (docs/servers.md, Moving slots)."
        )
    if settings.shards is not None and noted == ALL_TAGS[: len(noted)]:
        return (
            f"shards is {settings.shards}, but the tasks under key_prefix {settings.key_prefix!r} at "
            f"{settings.shown_url} are spread over {len(noted)} shards, which cannot be taken away again: set "
            f"shards={len(noted)}, or choose another key_prefix."
        )
    same = f" (shards={len(noted)})" if noted == ALL_TAGS[: len(noted)] else ""
    return (
        f"tags are {', '.join(tags)}, but the tasks under key_prefix {settings.key_prefix!r} at "
        f"{settings.shown_url} are spread over {', '.join(noted)}: give these{same}, in this order, and new "
        "ones only behind them; or choose another key_prefix."
    )


def _tags_in(reply: Sequence[Any]) -> tuple[str, ...]:
    return tuple(tag.decode() for tag in reply[1:])


def _pause_new(shards: Shards, known: int, retry_time_s: float | None) -> Operation[None]:
    """Pause on new shards what is paused on those that were noted, before anything can come to the new ones."""
    all_keys = [shards.by_tag[tag].keys for tag in shards.tags]
    replies = yield Request([pauses_call(keys) for keys in all_keys[:known]], retry_time_s)
    notes = {what.decode(): text.decode().partition(" ")[2] for flat in replies for what, text in batched(flat, 2)}
    calls = [pause_call(keys, what, note) for keys in all_keys[known:] for what, note in notes.items()]
    for some in batched(calls, MOST):
        yield Request(list(some), retry_time_s)
