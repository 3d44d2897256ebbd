"""A file to which tasks, receivers and middleware write lines, for tests that run in another process."""

from __future__ import annotations

import json
import os
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

from contract.options import NOTES
from streamtasks import Attempt, AttemptOutcome, Message, Middleware


def leave(what: Any) -> None:
    """Append one line, whole even if several processes write."""
    path = os.environ.get(NOTES)
    if path:
        fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            os.write(fd, json.dumps(what).encode() + b"\n")
        finally:
            os.close(fd)


class NoteMiddleware(Middleware):
    """The project's own middleware."""

    def before_enqueue(self, message: Message) -> Message:
        if message.task.endswith(".context_of"):
            message.headers["seen"] = True
        return message

    @contextmanager
    def around_run(self, attempt: Attempt) -> Generator[None]:
        if attempt.message.headers.get("seen"):
            leave(["middleware enters", attempt.id])
        yield

    def after_outcome(self, attempt: Attempt, outcome: AttemptOutcome) -> None:
        if attempt.message.headers.get("seen"):
            leave(["middleware after", attempt.id, outcome.state])
