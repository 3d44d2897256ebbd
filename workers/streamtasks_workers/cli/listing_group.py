"""A group of commands that lists where no command is named: ``streamtasks queues`` is ``streamtasks queues list``."""

from __future__ import annotations

import click

__all__ = ["ListingGroup"]


class ListingGroup(click.Group):
    """See above; it has a command ``list``."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put ``list`` before options if they are all there is."""
        if not args or (args[0].startswith("-") and args[0] not in ctx.help_option_names):
            args = ["list", *args]
        return super().parse_args(ctx, args)
