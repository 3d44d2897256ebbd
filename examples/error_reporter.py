"""A middleware that reports failures, and only those. In two terminals, in this folder:

$ streamtasks-worker --app error_reporter:app --concurrency 1
$ python error_reporter.py

The worker prints one report: not of the retry, nor of the task that is ignored, nor of the one that succeeds.
"""

from __future__ import annotations

import os
from typing import override

from streamtasks import Attempt, AttemptOutcome, BoundTask, Ignore, Middleware, State, StreamTasks
from streamtasks.exceptions import TaskFailed


class ErrorReporter(Middleware):
    """Tell a service about final failures; here it is the log of the worker."""

    @override
    def after_outcome(self, attempt: Attempt, outcome: AttemptOutcome) -> None:
        # RETRY, IGNORED, EXPIRED and REVOKED are outcomes too, but nobody made a mistake.
        if outcome.state is State.FAILURE:
            message = attempt.message
            print(f"REPORT {message.task} {message.args} attempt {attempt.number}: {outcome.error!r}", flush=True)


app = StreamTasks(os.environ.get("REDIS_URL", "redis://127.0.0.1:6379/0"), middleware=[ErrorReporter()])


@app.task(bind=True, max_retries=1)
def divide(self: BoundTask, a: int, b: int) -> float:
    """Fail at once, be ignored or be tried again, as the numbers have it."""
    if a == 0:
        raise Ignore
    if b == 0:
        raise self.retry(exc=ZeroDivisionError(f"{a} / 0"), countdown=0.1)
    return a / b


if __name__ == "__main__":
    results = divide.enqueue_many([(6, 3), (0, 1), (1, 0)])
    for result in results:
        try:
            print(result.get(timeout=20))
        except (ZeroDivisionError, TaskFailed) as error:
            print(f"{type(error).__name__}: {error}")
