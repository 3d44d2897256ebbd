"""Send Django's task signals; an error of a receiver is logged and breaks nothing."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import django
from asgiref.sync import sync_to_async

from ..framework import signals as django_signals

if TYPE_CHECKING:
    from django.dispatch import Signal

    from ..framework import TaskResult

__all__ = ["asend", "is_ignored", "only_logs", "send"]

_LOGS = frozenset(
    id(receiver)
    for receiver in (
        django_signals.log_task_enqueued,
        django_signals.log_task_started,
        django_signals.log_task_finished,
    )
)


def send(signal: Signal, sender: type, result: TaskResult[..., Any]) -> None:
    """Send a signal; Django logs the errors of receivers (``django.dispatch``)."""
    if not is_ignored(signal):
        signal.send_robust(sender, task_result=result)


def is_ignored(signal: Signal) -> bool:
    """Return whether a signal would reach nothing but Django's receiver that writes debug lines, which nobody keeps.

    Sending takes longer than anything else here but the exchange with the server.
    """
    if signal is not django_signals.task_enqueued or django_signals.logger.isEnabledFor(logging.DEBUG):
        return False
    return only_logs(signal)


def only_logs(signal: Signal) -> bool:
    """Return whether Django's own log receivers are the only ones."""
    receivers = signal.receivers
    if len(receivers) == 1:  # as a rule; to make a generator takes longer than all else here
        return receivers[0][0][0] in _LOGS
    return all(lookup_key[0] in _LOGS for lookup_key, *_ in receivers)


async def asend(signal: Signal, sender: type, result: TaskResult[..., Any]) -> None:
    """Send a signal from an event loop.

    Plain receivers run on another thread, which takes ten times as long as everything else here. Django's own receiver
    only writes a log line, so it is called in place while it is the only one.
    """
    if is_ignored(signal):
        return
    if only_logs(signal):
        signal.send_robust(sender, task_result=result)
    elif django.VERSION < (6, 1):
        # There asend_robust() calls plain receivers in another asyncio task, in which sys.exc_info() is empty.
        await sync_to_async(signal.send_robust)(sender, task_result=result)
    else:
        await signal.asend_robust(sender, task_result=result)
