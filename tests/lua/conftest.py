"""A laboratory on an empty server for every test of a script."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import redis

from tests.support.script_lab import ScriptLab

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def lab(server_url: str) -> Iterator[ScriptLab]:
    with redis.Redis.from_url(server_url, protocol=2) as client:
        yield ScriptLab(client)
