"""Reports of earlier attempts, a line of JSON each; of many, those in the middle are only counted."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

__all__ = ["OMITTED", "count_reports"]

OMITTED: Final = "OMITTED"
"""The kind of the report that stands for all that were left out; its ``of`` counts them by kind."""


def count_reports(reports: Iterable[dict[str, Any]], kind: str) -> int:
    """Return how many of these reports are of this kind, those included that were left out."""
    count = 0
    for report in reports:
        if report.get("kind") == OMITTED:
            count += report["of"].get(kind, 0)
        elif report.get("kind") == kind:
            count += 1
    return count
