"""The command ``streamtasks workers``: list workers and what they run, drain and stop them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from .listing_group import ListingGroup
from .target import Target, change_options, target_options

if TYPE_CHECKING:
    from streamtasks.protocol.wire import Wire
    from streamtasks.stores.inspection_types import Active, WorkerInfo

__all__ = ["workers_command"]

LOOK_S = 0.2
"""How often a waiting command looks, seconds."""


@click.group("workers", cls=ListingGroup)
def workers_command() -> None:
    """List workers and what they run, drain and stop them."""


@workers_command.command("list")
@target_options
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_(target: Target, as_json: bool) -> None:
    """Show the workers, their queues and children, and the attempts that each runs."""
    from streamtasks.operations import inspect

    from .output import age, print_json, print_table

    app = target.one()
    found, wire = inspect.workers(app.owner.store), app.settings.wire
    if as_json:
        print_json([{**_worker(one.info), "running": [_attempt(run, wire) for run in one.running]} for one in found])
        return
    rows = []
    for one in found:
        about = one.info.about
        host = f"{about.get('host', '?')}:{about.get('pid', '?')}"
        silent, children = age(one.info.silent_ms), str(about.get("children", "-"))
        rows.append([one.info.name, host, _state(one.info), silent, _queues(about), children, ""])
        rows += [
            ["", "", "", "", "", run.worker.rpartition("-")[2], f"{inspect.task_of(run, wire)} {run.id}"]
            for run in one.running
        ]
    print_table(["worker", "host", "state", "last sign", "queues", "children", "running"], rows)


@workers_command.command("drain")
@target_options
@click.argument("worker")
@click.option(
    "--wait", type=click.FloatRange(0), default=0.0, help="Wait until it runs nothing, at most so many seconds."
)
@change_options
def drain(target: Target, worker: str, wait: float, by: Any) -> None:
    """Let a worker claim nothing more. What it runs goes on to its end; the worker stays until it is stopped."""
    _ask(target, worker, "drain", wait, by)


@workers_command.command("stop")
@target_options
@click.argument("worker")
@click.option("--wait", type=click.FloatRange(0), default=0.0, help="Wait until it has left, at most so many seconds.")
@change_options
def stop(target: Target, worker: str, wait: float, by: Any) -> None:
    """Stop a worker as SIGTERM does: running tasks get its grace period. Whatever starts workers may start another."""
    _ask(target, worker, "stop", wait, by)


def _ask(target: Target, worker: str, request: str, wait_s: float, by: dict[str, str]) -> None:
    """Pass a request on, and report what becomes of it; fail if the worker is not known, or not done in time."""
    import time

    from streamtasks.operations import control, inspect

    from .output import clean

    owner, until = target.owner, time.monotonic() + wait_s
    if not control.request_worker(owner, worker, request, **by):
        raise click.ClickException(clean(f"No worker {worker} is registered; streamtasks workers lists them."))
    if not wait_s:
        click.echo(clean(f"{worker}: asked to {request}"))
        return
    while True:
        found = next((one for one in inspect.workers(owner.store) if one.info.name == worker), None)
        if found is None or (request == "drain" and found.info.about.get("request") and not found.running):
            click.echo(clean(f"{worker}: " + ("has left" if found is None else "drained: it runs nothing")))
            return
        if time.monotonic() >= until:
            raise click.ClickException(clean(f"{worker}: asked to {request}; it runs {len(found.running)} tasks"))
        time.sleep(LOOK_S)


def _state(info: WorkerInfo) -> str:
    if not info.is_live:
        return "silent"
    return {"drain": "draining", "stop": "stopping"}.get(str(info.about.get("request") or ""), "live")


def _queues(about: dict[str, Any]) -> str:
    mode, names = about.get("queue_mode", "all"), ", ".join(map(str, about.get("queues", ())))
    return "all" if mode == "all" else names if mode == "only" else f"all but {names}"


def _worker(info: WorkerInfo) -> dict[str, Any]:
    about = {name: value for name, value in info.about.items() if name != "tasks"}  # their digests say nothing here
    return {"name": info.name, "is_live": info.is_live, "silent_ms": info.silent_ms, "about": about}


def _attempt(run: Active, wire: Wire) -> dict[str, Any]:
    from streamtasks.operations import inspect

    return {"id": run.id, "task": inspect.task_of(run, wire), "started_ms": run.started_ms, "child": run.worker}
