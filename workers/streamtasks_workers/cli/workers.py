"""The command ``streamtasks workers``: the registered workers, and what they run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from .target import Target, target_options

if TYPE_CHECKING:
    from streamtasks.protocol.wire import Wire
    from streamtasks.stores.inspection_types import Active, WorkerInfo

__all__ = ["workers_command"]


@click.command("workers")
@target_options
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def workers_command(target: Target, as_json: bool) -> None:
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
        state = "live" if one.info.is_live else "silent"
        host = f"{about.get('host', '?')}:{about.get('pid', '?')}"
        rows.append(
            [one.info.name, host, state, age(one.info.silent_ms), _queues(about), str(about.get("children", "-")), ""]
        )
        rows += [
            ["", "", "", "", "", run.worker.rpartition("-")[2], f"{inspect.task_of(run, wire)} {run.id}"]
            for run in one.running
        ]
    print_table(["worker", "host", "state", "last sign", "queues", "children", "running"], rows)


def _queues(about: dict[str, Any]) -> str:
    mode, names = about.get("queue_mode", "all"), ", ".join(map(str, about.get("queues", ())))
    return "all" if mode == "all" else names if mode == "only" else f"all but {names}"


def _worker(info: WorkerInfo) -> dict[str, Any]:
    about = {name: value for name, value in info.about.items() if name != "tasks"}  # their digests say nothing here
    return {"name": info.name, "is_live": info.is_live, "silent_ms": info.silent_ms, "about": about}


def _attempt(run: Active, wire: Wire) -> dict[str, Any]:
    from streamtasks.operations import inspect

    return {"id": run.id, "task": inspect.task_of(run, wire), "started_ms": run.started_ms, "child": run.worker}
