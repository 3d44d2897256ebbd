"""The screen of ``streamtasks top``. One thread reads the store; what it has read is shown in tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Final, NamedTuple

from rich.text import Text
from textual import work
from textual.app import App, ComposeResult
from textual.binding import BindingType
from textual.widgets import DataTable, Footer, Static
from textual.worker import get_current_worker

from streamtasks.exceptions import ServerNotSupported, StoreError
from streamtasks.operations import inspect
from streamtasks.protocol.wire import Wire
from streamtasks.stores.base import Store
from streamtasks.stores.factory import clock_ms

from .output import age, call, moment, short

__all__ = ["TopScreen"]

MOST_RUNNING: Final = 100
MOST_FAILURES: Final = 20

TABLES: Final = {
    "queues": ("queue", "ready", "claimed", "delayed", "limited", "oldest", "workers", "paused"),
    "workers": ("worker", "host", "last sign", "children", "running", "finished"),
    "running": ("task", "id", "for", "child"),
    "failures": ("end", "task", "id", "state", "error"),
}


class _Look(NamedTuple):
    """What was read: a line, and rows by the names of their tables."""

    line: str
    rows: dict[str, list[Sequence[str]]]


class TopScreen(App[None]):
    """Queues, workers, running tasks and failures of one store.

    Args:
        label: of the app.
        store: of its tasks.
        wire: decodes them.
        interval_s: seconds between two looks.
    """

    TITLE = "streamtasks"
    CSS = "Static { height: 2; } DataTable { height: 1fr; border-top: solid $primary; }"
    BINDINGS: ClassVar[list[BindingType]] = [("q", "quit", "Quit"), ("r", "look", "Look now")]

    def __init__(self, label: str, store: Store, wire: Wire, interval_s: float) -> None:
        super().__init__()
        self._label, self._store, self._wire, self._interval_s = label, store, wire, interval_s

    def compose(self) -> ComposeResult:
        """Yield the line at the top, and the tables."""
        yield Static(id="line")
        for name in TABLES:
            yield DataTable(id=name, cursor_type="row", zebra_stripes=True)
        yield Footer()

    def on_mount(self) -> None:
        """Name the columns, and begin to look."""
        for name, columns in TABLES.items():
            table = self._table(name)
            table.border_title = name
            table.add_columns(*columns)
        self.set_interval(self._interval_s, self.action_look)
        self.action_look()

    def _table(self, name: str) -> DataTable[Any]:
        return self.query_one(f"#{name}", DataTable)

    @work(thread=True, exclusive=True)
    def action_look(self) -> None:
        """Read the store, and show what was read unless a later look has begun."""
        worker = get_current_worker()
        try:
            found = _look(self._label, self._store, self._wire)
        except StoreError as error:
            found = _Look(f"{self._label}: {error}", {})
        if not worker.is_cancelled:
            self.call_from_thread(self._show, found)

    def _show(self, found: _Look) -> None:
        self.query_one("#line", Static).update(Text(short(found.line, 1000)))
        for name, rows in found.rows.items():
            table = self._table(name)
            at = table.scroll_offset
            table.clear()
            for row in rows:
                table.add_row(*(Text(short(cell)) for cell in row))  # no markup: names are not ours
            table.scroll_to(at.x, at.y, animate=False)


def _look(label: str, store: Store, wire: Wire) -> _Look:
    """Read all that is shown."""
    status, now_ms = inspect.status(store), 0
    running = sorted(store.active(MOST_RUNNING), key=lambda run: run.started_ms)
    by_worker = inspect.running_by_worker(running)
    queues = [
        (
            one.queue,
            *map(str, (one.ready, one.claimed, one.delayed, one.limited)),
            age(one.oldest_ms),
            str(one.workers),
            _paused(one.paused),
        )
        for one in status.queues
    ]
    rows: dict[str, list[Sequence[str]]] = {"queues": list(queues), "workers": [], "running": [], "failures": []}
    for worker in store.workers():
        about = worker.about
        now_ms = worker.beat_ms + worker.silent_ms  # by the clock of the store
        host = f"{about.get('host', '?')}:{about.get('pid', '?')}"
        counts = (
            str(about.get("children", "-")),
            str(len(by_worker.get(worker.name, ()))),
            str(about.get("finished", "-")),
        )
        rows["workers"].append((worker.name, host, age(worker.silent_ms), *counts))
    now_ms = now_ms or clock_ms(store)
    rows["running"] = [
        (inspect.task_of(run, wire) or "?", run.id, age(now_ms - run.started_ms), run.worker) for run in running
    ]
    rows["failures"] = _failures(store, wire)
    ended = ", ".join(f"{state} {count}" for state, count in sorted(status.outcomes.items()))
    paused = ", ".join(pause.queue or (f"task {pause.task}" if pause.task else "everything") for pause in status.pauses)
    line = (
        f"{label}: unfinished {status.unfinished}, running {status.running}, delayed {status.delayed}, "
        f"limited {status.limited}, dead letters {status.dead_kept}, workers {status.workers}; so far {ended or '-'}"
    )
    return _Look(line + (f"; paused: {paused}" if paused else ""), rows)


def _failures(store: Store, wire: Wire) -> list[Sequence[str]]:
    try:
        page = inspect.tasks(store, wire, "failed", limit=MOST_FAILURES)
    except ServerNotSupported as error:
        return [("", "", "", "", str(error))]
    found: list[Sequence[str]] = []
    for one in page.tasks:
        what = "?" if one.message is None else f"{one.message.task}({call(one.message.args, one.message.kwargs)})"
        text = f"{one.error.get('type')}: {one.error.get('message')}" if one.error else ""
        found.append((moment(one.snapshot.finished_ms), what, one.id, one.state, text))
    return found


def _paused(pause: Any) -> str:
    return "-" if pause is None else f"by {pause.actor}: {pause.reason}"
