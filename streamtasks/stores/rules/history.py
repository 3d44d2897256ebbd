"""What is kept of the earlier attempts of a message."""

from __future__ import annotations

from typing import Any, Final

from ...protocol.json import dumps, loads
from ...protocol.reports import OMITTED

__all__ = ["FIRST_REPORTS", "LAST_REPORTS", "with_report"]

FIRST_REPORTS: Final = 5
LAST_REPORTS: Final = 20


def with_report(history: bytes, report: bytes) -> bytes:
    """Return the reports of a message with one more: the first 5, a count of those left out, and the last 20.

    Args:
        history: a line of JSON for each report.
        report: one more, without its newline.
    """
    lines = [*history.splitlines(), report]
    omitted: dict[str, Any] = {"kind": OMITTED, "of": {}}
    if len(lines) > FIRST_REPORTS + LAST_REPORTS + 1:
        omitted = loads(lines.pop(FIRST_REPORTS))
    if len(lines) > FIRST_REPORTS + LAST_REPORTS:
        kind = loads(lines.pop(FIRST_REPORTS)).get("kind", "OTHER")
        omitted["of"][kind] = omitted["of"].get(kind, 0) + 1
        lines.insert(FIRST_REPORTS, dumps(omitted))
    return b"".join(line + b"\n" for line in lines)
