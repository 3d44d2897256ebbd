"""Reports of earlier attempts, a line of JSON each; of many, those in the middle are only counted.

Where messages are signed or encrypted, the error of a report is: it stands in ``sealed``, in base64, with the kind and
the number of its attempt. What else is in a report is plain, because scripts of the server count reports by kind.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Iterable
from typing import Any, Final

from ..exceptions import DecodeError
from .errors import describe
from .json import dumps, loads
from .seals import REPORT, unsigned
from .wire import Wire

__all__ = ["OMITTED", "attempt_report", "count_reports", "open_reports"]

OMITTED: Final = "OMITTED"
"""The kind of the report that stands for all that were left out; its ``of`` counts them by kind."""


def attempt_report(
    wire: Wire,
    task_id: str,
    kind: str,
    attempt: int,
    worker: str,
    started_ms: int,
    finished_ms: int,
    error: dict[str, Any] | None,
) -> str:
    """Return the report of an attempt that is not the last one, as a JSON line."""
    report: dict[str, Any] = {
        "kind": kind,
        "attempt": attempt,
        "worker": worker,
        "started": started_ms,
        "finished": finished_ms,
        "error": error,
    }
    if error is not None and wire.is_sealed:
        report["error"] = None
        sealed = wire.seal(dumps([kind, attempt, error]), REPORT, task_id)
        report["sealed"] = b64encode(sealed).decode()
    return dumps(report).decode()


def open_reports(reports: list[dict[str, Any]], wire: Wire, task_id: str) -> list[dict[str, Any]]:
    """Return reports with their errors readable; in the place of one that may not be read stands the reason."""
    for report in reports:
        if "sealed" in report:
            try:
                report["error"] = _opened(report, wire, task_id)
            except (DecodeError, ValueError, TypeError) as unreadable:
                report["error"] = describe(unreadable)
            del report["sealed"]
        elif wire.requires_signed and report.get("error") is not None:
            report["error"] = describe(unsigned(REPORT, task_id))
    return reports


def _opened(report: dict[str, Any], wire: Wire, task_id: str) -> Any:
    kind, attempt, error = loads(wire.unseal(b64decode(report["sealed"]), REPORT, task_id))
    if (kind, attempt) != (report.get("kind"), report.get("attempt")):
        raise unsigned(REPORT, task_id)
    return error


def count_reports(reports: Iterable[dict[str, Any]], kind: str) -> int:
    """Return how many of these reports are of this kind, those included that were left out."""
    count = 0
    for report in reports:
        if report.get("kind") == OMITTED:
            count += report["of"].get(kind, 0)
        elif report.get("kind") == kind:
            count += 1
    return count
