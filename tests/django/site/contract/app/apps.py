"""The app; in workers it connects receivers that write notes."""

from __future__ import annotations

import os
import sys
from typing import Any

from django.apps import AppConfig
from django.tasks.signals import task_finished, task_started

from contract import notes
from contract.options import NOTES


def _note_started(sender: type, task_result: Any, **_: Any) -> None:
    notes.leave(["started", task_result.id, sender.__name__, str(task_result.status), task_result.attempts])


def _note_finished(sender: type, task_result: Any, **_: Any) -> None:
    error = sys.exc_info()[0]
    notes.leave(
        [
            "finished",
            task_result.id,
            sender.__name__,
            str(task_result.status),
            task_result.attempts,
            error.__name__ if error else None,
        ]
    )


def _break(**_: Any) -> None:
    raise RuntimeError("this receiver is broken")


class ContractConfig(AppConfig):
    """Of the contract tests."""

    name = "contract.app"
    label = "contract_app"

    def ready(self) -> None:
        if os.environ.get(NOTES):
            # The broken ones first: they may keep neither the others nor the outcome from happening.
            for signal, receiver in ((task_started, _note_started), (task_finished, _note_finished)):
                signal.connect(_break)
                signal.connect(receiver)
