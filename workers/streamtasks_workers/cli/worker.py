"""The command ``streamtasks worker``, which is ``streamtasks-worker`` too: run a worker."""

from __future__ import annotations

import sys
from typing import Any

import click
from click.core import ParameterSource

__all__ = ["main", "worker_command"]


def _names(_context: click.Context, _parameter: click.Parameter, value: str | None) -> tuple[str, ...]:
    names = tuple(part.strip() for part in (value or "").split(",") if part.strip())
    return () if names == ("*",) else names


@click.command("worker", context_settings={"auto_envvar_prefix": "STREAMTASKS_WORKER", "show_default": True})
@click.option("--app", help="Serve a plain Python app: module:attribute.")
@click.option("--settings", help="Serve a Django project: its settings module (else DJANGO_SETTINGS_MODULE).")
@click.option(
    "--backend",
    "backends",
    envvar="STREAMTASKS_WORKER_BACKEND",
    callback=_names,
    help="Serve only these aliases of TASKS, comma separated.",
)
@click.option("--queues", callback=_names, help="Serve only these queues, comma separated; '*': all.")
@click.option("--exclude-queues", callback=_names, help="Serve all queues but these, comma separated.")
@click.option("--concurrency", type=int, default=0, help="Child processes per app; 0: one per usable core.")
@click.option("--threads", type=int, default=0, help="Sync tasks at once in each child; 0: one, on its main thread.")
@click.option("--async-concurrency", type=int, default=0, help="Coroutine tasks at once in each child.")
@click.option("--max-tasks-per-child", type=int, default=0, help="Replace a child after so many tasks; 0: never.")
@click.option(
    "--max-memory-per-child", type=int, default=0, help="Replace a child that takes more memory, MiB; 0: never."
)
@click.option("--grace", type=float, default=25.0, help="Seconds that running tasks may take after SIGTERM.")
@click.option(
    "--lease", type=float, default=None, help="Seconds that a claim lives without renewal (else as the backend says)."
)
@click.option(
    "--fence-after", type=float, default=None, help="Seconds that tasks may run on without renewal (else the lease)."
)
@click.option("--time-limit", type=float, default=None, help="Hard time limit of tasks without their own, seconds.")
@click.option(
    "--soft-time-limit", type=float, default=None, help="Soft time limit of tasks without their own, seconds."
)
@click.option("--metrics-port", type=int, default=0, help="Serve /metrics, /healthz and /readyz at this port; 0: not.")
@click.option("--metrics-host", default="127.0.0.1", help="The address for that; 0.0.0.0: all of this machine.")
@click.option("--release", default="", help="The project's version or commit; charts mark when it changes.")
@click.option("--reload/--no-reload", default=False, help="Restart when a Python file changes (development).")
@click.option(
    "--log-level", type=click.Choice(["DEBUG", "INFO", "WARNING", "ERROR"]), default="INFO", help="Level of the log."
)
@click.option(
    "--log-format", type=click.Choice(["text", "json"]), default="text", help="Lines for people, or JSON objects."
)
@click.version_option(package_name="streamtasks", prog_name="streamtasks-worker")
@click.pass_context
def worker_command(context: click.Context, /, **values: Any) -> None:
    """Run tasks: claim, run, acknowledge, reclaim.

    SIGTERM stops gracefully, a second one at least a second later at once. SIGTSTP stops claiming.

    Every option can also be given as an environment variable: STREAMTASKS_WORKER_CONCURRENCY=4.
    """
    from streamtasks.exceptions import StreamTasksError

    from ..process.logs import set_up_logs

    given = {
        _OPTION_NAMES.get(name, name): value
        for name, value in values.items()
        if name not in _NOT_OPTIONS and context.get_parameter_source(name) is not ParameterSource.DEFAULT
    }
    set_up_logs(values["log_level"], values["log_format"])
    try:
        if values["reload"]:
            from .reload import run_reloading

            sys.exit(run_reloading())
        from ..supervisor.worker import run_worker

        log = (values["log_level"], values["log_format"])
        sys.exit(run_worker(values["app"], values["settings"], values["backends"], given, log))
    except StreamTasksError as error:
        click.echo(f"streamtasks-worker: {error}", err=True)
        sys.exit(2)


_NOT_OPTIONS = {"app", "settings", "backends", "reload", "log_level", "log_format"}
_OPTION_NAMES = {
    "fence_after": "fence_after_s",
    "grace": "grace_s",
    "lease": "lease_s",
    "max_memory_per_child": "max_memory_per_child_mb",
    "soft_time_limit": "soft_time_limit_s",
    "time_limit": "time_limit_s",
}


def main() -> None:
    """Run ``streamtasks-worker``."""
    worker_command(prog_name="streamtasks-worker")
