"""What a worker makes of messages in encodings that it may not or cannot read, and how it writes results."""

from __future__ import annotations

import sys
import time
from typing import Any

import pytest

from streamtasks import Message, StoreSettings, StreamTasks
from streamtasks.protocol import compression as packing
from streamtasks.protocol.json import dumps
from streamtasks.protocol.wire import RESULT
from streamtasks.stores.types import Claimed, Outcome
from streamtasks_workers.executor.prepared import Prepared
from streamtasks_workers.executor.runner import Runner

KEY = "a secret that is long enough to be one"
CALL = Message(id="id-1", task="task", args=["x" * 3000])


def claimed(data: bytes, **changes: Any) -> Claimed:
    return Claimed("id-1", "w#1", "0:default", "1-0", 1, 0, 0, b"1000 " + data)._replace(**changes)


def start(what: Claimed, **settings: Any) -> tuple[Runner, Prepared | Outcome]:
    app = StreamTasks(**settings)
    app.task(name="task")(lambda value: [value] * 3)
    runner = Runner(app, "w")
    prepared = runner.prepare(what, time.monotonic_ns(), lambda data: None)
    return runner, prepared.outcome or prepared


def written(serializer: str = "json", compression: str | None = None, key: str = KEY) -> bytes:
    return CALL.encode(10_000, StoreSettings(serializer=serializer, compression=compression, signing_keys=(key,)).wire)


@pytest.mark.parametrize("reader", ["json", "msgpack", "pickle"])
@pytest.mark.parametrize("compression", [None, "gzip", "lz4", "zstd"])
@pytest.mark.parametrize("writer", ["json", "msgpack"])
def test_fleets_may_be_mixed(writer: str, reader: str, compression: str | None) -> None:
    runner, prepared = start(claimed(written(writer, compression)), serializer=reader, signing_keys=(KEY,))
    assert isinstance(prepared, Prepared)
    outcome = runner.run(prepared)
    wire = StoreSettings(serializer=reader, signing_keys=(KEY,)).wire
    assert wire.loads(outcome.result, RESULT, "id-1") == {"r": ["x" * 3000] * 3}


def test_a_result_is_compressed_and_only_then_measured() -> None:
    runner, prepared = start(claimed(written("json", "zstd")), compression="zstd", max_payload_bytes=2000)
    assert isinstance(prepared, Prepared)
    outcome = runner.run(prepared)
    assert (outcome.state, outcome.result[:1]) == ("SUCCESS", b"Z")


@pytest.mark.parametrize(
    ("data", "settings"),
    [
        (written("pickle"), {}),
        (written("pickle", "gzip"), {}),
        (written("pickle"), {"serializer": "msgpack"}),
        (written("pickle", key=KEY[::-1]), {"serializer": "pickle", "signing_keys": (KEY,)}),
        (CALL.encode(10_000, StoreSettings(compression="gzip").wire), {"max_decompressed_bytes": 1000}),
        (b"Gxx", {}),
    ],
    ids=["pickle", "compressed pickle", "pickle for msgpack", "wrong key", "too large", "damaged"],
)
def test_what_it_may_not_read_is_a_dead_letter(data: bytes, settings: dict[str, Any]) -> None:
    _, outcome = start(claimed(data), **settings)
    assert isinstance(outcome, Outcome)
    assert (outcome.state, outcome.note) == ("DEAD", "refused")
    recorded = StoreSettings(**settings).wire.loads(outcome.result, RESULT, "id-1")
    assert recorded["e"]["type"] == "streamtasks.exceptions.EncodingRefused"


def test_a_message_of_another_task_is_refused_if_signed() -> None:
    moved = claimed(written("pickle"), id="id-2")
    _, outcome = start(moved, serializer="pickle", signing_keys=(KEY,))
    assert isinstance(outcome, Outcome)
    assert outcome.note == "refused"


def test_what_another_worker_can_read_waits_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    data = written("json", "lz4")
    packing._method.cache_clear()  # pyright: ignore[reportPrivateUsage]
    monkeypatch.setitem(sys.modules, "lz4.frame", None)
    _, waits = start(claimed(data))
    _, dead = start(claimed(data, attempt=10))
    assert isinstance(waits, Outcome)
    assert isinstance(dead, Outcome)
    assert (waits.state, waits.delay_ms) == ("RETRY", 30_000)
    assert "streamtasks[lz4]" in waits.note
    assert (dead.state, dead.note) == ("DEAD", "undecodable")


def test_plain_json_is_read_whatever_the_settings_say() -> None:
    callback = dumps({"v": 1, "id": "id-1", "t": "task", "a": ["b"], "k": {}, "q": "default", "p": 0})
    for settings in (
        {},
        {"serializer": "pickle", "signing_keys": (KEY,)},
        {"serializer": "msgpack", "compression": "gzip"},
    ):
        assert isinstance(start(claimed(callback), **settings)[1], Prepared)
