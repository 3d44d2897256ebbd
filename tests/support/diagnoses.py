"""A doctor's findings about an app."""

from __future__ import annotations

from typing import Any

from streamtasks import StreamTasks
from streamtasks.operations.doctor import Finding, diagnose


def shop(url: str, **settings: Any) -> StreamTasks:
    app = StreamTasks(url, label="shop:app", timeout_s=60.0, **settings)
    app.task(name="shop.add")(lambda a, b: a + b)
    return app


def found(url: str, check: str, **settings: Any) -> list[Finding]:
    return [finding for finding in diagnose(shop(url, **settings)).findings if finding.check == check]


def one(url: str, check: str, **settings: Any) -> Finding:
    [finding] = found(url, check, **settings)
    return finding


def port_of(url: str) -> int:
    return int(url.rpartition(":")[2].split("/")[0])
