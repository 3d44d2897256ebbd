"""Tell a class-based task how an attempt of it ended."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from streamtasks import Attempt, AttemptOutcome, State

from .class_task import ErrorInfo, Task

__all__ = ["tell"]

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
