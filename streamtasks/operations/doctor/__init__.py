"""Diagnose an app's store: pure findings, made of what its servers answered."""

from __future__ import annotations

import time
from typing import Final

from ...application import Application
from ...exceptions import StoreError
from ...settings import StoreSettings
from ...stores.factory import survey
from ...stores.survey_types import Survey
from .access import access_findings
from .durability import durability_findings
from .finding import Diagnosis, Finding, Level
from .servers import server_findings
from .services import service_of
from .work import Project, work_findings

__all__ = ["CHECKS", "Diagnosis", "Finding", "Level", "diagnose", "exit_status", "findings"]

CHECKS: Final = (
    "connection", "version", "service", "info", "role", "sentinels", "tls", "rights", "signing", "scripts", "limits",
    "writes", "clock", "eviction", "memory", "persistence", "replicas", "min-replicas", "durability", "loss",
    "tags", "projects", "workers", "pending", "queues",
)  # fmt: skip
"""What is looked at, in the order of a report."""


def diagnose(app: Application) -> Diagnosis:
    """Connect as an app does and return what is found. A store that cannot be reached is a finding."""
    settings = app.settings
    shown = settings.shown_url
    if settings.is_memory:
        finding = Finding(
            "connection", Level.NOTE, "The store is the memory of this process: there is no server to look at.",
            "For anything but development and tests, name a server.",
        )  # fmt: skip
        return Diagnosis(app.label, shown, settings.key_prefix, (finding,))
    if settings.is_sql:
        finding = Finding(
            "connection", Level.NOTE, "The store is in tables of a database: there is no server to look at.",
            "`manage.py check --database ALIAS` checks the tables.",
        )  # fmt: skip
        return Diagnosis(app.label, shown, settings.key_prefix, (finding,))
    try:
        found = survey(settings)
    except StoreError as error:
        remedy = "Start the server, or correct url and connection." if isinstance(error, ConnectionError) else ""
        finding = Finding("connection", Level.ERROR, str(error), remedy, "", {"error": type(error).__name__})
        return Diagnosis(app.label, shown, settings.key_prefix, (finding,), connected=False)
    project = Project(app.project_name, tuple(app.task_names()))
    return Diagnosis(app.label, shown, settings.key_prefix, tuple(findings(found, settings, project, _now_ms())))


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def findings(found: Survey, settings: StoreSettings, project: Project, now_ms: int) -> list[Finding]:
    """Return the findings of a survey, in the order of `CHECKS`. Pure: no server is asked.

    Args:
        found: the survey.
        settings: of the store.
        project: who asks.
        now_ms: the time, ms since the epoch.
    """
    all_findings: list[Finding] = []
    for server in found.servers:
        service = service_of(server)
        all_findings.append(
            Finding("connection", Level.OK, f"Connected in {server.round_trip_ms:.1f} ms a call.", "", server.address)
        )
        all_findings += server_findings(server, settings, service)
        all_findings += access_findings(server, settings, now_ms)
        all_findings += durability_findings(server, settings, service)
    for warning in found.sentinel_warnings:
        all_findings.append(
            Finding("sentinels", Level.WARNING, f"{warning}.", "Start it, or remove it from the list of Sentinels.")
        )
    if settings.is_sentinel and not found.sentinel_warnings:
        all_findings.append(Finding("sentinels", Level.OK, "All Sentinels name the same master."))
    all_findings += work_findings(found, settings.key_prefix, project)
    return sorted(all_findings, key=lambda finding: CHECKS.index(finding.check))


def exit_status(diagnoses: list[Diagnosis], *, strict: bool) -> int:
    """Return the exit status: 0, 1 (warnings, if ``strict``), 2 (errors), 3 (a store could not be reached)."""
    if not all(one.connected for one in diagnoses):
        return 3
    worst = max((one.level for one in diagnoses), default=Level.OK)
    if worst == Level.ERROR:
        return 2
    return 1 if strict and worst == Level.WARNING else 0
