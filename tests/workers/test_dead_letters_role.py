"""The role that logs that dead letters were deleted."""

from __future__ import annotations

import pytest

from streamtasks import StoreSettings
from streamtasks_workers.process.options import WorkerOptions
from streamtasks_workers.roles import ROLES
from streamtasks_workers.roles.base import ServedApp
from streamtasks_workers.roles.dead_letters import DeadLetters


class Woken(DeadLetters):
    """Notes whether it was woken."""

    woken = False

    def wake(self) -> None:
        self.woken = True


async def test_it_says_so_at_once_and_then_once_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    app = ServedApp("shop", StoreSettings(max_dead_letters=7), object(), WorkerOptions())  # type: ignore[arg-type]
    role = Woken(app, "u0")
    assert DeadLetters in ROLES
    await role.run_once()
    role.missed("")
    assert not role.woken
    role.heard("u0", "dead 3")
    assert role.woken
    role.woken = False
    await role.run_once()
    for _ in range(100):
        role.heard("u0", "dead 2")
    assert not role.woken, "what comes within the minute waits for its end"
    await role.run_once()
    await role.run_once()
    role.heard("u0", "dead 1")
    assert role.woken
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == 2
    assert "shop: the oldest dead letters of shard u0 were deleted (3): it keeps max_dead_letters=7" in lines[0]
    assert "(200)" in lines[1]
