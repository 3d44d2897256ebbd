"""Why a task waits, without what a role may not see."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import replace
from typing import Any

from streamtasks.exceptions import ServerNotSupported
from streamtasks.operations.explain import Reason, explain
from streamtasks.operations.situation import look_at
from streamtasks.stores.base import Store

from .access import SEE_ARGUMENTS
from .redaction import is_redacting, redacted

__all__ = ["reasons_of"]


def reasons_of(store: Store, task_id: str, roles: Set[str]) -> list[Reason]:
    """Return why a task waits, or where its time went; empty: this store cannot say.

    The texts quote the error of the last attempt: for a role that may not see values, only its class.
    """
    try:
        found = look_at(store, task_id)
    except ServerNotSupported:
        return []
    if found.snapshot is not None and (SEE_ARGUMENTS not in roles or is_redacting()):
        name = "" if found.message is None else found.message.task
        reports = [_report(one, name, roles) for one in found.snapshot.reports]
        found = found._replace(snapshot=replace(found.snapshot, reports=reports))
    return explain(found)


def _report(report: dict[str, Any], task: str, roles: Set[str]) -> dict[str, Any]:
    error = report.get("error")
    if not isinstance(error, dict):
        return report
    message = str(redacted("error", task, error.get("message") or "")) if SEE_ARGUMENTS in roles else ""
    return {**report, "error": {**error, "message": message}}
