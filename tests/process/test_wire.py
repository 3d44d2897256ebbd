"""Producers and workers with different settings, in processes of their own."""

from __future__ import annotations

from typing import Any

import pytest

from streamtasks import State
from streamtasks.exceptions import EncodingRefused
from tests.support.fleet import Fleet

LONG = "long " * 1000
OLD, NEW = "the old secret, long enough to count", "the new secret, long enough to count"


def test_a_mixed_fleet(fleet: Fleet) -> None:
    ways: list[dict[str, Any]] = [
        {},
        {"serializer": "msgpack"},
        {"serializer": "json", "compression": "gzip"},
        {"serializer": "msgpack", "compression": "lz4"},
        {"serializer": "pickle", "compression": "zstd", "signing_keys": [NEW, OLD]},
    ]
    fleet.configure(serializer="pickle", compression="zstd", signing_keys=[NEW, OLD])
    fleet.start("--concurrency", "1")
    for way in ways:
        fleet.settings = {}
        fleet.configure(**way)
        result = fleet.enqueue("add", LONG, "end")
        assert [one.id for one in fleet.app.store.wait_finished([result.id], 60)] == [result.id]
        if way.get("serializer") == "pickle":
            assert result.get(timeout=60) == LONG + "end"
        else:
            with pytest.raises(EncodingRefused, match="reads no pickles"):
                result.get(timeout=60)
    fleet.configure(serializer="pickle", signing_keys=[OLD])
    again = fleet.enqueue("add", "signed with ", "the old key")
    assert fleet.app.store.wait_finished([again.id], 60)
    assert again.state == State.SUCCESS


def test_a_worker_set_to_json_refuses_pickles_and_lives(fleet: Fleet) -> None:
    worker = fleet.start("--concurrency", "1")
    fleet.configure(serializer="pickle", signing_keys=[NEW])
    refused = fleet.enqueue("add", 1, 2)
    assert fleet.app.store.wait_finished([refused.id], 60)
    [letter] = fleet.app.dead_letters()
    assert (letter.reason, letter.id, letter.message().args) == ("refused", refused.id, [1, 2])
    fleet.configure(serializer="json")
    assert fleet.enqueue("add", 1, 2).get(timeout=60) == 3
    assert fleet.record.of(refused) == []
    assert "is refused and becomes a dead letter" in worker.log
