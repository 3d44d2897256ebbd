"""touch: it writes whenever it is called, and nothing but its own key."""

from __future__ import annotations

from streamtasks.stores.redis.operations.durable import touch_call
from tests.support.script_lab import ScriptLab


def test_it_writes_each_time_and_only_its_own_key(lab: ScriptLab) -> None:
    before = lab.dump()
    for _ in range(2):
        assert len(lab.run(touch_call(lab.keys, "a"))) == 1
        assert bytes(lab.client.get(lab.keys.touched) or b"").endswith(b" a")
    lab.client.delete(lab.keys.touched)
    assert lab.dump() == before
