"""Tell a class-based task how an attempt of it ended."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from contextvars import copy_context
from typing import Any

from django.db import connections

from streamtasks import Attempt, AttemptOutcome, State

from .class_task import ErrorInfo, Task

__all__ = ["beside_the_loop", "tell"]

logger = logging.getLogger("streamtasks.django")


def tell(task: Task, attempt: Attempt, outcome: AttemptOutcome) -> None:
    """Run the hooks that an outcome has. One that raises is logged and keeps no other from running."""
    if outcome.state == State.IGNORED:
        return
    one, message = task.for_attempt(attempt), attempt.message
    call = (message.id, message.args, message.kwargs)
    if outcome.state == State.SUCCESS:
        _run(one.on_success, attempt, outcome.value, *call)
        _run(one.after_return, attempt, outcome.state.value, outcome.value, *call, None)
        return
    info = ErrorInfo(outcome.error, outcome.traceback)
    hook = one.on_retry if outcome.state == State.RETRY else one.on_failure
    _run(hook, attempt, outcome.error, *call, info)
    _run(one.after_return, attempt, outcome.state.value, outcome.error, *call, info)


def _run(hook: Callable[..., Any], attempt: Attempt, *args: Any) -> None:
    try:
        hook(*args)
    except BaseException:
        logger.exception("%s of task %s (%s) failed", hook.__name__, attempt.id, attempt.message.task)


def beside_the_loop(call: Callable[[], None]) -> None:
    """Run plain hooks of a coroutine task on a thread of their own: on the loop's, Django allows no database.

    The loop waits for them, as for any plain code in a coroutine.
    """
    raised: list[BaseException] = []

    def run() -> None:
        try:
            call()
        except BaseException as error:  # noqa: BLE001 - raised again below
            raised.append(error)
        finally:
            connections.close_all()

    thread = threading.Thread(target=copy_context().run, args=(run,), name="streamtasks-hooks")
    thread.start()
    thread.join()
    if raised:
        raise raised[0]
