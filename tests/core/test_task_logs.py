"""Lines of attempts in the stores: bounded, alike on a server and in memory, gone with the record."""

from __future__ import annotations

import asyncio
import random
import secrets
from typing import TYPE_CHECKING

import pytest

from streamtasks import StoreSettings
from streamtasks.exceptions import ConfigurationError
from streamtasks.protocol.log_lines import LogLine, decode_lines, encode_line
from streamtasks.protocol.message import Message
from streamtasks.stores.factory import open_store, open_supervisor_store
from streamtasks.stores.inspection_types import NewLog
from streamtasks.stores.memory import MemoryServer
from streamtasks.stores.types import NewMessage
from tests.support.manual_consumer import Consumer
from tests.support.waiting import DEADLINE_S

if TYPE_CHECKING:
    from collections.abc import Callable

HALF = 2048


def settings_of(url: str) -> StoreSettings:
    return StoreSettings(url=url, log_bytes=2 * HALF, timeout_s=DEADLINE_S, enqueue_timeout_s=DEADLINE_S)


def enqueue(settings: StoreSettings, *ids: str) -> None:
    messages = [NewMessage(one, "default", 0, Message(id=one, task="t", args=[]).encode(1 << 20)) for one in ids]
    open_store(settings).enqueue(messages)


def appender(settings: StoreSettings) -> tuple[asyncio.Runner, Callable[..., list[int]]]:
    runner = asyncio.Runner()

    async def append(some: list[NewLog], nonce: str) -> list[int]:
        return await open_supervisor_store(settings).append_logs(some, nonce)

    return runner, lambda *some, nonce="": runner.run(append(list(some), nonce or secrets.token_hex(4)))


def line(number: int, size: int = 0) -> bytes:
    return encode_line(LogLine(number, 1, "INFO", "shop", f"{number}{'x' * size}"), HALF // 2)


@pytest.fixture(params=["server", "memory"])
def settings(request: pytest.FixtureRequest, server_url: str) -> StoreSettings:
    if request.param == "server":
        return settings_of(server_url)
    url = "memory://test-task-logs"
    MemoryServer.discard(url)
    return settings_of(url)


def test_lines_live_as_long_as_their_task(settings: StoreSettings) -> None:
    store = open_store(settings)
    enqueue(settings, "a")
    runner, append = appender(settings)
    with runner, Consumer(store) as hand:
        assert append(NewLog("a", line(1)), NewLog("unknown", line(1)), nonce="n") == [1, 0]
        assert append(NewLog("a", line(1)), nonce="n") == [1]
        logs = store.logs("a")
        assert logs is not None
        assert [one.text for one in logs.lines] == ["1"], "nothing is kept twice"
        assert store.logs("a", 1) is None
        assert hand.succeed() == ["a"]
        assert append(NewLog("a", line(2), 5, line(8))) == [2]
        logs = store.logs("a", 1)
        assert logs is not None
        assert ([one.text for one in logs.first], logs.left_out, [one.text for one in logs.last]) == (
            ["1", "2"],
            5,
            ["8"],
        )
        assert logs.total == 8
        assert logs.after(1) == (0, logs.first[1:])
        assert logs.after(2) == (5, logs.last)
        assert logs.after(8) == (0, [])
        assert store.delete_result("a")
        assert append(NewLog("a", line(3))) == [0]
    found = store.logs("a")
    assert found is not None
    assert found.total == 0
    assert store.logs("unknown") == found


def test_a_server_keeps_what_memory_keeps(server_url: str) -> None:
    MemoryServer.discard("memory://test-task-logs")
    both = [settings_of(server_url), settings_of("memory://test-task-logs")]
    randomly = random.Random(4711)
    steps = []
    for number in range(60):
        first, last = (
            b"".join(line(number, randomly.choice((0, 300, 900))) for _ in range(randomly.choice((0, 1, 5))))
            for _ in "ab"
        )
        skipped = randomly.choice((0, 0, 0, 0, 0, 0, 7))
        steps.append(NewLog("a", first, skipped, last))
    for settings in both:
        enqueue(settings, "a")
    appenders = [appender(settings) for settings in both]
    on_server = None
    for step in steps:
        for _, append in appenders:
            append(step)
        on_server, in_memory = (open_store(settings).logs("a") for settings in both)
        assert on_server == in_memory
        assert on_server is not None
        for part in (on_server.first, on_server.last):
            assert sum(len(encode_line(one, HALF)) for one in part) <= HALF
    assert on_server is not None
    assert on_server.left_out
    for runner, _ in appenders:
        runner.close()


@pytest.mark.parametrize(
    "text", ["", "plain", "\0\x1b\u2028\ud800\n" * 9, "\x00" * 5_000, "\u20ac" * 5_000, "y" * 10_000_000]
)
def test_any_text_is_a_short_line_that_is_read_again(text: str) -> None:
    data = encode_line(LogLine(1, 2, "INFO", "a", text), 4096)
    assert len(data) <= 4096
    assert data.count(b"\n") == 1
    [found] = decode_lines(data)
    assert found.text == text if len(text) < 100 else (found.text[0], found.text[-1]) == (text[0], text[-1])


def test_what_is_no_line_is_shown() -> None:
    assert [one.text for one in decode_lines(b"\xff\n[1]\n")] == ["\\xff", "[1]"]


def test_settings() -> None:
    assert StoreSettings().keeps_logs
    assert not StoreSettings(log_bytes=0).keeps_logs
    secret = ("0123456789" * 4,)
    assert not StoreSettings(encryption_keys=secret).keeps_logs, "it would stand on the server in clear"
    assert StoreSettings(signing_keys=secret).keeps_logs
    with pytest.raises(ConfigurationError, match="log_bytes is 100; it must be 4096 or more"):
        StoreSettings(log_bytes=100)
