"""Agree with all other processes which shards there are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, cast

from ....exceptions import ConfigurationError
from ....protocol.keys import Keys
from ....protocol.shards import ALL_TAGS, Tags
from ..scripts import Call, script
from ..shards import Operation, Request, Shards

__all__ = ["NOTE_TAG", "agree", "tags_call"]

NOTE_TAG: Final = "tags"
"""The list is in a slot of its own, the same whatever the shards are."""


def tags_call(prefix: str, tags: Sequence[str], *, grows: bool = True) -> Call:
    """Build tags."""
    return script("tags").call(Keys(prefix, NOTE_TAG), grows=int(grows), more_args=tags)


def agree(shards: Shards, retry_time_s: float | None = None) -> Operation[None]:
    """Note the shards of this store if nobody has before, or if there are more now; else check that they are the same.

    More than were noted before are only noted if the settings ask for them.

    Raises:
        ConfigurationError: they are not.
    """
    settings = shards.settings
    tags = cast("Tags", settings.tags)
    [reply] = yield Request([tags_call(settings.key_prefix, tags, grows=not tags.are_default)], retry_time_s)
    noted = tuple(tag.decode() for tag in reply[1:])
    if noted != tags and tags.are_default and noted == tags[: len(noted)]:
        raise ConfigurationError(
            f"The tasks under key_prefix {settings.key_prefix!r} at {settings.shown_url} are spread over {len(noted)} "
            f"shards, not over {len(tags)} as is the default now: set shards={len(noted)} to keep them, or "
            f"shards={len(tags)} to add the others, which cannot be taken away again (docs/servers.md, Moving slots)."
        )
    if noted != tags:
        same = f" (shards={len(noted)})" if noted == ALL_TAGS[: len(noted)] else ""
        raise ConfigurationError(
            f"tags are {', '.join(tags)}, but the tasks under key_prefix {settings.key_prefix!r} at "
            f"{settings.shown_url} are spread over {', '.join(noted)}: give these{same}, in this order, and new "
            "ones only behind them; or choose another key_prefix."
        )
    tags.first = noted[: reply[0]]
    shards.agreed = True
