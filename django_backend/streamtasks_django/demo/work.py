"""The work that goes on beside the page, so that the dashboard has something to show: tasks of a small shop."""

from __future__ import annotations

import logging
import random
import time
from typing import Final

from streamtasks import current_attempt
from streamtasks.schedules import every
from streamtasks_django import task

__all__ = ["add_up", "charge", "export", "mail", "sweep", "weigh"]

_log = logging.getLogger(__name__)

SWEEP_S: Final = 20


@task(queue_name="mail")
def mail(order: int) -> str:
    """Take a moment, log a line."""
    _log.info("receipt of order %s is sent", order)
    time.sleep(random.uniform(0.02, 0.2))  # noqa: S311 - no secret
    return f"receipt of order {order}"


@task(queue_name="payments", max_retries=3, default_retry_delay=2, autoretry_for=(ConnectionError,))
def charge(order: int) -> str:
    """Succeed at the second attempt; of some orders, the card is refused for good."""
    attempt = current_attempt().number
    if order % 14 == 7:
        raise ValueError(f"the card of order {order} is refused")
    if attempt == 1 and order % 3 == 0:
        raise ConnectionError("the bank does not answer")
    return f"order {order} is paid, attempt {attempt}"


@task(queue_name="reports")
def export(orders: int) -> int:
    """Report the progress of some seconds of work."""
    for number in range(orders):
        current_attempt().set_progress(done=number, total=orders)
        time.sleep(0.2)
    return orders


@task
def weigh(order: int) -> int:
    """Return at once: a member of a chord."""
    return order % 7 + 1


@task
def add_up(weights: list[int]) -> int:
    """Take the results of a chord."""
    return sum(weights)


@task(schedule=every(SWEEP_S))
def sweep() -> str:
    """Run by a schedule."""
    return "swept"
