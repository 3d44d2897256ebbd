"""Where the hooks of a coroutine task run: they may use the database, which Django forbids on an event loop."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextvars import copy_context

from django.db import connections

__all__ = ["beside_the_loop"]


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
