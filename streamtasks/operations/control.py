"""Change what an app's tasks do: revoke, retry, replay, discard, pause, resume, purge, forget; drain or stop a worker.

Each change says who asks for it and why, which is written down first (`audit`). Each may be repeated as it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from hashlib import blake2b
from itertools import batched
from json import dumps
from typing import Any, Final

from ..exceptions import ConfigurationError, InvalidTask, TaskNotFound
from ..protocol.keys import check_id, check_queue, stream_name
from ..protocol.message import Message
from ..protocol.shards import node_of, tag_of
from ..protocol.state import DeadLetter, Snapshot, State
from ..stores.bulk_types import Move, Replay
from ..stores.owner import Owner
from ..stores.steering_types import check_request, check_task_name
from ..stores.types import NewMessage, Revocation
from .audit import recorded

__all__ = [
    "REPLAY_OF",
    "check_repeatable",
    "discard",
    "forget",
    "moved",
    "pause",
    "purge",
    "repeated",
    "repeated_id",
    "replay",
    "request_worker",
    "resume",
    "retry",
    "revoke",
]

REPLAY_OF: Final = "replay_of"
"""The header that names the task of which another one is a repetition."""

_MOST: Final = 100
_REPEATABLE: Final = (State.FAILURE, State.DEAD, State.EXPIRED, State.REVOKED, State.IGNORED)


def revoke(owner: Owner, ids: Sequence[str], *, actor: str, reason: str, terminate: bool = False) -> list[Revocation]:
    """End tasks before they finish; return what became of each, see `Revocation`.

    Args:
        owner: of the tasks.
        ids: of them.
        actor: who asks for it.
        reason: why.
        terminate: also interrupt those that run.

    Raises:
        InvalidTask: one of the ids cannot be one. Nothing was revoked.
    """
    for task_id in ids:
        check_id(task_id)
    operation = "terminate" if terminate else "revoke"
    with ExitStack() as stack:
        for some in batched(ids, _MOST):
            stack.enter_context(recorded(owner.store, operation, _named(some), actor, reason))
        return owner.store.revoke_many(ids, terminate=terminate)


def retry(owner: Owner, task_id: str, *, actor: str, reason: str, **changes: Any) -> str:
    """Enqueue a task that has ended without success once more, as a new task; return its id.

    Its arguments, queue and links are the same; when it was to start and to expire is left out. Called again for the
    same end and with the same changes, it returns the same id and enqueues nothing.

    Args:
        owner: of the task.
        task_id: of it.
        actor: who asks for it.
        reason: why.
        changes: ``args``, ``kwargs``, ``queue`` or ``priority`` instead of its own.

    Raises:
        TaskNotFound: the id is not known, or its record has expired.
        InvalidTask: it is not finished, has succeeded, or is a part of a workflow, or a change is wrong.
    """
    check_id(task_id)
    [found] = owner.store.read([task_id])
    if found is None:
        raise TaskNotFound(f"No task {task_id} is known; if it ever was, its record has expired.")
    check_repeatable(found)
    message = found.message()
    occasion = f"{task_id}\0{found.finished_ms}"
    if changes:
        occasion += f"\0{dumps(changes, sort_keys=True, default=repr)}"
    again = repeated(owner, message, occasion, changes)
    with recorded(owner.store, "retry", task_id, actor, reason):
        owner.store.enqueue([again])
        return again.id


def check_repeatable(found: Snapshot) -> None:
    """Check that a task can be enqueued once more.

    Raises:
        InvalidTask: it is not finished, or has succeeded.
    """
    if not found.is_finished:
        raise InvalidTask(f"Task {found.id} is {found.state.value}; only what has ended can be retried.")
    if found.state not in _REPEATABLE:
        raise InvalidTask(f"Task {found.id} is {found.state.value}; enqueue a new call of it instead.")


def replay(owner: Owner, letter: DeadLetter, *, actor: str, reason: str, **changes: Any) -> str:
    """Enqueue a dead letter's call again as a new task, and discard the letter; return the id of the new task.

    Both is one step. Called again for the same letter, it returns the same id.

    Args:
        owner: of the task.
        letter: as `Store.dead_letters` returns it.
        actor: who asks for it.
        reason: why.
        changes: ``args``, ``kwargs``, ``queue`` or ``priority`` instead of its own.

    Raises:
        DecodeError: the letter holds bytes that are no message, or that this process may not read.
        TaskNotFound: somebody else has replayed or discarded it.
        InvalidTask: it is a part of a workflow, or a change is wrong.
    """
    again = repeated(owner, letter.message(), f"{letter.id}\0{letter.cursor}", changes)
    with recorded(owner.store, "replay", letter.id, actor, reason):
        [done] = owner.store.replay_dead_letters([(letter, again)])
        if done is Replay.GONE:
            raise TaskNotFound(f"Dead letter {letter.id} is gone: somebody has replayed or discarded it.")
        return again.id


def repeated_id(owner: Owner, task_id: str, occasion: str) -> str:
    """Return the id of the message that repeats another one: the same for the same occasion, on the same shard."""
    digest = blake2b(occasion.encode(), digest_size=16).hexdigest()
    return f"{digest}-{tag_of(task_id, owner.settings.tags)}"


def repeated(owner: Owner, message: Message, occasion: str, changes: Mapping[str, Any]) -> NewMessage:
    """Return a message that repeats another one.

    Args:
        owner: of the task.
        message: the other one.
        occasion: what decides about the new id, see `repeated_id`.
        changes: ``args``, ``kwargs``, ``queue`` or ``priority`` instead of its own.

    Raises:
        InvalidTask: it is a part of a workflow, or a change is wrong.
    """
    if node_of(message.id) is not None:
        raise InvalidTask(
            f"Task {message.id} is a part of a workflow, which would not hear of its repetition: run what has failed "
            "of the workflow again with retry_failed()."
        )
    unknown = changes.keys() - {"args", "kwargs", "queue", "priority"}
    if unknown:
        raise InvalidTask(f"changes name {', '.join(sorted(unknown))}; args, kwargs, queue and priority can change.")
    if "queue" in changes:
        check_queue(changes["queue"])
    settings = owner.settings
    message = replace(
        message,
        id=repeated_id(owner, message.id, occasion),
        headers={**message.headers, REPLAY_OF: message.id},
        due_ms=0,
        expires_ms=0,
        expires_in_ms=0,
        **changes,
    )
    envelope = message.encode(settings.max_payload_bytes, settings.wire)
    return NewMessage(message.id, message.queue, message.priority, envelope, limit=owner.limit_of(message))


def moved(owner: Owner, message: Message, queue: str, entry: str) -> Move:
    """Return how a store lets a message wait in another queue; ``entry``: see `Move`.

    Raises:
        PayloadTooLarge: its envelope would be too large with the other name.
    """
    stream = stream_name(message.queue, message.priority)
    message = replace(message, queue=queue)
    envelope = message.encode(owner.settings.max_payload_bytes, owner.settings.wire)
    return Move(NewMessage(message.id, queue, message.priority, envelope), stream, entry)


def discard(owner: Owner, letters: Sequence[DeadLetter], *, actor: str, reason: str) -> int:
    """Delete dead letters; return how many were still there."""
    discarded = 0
    for some in batched(letters, _MOST):
        with recorded(owner.store, "discard", _named([letter.id or letter.cursor for letter in some]), actor, reason):
            discarded += owner.store.discard_dead_letters(some)
    return discarded


def pause(owner: Owner, queue: str, *, actor: str, reason: str, task: str = "") -> bool:
    """Let nothing more be claimed of a queue, or of a task; return whether it was not paused before.

    What workers hold runs to its end. Delayed, scheduled and retried tasks come to the queue and wait there. It lasts
    until `resume`.

    Args:
        owner: of the queue.
        queue: its name; empty: everything, or the task.
        actor: who asks for it.
        reason: why.
        task: the name of a task, in all queues, in place of a queue.

    Raises:
        UnknownQueue: it cannot be a queue's name.
        InvalidTask: no task of this name can be paused.
        ConfigurationError: the server cannot read the names of tasks in what this app enqueues.
        ServerNotSupported: this store cannot pause, or too much is paused.
    """
    target = _paused(queue, task)
    if task and not owner.settings.wire.shows_tasks:
        raise ConfigurationError(
            f"Task {task} cannot be paused by its name: the server sets aside what it reads the name in, and with "
            "compression, encryption_keys or the serializer 'pickle' it cannot read it. Give the task a queue of its "
            "own, and pause that."
        )
    with recorded(owner.store, "pause", target, actor, reason):
        return owner.store.pause(queue, actor, reason, task)


def resume(owner: Owner, queue: str, *, actor: str, reason: str, task: str = "") -> bool:
    """End the pause of a queue or of a task (both empty: that of everything); return whether there was one.

    Of a paused task what waits comes back to its old places, 100 messages in a call; its pause is there until all of it
    has. Repeat a call that was interrupted.

    Raises:
        UnknownQueue: it cannot be a queue's name.
        InvalidTask: no task of this name can be paused.
    """
    with recorded(owner.store, "resume", _paused(queue, task), actor, reason):
        return owner.store.resume(queue, task)


def _paused(queue: str, task: str) -> str:
    """Return the target of an audit entry: the queue's name, ``task <name>``, or ``*``."""
    if task and queue:
        raise InvalidTask(f"Pause task {task}, which is in all queues, or queue {queue}; not both in one call.")
    if task:
        return f"task {check_task_name(task)}"
    return check_queue(queue) if queue else "*"


