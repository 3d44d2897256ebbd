"""Which replicas are away, by what Sentinels tell of them; no server."""

from __future__ import annotations

import pytest

from streamtasks.stores.redis.nodes import Node
from streamtasks.stores.redis.sentinel.replicas import FRESH_S, Replicas, Report, is_away, report_of

OLD, NEW, A = (Node("127.0.0.1", port) for port in (1, 2, 3))
SENTINELS = [Node("127.0.0.1", port) for port in (11, 12, 13)]
REPLICA = {
    "flags": "slave",
    "role-reported": "slave",
    "master-host": "127.0.0.1",
    "slave-repl-offset": "1200",
    "last-ok-ping-reply": "300",
}
"""As a Sentinel tells of one that follows."""


@pytest.mark.parametrize(
    ("about", "away"),
    [
        pytest.param({}, False, id="follows"),
        pytest.param({"flags": "slave,s_down"}, True, id="dead"),
        pytest.param({"flags": "slave,disconnected"}, False, id="connection just broke"),
        pytest.param({"flags": "slave,disconnected", "last-ok-ping-reply": "2100"}, True, id="silent"),
        pytest.param({"last-ok-ping-reply": "2100"}, False, id="connected and slow"),
        pytest.param({"master-host": "?", "last-ok-ping-reply": "2100"}, True, id="not heard since the failover"),
        pytest.param({"master-host": "?"}, False, id="not heard yet"),
        pytest.param({"master-host": "?", "role-reported": "master"}, True, id="old master is back"),
        pytest.param({"role-reported": "master"}, False, id="becomes the master"),
        pytest.param(
            {"role-reported": "master", "slave-repl-offset": "0"}, False, id="becomes it, nothing written yet"
        ),
        pytest.param({"flags": "slave,promoted,disconnected", "last-ok-ping-reply": "2100"}, False, id="promoted"),
        pytest.param({"flags": "slave,promoted,s_down"}, False, id="promoted and dead"),
    ],
)
def test_away(about: dict[str, str], away: bool) -> None:
    assert is_away(REPLICA | about) is away


def taught(
    *away: bool, master: Node = NEW, sentinels: int = 3, unseen: bool = False, replicas: Replicas | None = None
) -> Replicas:
    """Return what is known when so many Sentinels have told whether a replica is away, at second 100."""
    replicas = replicas or Replicas()
    for sentinel, one in zip(SENTINELS, away, strict=False):
        nodes = frozenset([A] if one else [])
        report = Report(master, 2, frozenset() if unseen else nodes, nodes if unseen else frozenset(), sentinels)
        replicas.take(sentinel, report, 100.0)
    return replicas


def test_most_sentinels_must_have_said_so() -> None:
    assert taught().away(NEW, 3, 100.0) == 0
    assert taught(True).away(NEW, 3, 100.0) == 0
    assert taught(True, False).away(NEW, 3, 100.0) == 0
    assert taught(True, True).away(NEW, 3, 100.0) == 1
    assert taught(True, False, True).away(NEW, 3, 100.0) == 1
    assert taught(True, True).total == 2


def test_also_those_that_we_are_not_told_of() -> None:
    assert taught(True, sentinels=1).away(NEW, 1, 100.0) == 1
    assert taught(True, sentinels=3).away(NEW, 1, 100.0) == 0
    assert taught(True, True, sentinels=5).away(NEW, 2, 100.0) == 0


def test_it_must_be_about_this_master_and_not_long_ago() -> None:
    assert taught(True, True, True).away(OLD, 3, 100.0) == 0
    assert taught(True, True, True).away(None, 3, 100.0) == 0
    assert taught(True, True, True).away(NEW, 3, 100.0 + FRESH_S) == 1
    assert taught(True, True, True).away(NEW, 3, 100.1 + FRESH_S) == 0


def test_one_that_is_away_outranks_the_old_master_that_was_not_seen_yet() -> None:
    """It follows already, but is not promoted: the other one is, when it is back."""
    replicas = Replicas()
    for sentinel in SENTINELS[:2]:
        replicas.take(sentinel, Report(NEW, 2, frozenset([A]), frozenset([OLD]), 3), 100.0)
    assert replicas.outranks({OLD}, NEW, 3, 100.0)
    assert not replicas.outranks({OLD, A}, NEW, 3, 100.0), "it has it"
    assert not replicas.outranks(set(), NEW, 3, 100.0), "nobody has acknowledged"
    assert not replicas.outranks({OLD}, NEW, 3, 101.0 + FRESH_S)
    replicas.take(SENTINELS[0], Report(NEW, 2, frozenset([A]), frozenset(), 3), 101.0)
    assert not replicas.outranks({OLD}, NEW, 3, 101.0), "it was seen: it has more, so it is promoted"


def test_each_sentinel_counts_once_for_each_replica() -> None:
    replicas = taught(True)
    replicas.take(SENTINELS[0], Report(NEW, 2, frozenset([A]), sentinels=3), 100.0)
    replicas.take(SENTINELS[1], Report(NEW, 2, frozenset([OLD]), sentinels=3), 100.0)
    assert replicas.away(NEW, 3, 100.0) == 0
    replicas.take(SENTINELS[1], Report(NEW, 2, frozenset([A, OLD]), sentinels=3), 100.0)
    assert replicas.away(NEW, 3, 100.0) == 1


def test_the_master_before_is_away_until_it_was_seen_as_a_replica() -> None:
    before = taught(False, False, master=A)
    assert taught(True, True, unseen=True, replicas=before).away(NEW, 3, 100.0) == 1
    assert taught(False, False, unseen=True, replicas=before).away(NEW, 3, 100.0) == 0
    other = taught(False, False, master=OLD)
    assert taught(True, True, unseen=True, replicas=other).away(NEW, 3, 100.0) == 0
    assert taught(True, True, unseen=True).away(NEW, 3, 100.0) == 0


def told(**more: str) -> dict[str, str]:
    return {"ip": NEW.host, "port": str(NEW.port), "num-slaves": "2", "num-other-sentinels": "2", **more}


def test_what_a_sentinel_tells() -> None:
    dead = REPLICA | {"ip": A.host, "port": str(A.port), "flags": "slave,s_down", "master-host": "?"}
    assert report_of(NEW, told(), [REPLICA, dead]) == Report(NEW, 2, frozenset([A]), frozenset([A]), 3)
    assert report_of(OLD, told(), [dead]) is None, "the master has changed between two answers"
    assert report_of(NEW, {}, []) is None, "it may not tell"
