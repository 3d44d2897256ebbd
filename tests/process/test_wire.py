"""Producers and workers with different settings, in processes of their own."""

from __future__ import annotations

from typing import Any

import pytest

from streamtasks import State
from streamtasks.exceptions import EncodingRefused
from tests.support.workers import Field

LONG = "long " * 1000


def test_a_mixed_fleet(field: Field) -> None:
    ways: list[dict[str, Any]] = [
        {},
        {"serializer": "msgpack"},
        {"serializer": "json", "compression": "gzip"},
        {"serializer": "msgpack", "compression": "lz4"},
        {"serializer": "pickle", "compression": "zstd", "signing_keys": ["new", "old"]},
    ]
    field.configure(serializer="pickle", compression="zstd", signing_keys=["new", "old"])
    field.start("--concurrency", "1")
    for way in ways:
        field.settings = {}
        field.configure(**way)
        result = field.enqueue("add", LONG, "end")
        assert [one.id for one in field.app.store.wait_finished([result.id], 10)] == [result.id]
        if way.get("serializer") == "pickle":
            assert result.get(timeout=10) == LONG + "end"
        else:
            with pytest.raises(EncodingRefused, match="reads no pickles"):
                result.get(timeout=10)
    field.configure(serializer="pickle", signing_keys=["old"])
    again = field.enqueue("add", "signed with ", "the old key")
    assert field.app.store.wait_finished([again.id], 10)
    assert again.state == State.SUCCESS


def test_a_worker_set_to_json_refuses_pickles_and_lives(field: Field) -> None:
    worker = field.start("--concurrency", "1")
    field.configure(serializer="pickle", signing_keys=["key"])
    refused = field.enqueue("add", 1, 2)
    assert field.app.store.wait_finished([refused.id], 10)
    [letter] = field.app.dead_letters()
    assert (letter.reason, letter.id, letter.message().args) == ("refused", refused.id, [1, 2])
    field.configure(serializer="json")
    assert field.enqueue("add", 1, 2).get(timeout=10) == 3
    assert field.record.of(refused) == []
    assert "is refused and becomes a dead letter" in worker.log
