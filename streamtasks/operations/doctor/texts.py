"""Texts that several findings share."""

from __future__ import annotations

from .finding import Finding, Level
from .services import Service

__all__ = ["amount", "megabytes", "option_remedy", "seconds", "unknown"]


def megabytes(count: int) -> str:
    """Return bytes for people."""
    if count < 10_000_000:
        return f"{count / 1_000:,.0f} KB" if count >= 1_000 else f"{count} bytes"
    return f"{count / 1_000_000:,.0f} MB"


def seconds(milliseconds: float) -> str:
    """Return a duration for people."""
    value = milliseconds / 1000
    for unit, size in (("days", 86_400), ("h", 3_600), ("min", 60)):
        if value >= 2 * size:
            return f"{value / size:.0f} {unit}"
    return f"{value:.0f} s" if value >= 10 else f"{value:.1f} s"


def amount(count: int, thing: str) -> str:
    """Return a count with its noun."""
    return f"{count:,} {thing}" if count == 1 else f"{count:,} {thing}s"


def option_remedy(service: Service, option: str, value: str) -> str:
    """Return how an option of a server is set."""
    if service.set_options_by:
        return f"Set {option} to {value} in {service.set_options_by}."
    return f"Set it: CONFIG SET {option} {value}, and the same in the configuration file."


def unknown(check: str, where: str, what: str, why: str, instead: str) -> Finding:
    """Return the finding that something could not be found out, and where to look instead."""
    return Finding(check, Level.NOTE, f"Not known: {what} ({why}).", instead, where, {"known": False})
