"""Which other workers know a task."""

from __future__ import annotations

from typing import Any

import pytest

from streamtasks.exceptions import StoreUnavailable
from streamtasks.protocol.task_digests import digests
from streamtasks.stores.inspection_types import LIVE_MS, WorkerInfo
from streamtasks_workers.executor import other_workers
from streamtasks_workers.executor.other_workers import OtherWorkers

NOW_MS = 1_800_000_000_000


def others(silent_ms: int = 0, **about: Any) -> OtherWorkers:
    known = {"tasks": digests(["shop.add", "shop.mail"])} | about
    return OtherWorkers(lambda: [WorkerInfo("w", NOW_MS, known, silent_ms)])


def test_one_that_knows_it() -> None:
    assert others().know("shop.add", "mail")
    assert not others().know("blog.add", "mail")
    assert not others(tasks="").know("shop.add", "mail")
    assert not OtherWorkers(list).know("shop.add", "mail")


def test_one_of_an_older_release_says_nothing_of_tasks() -> None:
    silent = OtherWorkers(lambda: [WorkerInfo("w", NOW_MS, {"queues": []})])
    assert not silent.know("shop.add", "mail")


def test_one_that_is_gone() -> None:
    assert others(LIVE_MS).know("shop.add", "mail")
    assert not others(LIVE_MS + 1).know("shop.add", "mail")


@pytest.mark.parametrize(
    ("mode", "queues", "serves"),
    [
        ("all", [], True),
        ("only", ["mail"], True),
        ("only", ["a"], False),
        ("except", ["mail"], False),
        ("except", [], True),
    ],
)
def test_one_that_serves_the_queue(mode: str, queues: list[str], serves: bool) -> None:
    assert others(queue_mode=mode, queues=queues).know("shop.add", "mail") is serves


def test_the_store_is_asked_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def read() -> list[WorkerInfo]:
        asked.append(1)
        return []

    known = OtherWorkers(read)
    assert not any(known.know("shop.add", "mail") for _ in range(5))
    assert len(asked) == 1
    monkeypatch.setattr(other_workers, "KNOWN_S", 0.0)
    known.know("shop.add", "mail")
    assert len(asked) == 2


def test_a_store_that_is_away() -> None:
    def read() -> list[WorkerInfo]:
        raise StoreUnavailable("away")

    assert not OtherWorkers(read).know("shop.add", "mail")