def request_worker(owner: Owner, worker: str, request: str, *, actor: str, reason: str) -> bool:
    """Ask a worker to drain or to stop; return whether it is registered.

    A worker that drains claims nothing more and stays; one that stops hands back what has not started, gives running
    tasks its grace period, and ends. It hears of it at once, or with its next sign of life, in some seconds.

    Args:
        owner: of the tasks that the worker serves.
        worker: its name, see `inspect.workers`.
        request: ``"drain"`` or ``"stop"``.
        actor: who asks for it.
        reason: why.

    Raises:
        InvalidTask: there is no such request.
        ServerNotSupported: this store cannot pass it on.
    """
    with recorded(owner.store, check_request(request), worker, actor, reason):
        return owner.store.request_worker(worker, request)


def forget(owner: Owner, queue: str, *, actor: str, reason: str) -> bool:
    """Let an empty queue leave the lists; return whether it was there. The next task that comes makes it again.

    Raises:
        UnknownQueue: it cannot be a queue's name.
        QueueNotEmpty: tasks are in it. Nothing of them was touched.
    """
    with recorded(owner.store, "forget", check_queue(queue), actor, reason):
        return owner.store.forget_queue(queue)


def purge(owner: Owner, queue: str, *, actor: str, reason: str) -> int:
    """Revoke the tasks that wait in a queue now; return how many.

    What workers hold, and what is delayed or waits for a limit, stays. Pause the queue first if others are enqueued
    meanwhile: what comes behind the page that is looked at is revoked, too.

    Raises:
        UnknownQueue: it cannot be a queue's name.
    """
    check_queue(queue)
    with recorded(owner.store, "purge", queue, actor, reason):
        purged, cursor = 0, ""
        while True:
            page = owner.store.waiting_ids("queued", cursor, _MOST, queue)
            known = owner.store.read(page.ids) if page.ids else []
            waiting = [one.id for one in known if one is not None and one.state in (State.QUEUED, State.RETRY)]
            purged += sum(answer is Revocation.GONE for answer in owner.store.revoke_many(waiting))
            cursor = page.cursor
            if not cursor:
                return purged


def _named(ids: Sequence[str]) -> str:
    """Return ids as the target of one audit entry."""
    return ids[0] if len(ids) == 1 else f"{len(ids)}: {', '.join(ids[:5])}"
