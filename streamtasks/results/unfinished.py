"""Say why a wait for a result has run out of time."""

from __future__ import annotations

from ..exceptions import DecodeError, StreamTasksError
from ..protocol.state import Snapshot, State
from ..stores.inspection_types import WorkerInfo
from ..stores.owner import Owner

__all__ = ["atimed_out", "timed_out"]

_IN_MEMORY = (
    "; it is in the memory of this process: call run_until_idle() in tests, or let a background worker of this "
    "process run it"
)


def timed_out(owner: Owner, snapshot: Snapshot, timeout: float | None, state: str) -> TimeoutError:
    """Return the error of a wait: the state, and what a queued task lacks.

    Args:
        owner: of the task.
        snapshot: what is known of the task after the wait.
        timeout: of the wait, s.
        state: as the error shows it.
    """
    workers: list[WorkerInfo] | None = None
    if snapshot.state == State.QUEUED and not owner.settings.is_memory:
        try:
            workers = owner.store.workers()
        except StreamTasksError:
            workers = None  # the wait has run out of time all the same
    return _error(owner, snapshot, timeout, state, workers)


async def atimed_out(owner: Owner, snapshot: Snapshot, timeout: float | None, state: str) -> TimeoutError:  # noqa: ASYNC109
    """Return the same from an event loop; see `timed_out`."""
    workers: list[WorkerInfo] | None = None
    if snapshot.state == State.QUEUED and not owner.settings.is_memory:
        try:
            workers = await owner.async_store.workers()
        except StreamTasksError:
            workers = None
    return _error(owner, snapshot, timeout, state, workers)


def _error(
    owner: Owner, snapshot: Snapshot, timeout: float | None, state: str, workers: list[WorkerInfo] | None
) -> TimeoutError:
    text = f"Task {snapshot.id} was not finished within {timeout} s; it is {state}"
    if snapshot.state == State.QUEUED:
        try:
            queue = snapshot.message().queue
        except DecodeError:
            return TimeoutError(f"{text}.")  # of another release, or in an encoding that this process may not read
        text += f", queued in {queue!r}"
        if owner.settings.is_memory:
            text += _IN_MEMORY
        elif workers is not None:
            live = [worker for worker in workers if worker.is_live]
            if not any(worker.serves(queue) for worker in live):
                text += f"; no worker serves it ({_running(live)})"
    return TimeoutError(f"{text}.")


def _running(workers: list[WorkerInfo]) -> str:
    if not workers:
        return "no worker is running: start streamtasks-worker"
    only = {queue for worker in workers if worker.about.get("queue_mode") == "only" for queue in worker.about["queues"]}
    served = f", which serve {', '.join(sorted(only))}" if only else ""
    return f"workers running: {len(workers)}{served}"
