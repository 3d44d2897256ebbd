"""The tasks that `test_orders.py` tests."""

from __future__ import annotations

import os
from datetime import timedelta

from streamtasks import StreamTasks

app = StreamTasks(os.environ.get("REDIS_URL", "redis://127.0.0.1:6379/0"))
sent: list[str] = []


@app.task
def remind(order: int) -> str:
    """Send a reminder."""
    sent.append(f"order {order}")
    return sent[-1]


def place(order: int) -> str:
    """Place an order; return the id of the task that reminds of it in a week."""
    return remind.apply_async(args=[order], countdown=timedelta(days=7)).id
