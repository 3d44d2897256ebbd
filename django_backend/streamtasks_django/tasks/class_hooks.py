"""Run the hooks of coroutine tasks where they may use the database, which Django forbids on an event loop."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextvars import copy_context

from django.db import connections

__all__ = ["run_off_the_loop"]


def run_off_the_loop(call: Callable[[], None]) -> None:
    """Run hooks on a separate thread and wait for them; the event loop is blocked meanwhile."""
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
