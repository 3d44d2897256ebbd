"""The map of a Cluster: which errors make it out of date, and what part of several calls is sent again."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from redis.crc import key_slot
from redis.exceptions import AskError, ClusterDownError, MovedError, ReadOnlyError, ResponseError, TryAgainError
from redis.exceptions import ConnectionError as RedisConnectionError

from streamtasks import ConfigurationError, StoreSettings, StoreUnavailable
from streamtasks.protocol.keys import Keys
from streamtasks.protocol.shards import ALL_TAGS
from streamtasks.stores.redis.cluster import masters as masters_module
from streamtasks.stores.redis.cluster.masters import Masters
from streamtasks.stores.redis.cluster.pools import SomeFailed
from streamtasks.stores.redis.driver import BlockingDriver
from streamtasks.stores.redis.nodes import Node
from streamtasks.stores.redis.scripts import Call

SETTINGS = StoreSettings(url="redis+cluster://me:secret@one:7000,two:7000?socket_timeout=3", enqueue_timeout_s=0.2)
SLOTS = [[0, 8191, [b"one", 7000, b"id1"], [b"replica", 7000, b"id3"]], [8192, 16383, [b"two", 7000, b"id2"]]]
FIRST, LAST = ALL_TAGS[0], ALL_TAGS[-1]
"""In the first slots and in the last."""


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(masters_module, "time", made)
    return made


def look(masters: Masters, **replies: Any) -> list[str]:
    """Answer for the nodes, by their hosts; return which were asked."""
    asked = []
    steps = masters.look()
    try:
        node = next(steps)
        while True:
            asked.append(node.host)
            node = steps.send(replies[node.host])
    except StopIteration:
        return asked


@pytest.fixture
def masters(clock: Clock) -> Masters:
    made = Masters(SETTINGS)
    assert made.wants_look
    assert look(made, one=SLOTS) == ["one"]
    clock.now += 1
    return made


def test_every_shard_has_its_master(masters: Masters) -> None:
    assert masters.of(FIRST).url == "redis://me:secret@one:7000/0?socket_timeout=3"
    assert masters.of(LAST).url == "redis://me:secret@two:7000/0?socket_timeout=3"
    assert masters.of(FIRST) is masters.of(ALL_TAGS[1]), "one pool for each"
    assert not masters.wants_look


def test_a_node_that_does_not_know_its_own_name_is_where_it_was_asked(clock: Clock) -> None:
    masters = Masters(SETTINGS)
    assert look(masters, one=RedisConnectionError("gone"), two=[[0, 16383, [None, 7001, b"id"]]]) == ["one", "two"]
    assert "@two:7001/0" in masters.of(FIRST).url


def test_a_slot_that_has_moved_is_known_at_once(masters: Masters) -> None:
    assert "@one:7000/0" in masters.of(FIRST).url
    masters.note(MovedError(f"{key_slot(FIRST.encode())} three:7002"))
    assert "@three:7002/0" in masters.of(FIRST).url
    assert "@one:7000/0" in masters.of(ALL_TAGS[1]).url
    assert masters.wants_look, "others may have moved as well"


@pytest.mark.parametrize(
    ("error", "stale"),
    [
        (RedisConnectionError("closed"), True),
        (TimeoutError("silent"), True),
        (ClusterDownError("down"), True),
        (ReadOnlyError("a replica"), True),
        (TryAgainError("moving"), False),
        (AskError("100 three:7002"), False),
        (ResponseError("OOM command not allowed"), False),
    ],
    ids=repr,
)
def test_what_makes_the_map_out_of_date(masters: Masters, error: Exception, stale: bool) -> None:
    masters.note(error)
    assert masters.wants_look is stale
    assert "@one:7000/0" in masters.of(FIRST).url


def test_it_is_asked_for_seldom(masters: Masters, clock: Clock) -> None:
    masters.note(ClusterDownError("down"))
    assert set(look(masters, one=SLOTS, two=SLOTS)) <= {"one", "two"}
    masters.note(ClusterDownError("down"))
    assert not masters.wants_look
    clock.now += 0.2
    assert masters.wants_look


def test_a_slot_that_nobody_serves(clock: Clock) -> None:
    masters = Masters(SETTINGS)
    assert look(masters, one=SLOTS[:1], two=[]) == ["one", "two"]
    assert "@one:7000/0" in masters.of(FIRST).url
    clock.now += 1
    with pytest.raises(RedisConnectionError, match=r"no node of the Cluster at one:7000, two:7000 serves slot"):
        masters.of(LAST)
    assert masters.wants_look


def test_a_node_that_knows_of_some_slots_only_does_not_count(clock: Clock) -> None:
    """It has joined just now, or was cut off."""
    masters = Masters(SETTINGS)
    assert look(masters, one=SLOTS[1:], two=SLOTS) == ["one", "two"]
    assert "@one:7000/0" in masters.of(FIRST).url
    masters.note(ClusterDownError("down"))
    some = [[0, 300, [b"one", 7000, b"id1"]]]
    assert len(look(masters, one=some, two=SLOTS[:1])) == 2
    assert "@one:7000/0" in masters.of(ALL_TAGS[1]).url, "that of the node that knows most"


def test_no_node_answers(masters: Masters) -> None:
    with pytest.raises(RedisConnectionError, match=r"no node of the Cluster answers: .*two:7000 knows of no slots"):
        look(masters, one=RedisConnectionError("gone"), two=[])


def test_a_server_that_is_no_node(masters: Masters) -> None:
    reply = ResponseError("ERR This instance has cluster support disabled")
    with pytest.raises(ConfigurationError, match="is no node of a Cluster"):
        look(masters, one=reply, two=reply)


class Pool:
    """Answers as told: each entry is for one exchange."""

    def __init__(self, *answers: list[Any]) -> None:
        self.answers = list(answers)
        self.sent: list[list[str]] = []

    def exchange(self, calls: list[Call], _behind: object = None) -> list[Any]:
        self.sent.append([call.tag for call in calls])
        replies = self.answers.pop(0)
        failed = [place for place, reply in enumerate(replies) if isinstance(reply, Exception)]
        if failed:
            raise SomeFailed(replies, [], failed, replies[failed[0]])
        return replies


def replies_of(pool: Any, *tags: str) -> list[Any]:
    driver: Any = BlockingDriver(StoreSettings(tags=("a", "b", "c"), timeout_s=0.2))
    driver.pool = lambda: pool
    script: Any = SimpleNamespace(sha="")
    found: list[Any] = driver._replies([Call(script, [Keys("", tag).ready], []) for tag in tags])
    return found


def test_only_what_failed_is_sent_again() -> None:
    """What succeeded may not be asked again: enqueueing would answer that the id is known."""
    down = ClusterDownError("down")
    pool = Pool([1, down, 3], [down], [2])
    assert replies_of(pool, "a", "b", "c") == [1, 2, 3]
    assert pool.sent == [["a", "b", "c"], ["b"], ["b"]]


def test_what_never_succeeds_is_an_error_at_the_deadline() -> None:
    with pytest.raises(StoreUnavailable, match=r"in 0\.2 s: moving"):
        replies_of(Pool(*([[1, TryAgainError("moving")]] + [[TryAgainError("moving")]] * 99)), "a", "b")


def test_addresses_of_any_form() -> None:
    assert str(Node("::1", 7000)) == "[::1]:7000"
    assert "[::1]:7000" in str(next(Masters(StoreSettings(url="redis+cluster://[::1]:7000")).look()))


class TestAbsence:
    """A keeper has a hundred loops that try again; not each of them connects."""

    def test_a_master_that_cannot_be_reached_is_tried_now_and_then(self, masters: Masters, clock: Clock) -> None:
        tries = 0
        for _ in range(1000):  # 10 s
            clock.now += 0.01
            if masters.absence("one:7000") is None:
                tries += 1
                masters.note_reached("one:7000", RedisConnectionError("refused"))
        assert 10 <= tries <= 45
        assert str(masters.absence("one:7000")) == "refused"
        assert masters.absence("two:7000") is None

    def test_it_is_tried_at_once_when_it_has_answered(self, masters: Masters) -> None:
        masters.note_reached("one:7000", RedisConnectionError("refused"))
        masters.note_reached("one:7000", None)
        assert masters.absence("one:7000") is None

    def test_nobody_is_asked_again_at_once_when_no_node_answered(self, clock: Clock) -> None:
        masters, away = Masters(SETTINGS), RedisConnectionError("refused")
        for _ in range(2):
            with pytest.raises(RedisConnectionError, match="no node of the Cluster answers: one:7000: refused"):
                look(masters, one=away, two=away)
            with pytest.raises(RedisConnectionError, match="no node of the Cluster answers: one:7000: refused"):
                next(masters.look())
            clock.now += 1.0
        assert look(masters, one=SLOTS) == ["one"]
