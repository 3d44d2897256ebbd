"""What a diagnosis is made of."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Diagnosis", "Finding", "Level"]


class Level(enum.IntEnum):
    """How bad a finding is."""

    OK = 0
    NOTE = 1
    """Something to know, or that could not be found out."""
    WARNING = 2
    """Something is lost, late or not done if more comes to it."""
    ERROR = 3
    """Tasks are lost or not carried out as it is."""

    @property
    def word(self) -> str:
        """The level in reports: ``"ok"``, ``"note"``, ``"warning"`` or ``"error"``."""
        return self.name.lower()


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        check: what was looked at, one of `streamtasks.operations.doctor.CHECKS`; stable.
        level: how bad it is.
        message: what was found, one sentence or two.
        remedy: what to do; empty for what is well.
        where: the address of a server, the tag of a shard, or the name of a queue; empty: the whole store.
        values: the figures in the message, by stable names.
    """

    check: str
    level: Level
    message: str
    remedy: str = ""
    where: str = ""
    values: Mapping[str, Any] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Return it for JSON."""
        return {
            "check": self.check,
            "level": self.level.word,
            "where": self.where,
            "message": self.message,
            "remedy": self.remedy,
            "values": dict(self.values),
        }


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """All findings about one app.

    Attributes:
        app: its label.
        address: the URL of its store, without user and password.
        key_prefix: the first characters of its keys.
        findings: in the order of `streamtasks.operations.doctor.CHECKS`.
        connected: whether its store could be reached; else the only finding says why.
    """

    app: str
    address: str
    key_prefix: str
    findings: tuple[Finding, ...]
    connected: bool = True

    @property
    def level(self) -> Level:
        """The level of the worst finding."""
        return max((finding.level for finding in self.findings), default=Level.OK)

    def as_dict(self) -> dict[str, Any]:
        """Return it for JSON."""
        return {
            "app": self.app,
            "address": self.address,
            "key_prefix": self.key_prefix,
            "connected": self.connected,
            "level": self.level.word,
            "findings": [finding.as_dict() for finding in self.findings],
        }
