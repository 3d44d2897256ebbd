"""The command ``streamtasks top``: queues, workers, running tasks and failures, as they change."""

from __future__ import annotations

import click

from .target import Target, target_options

__all__ = ["top_command"]


@click.command("top")
@target_options
@click.option(
    "--interval", type=click.FloatRange(0.2), default=1.0, show_default=True, help="Seconds between two looks."
)
def top_command(target: Target, interval: float) -> None:
    """Show queues, workers, running tasks and the latest failures live. Q quits. Needs the extra top."""
    from streamtasks.exceptions import ConfigurationError
    from streamtasks.protocol.absent_module import is_absent

    try:
        from .top_screen import TopScreen
    except ImportError as error:
        if not is_absent("textual", error):
            raise
        raise ConfigurationError("top needs the library textual: pip install 'streamtasks[top]'.") from error

    app = target.one()
    TopScreen(app.label, app.owner.store, app.settings.wire, interval).run()
