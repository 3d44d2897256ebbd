"""read: everything known of messages, in every state, and nothing is changed by looking."""

from __future__ import annotations

import pytest

from streamtasks import StoreSettings
from streamtasks.stores.redis.batches import MOST_BYTES
from streamtasks.stores.redis.operations.read import read
from streamtasks.stores.redis.shards import Shards
from tests.support.script_lab import ScriptLab, outcome
from tests.support.server_dump import accepted_at


@pytest.fixture
def body(lab: ScriptLab) -> str:
    """`a` was enqueued; this is its body."""
    lab.enqueue("a", body=b"body")
    return f"{accepted_at(lab.now)} body"


def test_an_unknown_id(lab: ScriptLab) -> None:
    assert lab.read("a") == [[]]
    assert lab.dump() == {}


def test_a_queued_one(lab: ScriptLab, body: str) -> None:
    before = lab.dump()
    assert lab.read("a") == [[body, "", "", "", ""]]
    assert lab.dump() == before


def test_a_delayed_one(lab: ScriptLab) -> None:
    lab.enqueue("a", body=b"body", delay_ms=60_000)
    assert lab.read("a") == [[f"{accepted_at(lab.now)} body", lab.line("a"), "", "", str(lab.now + 60_000)]]


def test_a_running_one_with_progress(lab: ScriptLab, body: str) -> None:
    lab.progress(lab.claim_one(), data=b'{"n":1}')
    assert lab.read("a") == [[body, lab.line("a"), "", '{"n":1}', ""]]


def test_a_retried_one_with_its_history(lab: ScriptLab, body: str) -> None:
    lab.settle(outcome(lab.claim_one(), "RETRY", delay_ms=60_000))
    assert lab.read("a") == [[body, lab.line("a"), '{"kind":"RETRY"}\n', "", str(lab.now + 60_000)]]


def test_a_finished_one(lab: ScriptLab, body: str) -> None:
    lab.settle(outcome(lab.claim_one()))
    assert lab.read("a") == [[lab.dump()["r:a (expires)"]]]


def test_many_at_once_keep_their_order(lab: ScriptLab, body: str) -> None:
    lab.enqueue("b", "c")
    lab.settle(outcome(lab.claim_one()))
    parts = lab.read("c", "x", "a", "b", "c")
    assert [len(part) for part in parts] == [5, 0, 1, 5, 5]


def test_a_reply_is_bounded(lab: ScriptLab) -> None:
    half = b"x" * (MOST_BYTES // 2)
    lab.enqueue("a", "b", "c", "d", body=half)
    assert len(lab.read("a", "b", "c", "d")) == 2
    assert len(lab.read("unknown", "unknown", "a", "b", "c")) == 4
    lab.settle(*(outcome(one, result=b"y" * MOST_BYTES) for one in lab.claim("w", 1, count=1).claimed))
    assert len(lab.read("a", "b")) == 1
    snapshots, rounds = lab.complete(
        read(Shards(StoreSettings(key_prefix=lab.prefix)), ["a", "b", "nothing", "c", "d"])
    )
    assert [one and one.id for one in snapshots] == ["a", "b", None, "c", "d"]
    assert rounds == 3
