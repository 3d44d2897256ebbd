"""Managed services are told by their answers, and what they keep to themselves is reported as not known.

None of them can be started here. A proxy before a real server answers as their documentation and their users report.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import pytest
import redis

from streamtasks import StreamTasks
from streamtasks.operations.doctor import CHECKS, Finding, Level, diagnose
from streamtasks.operations.doctor.services import SERVICES
from tests.support.resp_proxy import CannedProxy


def unknown(name: str) -> str:
    return f"ERR unknown command `{name}`, with args beginning with: "


def no_right(name: str) -> str:
    return f"NOPERM User default has no permissions to run the '{name.lower()}' command"


class Canned(NamedTuple):
    """The answers of a service. ``unknown``: checks whose subject it does not tell."""

    refused: dict[str, str]
    info: dict[str, str | None]
    options: Mapping[str, Any] = MappingProxyType({})
    unknown: tuple[str, ...] = ()


AMAZON = {name: unknown(name) for name in ("CONFIG", "DEBUG", "SAVE", "REPLICAOF")}
ANSWERS = {
    "elasticache-serverless": Canned(
        AMAZON | {"ROLE": unknown("ROLE"), "WAIT": unknown("WAIT"), "WAITAOF": unknown("WAITAOF")},
        {"os": "Amazon ElastiCache", "aof_enabled": None, "maxmemory_policy": None, "maxmemory": None,
         "connected_slaves": None, "used_memory": None},
        {"most_arguments": 3_999, "refuses_keyless": True},
        ("eviction", "memory", "persistence", "replicas", "loss"),
    ),
    "elasticache": Canned(AMAZON, {"os": "Amazon ElastiCache", "executable": "-", "config_file": "-"}),
    "memorydb": Canned(
        AMAZON, {"os": "Amazon MemoryDB", "aof_enabled": None}, {}, ("persistence",)
    ),
    "memorystore": Canned(
        {"CONFIG": unknown("CONFIG"), "CLIENT": unknown("CLIENT")}, {"os": "Linux 5.15 x86_64"},
    ),
    "memorystore, Valkey": Canned(
        {"CONFIG GET": no_right("config|get"), "ACL": no_right("acl"), "ROLE": no_right("role"),
         "SCAN": no_right("scan")}, {"os": "Linux 5.15 x86_64"},
    ),
    "azure": Canned(
        {"CONFIG": unknown("CONFIG"), "CLUSTER": "ERR This instance has cluster support disabled"},
        {"os": "Linux 5.15.0-1064-azure x86_64"},
    ),
    "upstash": Canned(
        {"CONFIG": unknown("CONFIG"), "ROLE": unknown("ROLE"), "WAITAOF": unknown("WAITAOF"),
         "COMMAND": unknown("COMMAND")},
        {"upstash_version": "1.17.0", "os": None, "aof_enabled": None, "maxmemory_policy": None,
         "total_system_memory": None},
        {}, ("eviction", "persistence"),
    ),
    "redis-cloud": Canned(
        {"ROLE": "ERR unknown command 'ROLE'", "CLUSTER": "ERR command is not allowed",
         "WAIT": "ERR command is not allowed", "WAITAOF": "ERR command is not allowed"},
        {"os": "Linux 5.4.0-1092-aws x86_64"},
    ),
    "aiven": Canned(
        {name: unknown(name) for name in ("ACL", "CLUSTER", "COMMAND", "CONFIG", "DEBUG", "ROLE")}, {},
    ),
}  # fmt: skip


def port_of(url: str) -> int:
    return int(url.rpartition(":")[2].split("/")[0])


def by_check(url: str, **settings: Any) -> dict[str, Finding]:
    diagnosis = diagnose(StreamTasks(url, timeout_s=60.0, **settings))
    assert diagnosis.connected
    found = {finding.check: finding for finding in diagnosis.findings}
    assert set(found) <= set(CHECKS)
    return found


def test_all_eight_are_there() -> None:
    assert {name.partition(",")[0] for name in ANSWERS} == {service.key for service in SERVICES}
    assert len(SERVICES) == 8


@pytest.mark.parametrize("name", ANSWERS)
def test_a_service_is_told_by_its_answers(server_url: str, name: str) -> None:
    canned = ANSWERS[name]
    with redis.Redis.from_url(server_url) as client:
        client.config_set("maxmemory-policy", "noeviction")
    with CannedProxy(port_of(server_url), canned.refused, canned.info, **canned.options) as proxy:
        found = by_check(proxy.url)
    service = found["service"]
    assert service.values["service"] == name.partition(",")[0], service
    assert service.level == Level.NOTE
    assert service.values["lacks"]
    errors = [finding for finding in found.values() if finding.level == Level.ERROR]
    assert errors == []
    for check in canned.unknown:
        finding = found[check]
        assert (finding.level, finding.message.startswith("Not known: ")) == (Level.NOTE, True), finding
        assert finding.remedy, finding
    if "CONFIG" in canned.refused:
        assert "CONFIG SET" not in " ".join(finding.remedy for finding in found.values()), "it cannot be set there"


def test_eviction_is_set_where_the_service_sets_it(server_url: str) -> None:
    canned = ANSWERS["elasticache"]
    info = canned.info | {"maxmemory_policy": "volatile-lru"}  # what its default parameter group has
    with CannedProxy(port_of(server_url), canned.refused, info) as proxy:
        finding = by_check(proxy.url)["eviction"]
    assert (finding.level, finding.remedy) == (
        Level.ERROR, "Set maxmemory-policy to noeviction in the cluster's parameter group.",
    )  # fmt: skip


def test_limits_of_a_service_are_told(server_url: str) -> None:
    canned = ANSWERS["elasticache-serverless"]
    with CannedProxy(port_of(server_url), canned.refused, canned.info, **canned.options) as proxy:
        found = by_check(proxy.url)
    assert found["limits"].values == {"refuses_4000_arguments": True, "refuses_scripts_without_keys": True}
    assert (found["scripts"].level, found["rights"].level) == (Level.OK, Level.OK)
    assert "idle_poll" in found["service"].remedy


def test_durability_that_a_service_lacks_is_an_error(server_url: str) -> None:
    canned = ANSWERS["redis-cloud"]
    with CannedProxy(port_of(server_url), canned.refused, canned.info) as proxy:
        finding = by_check(proxy.url, durability="replicated")["durability"]
    assert (finding.level, "WAIT is refused" in finding.message) == (Level.ERROR, True)


def test_a_service_without_scripts(server_url: str) -> None:
    """As Oracle's cache is on sharded clusters."""
    refused = {name: f"ERR {name} is not supported" for name in ("EVAL", "EVALSHA", "FCALL")}
    with CannedProxy(port_of(server_url), refused) as proxy:
        finding = by_check(proxy.url)["scripts"]
    assert (finding.level, "runs scripts" in finding.remedy) == (Level.ERROR, True)


def test_an_operator_who_is_not_known_and_keeps_config_to_himself(server_url: str) -> None:
    with CannedProxy(port_of(server_url), {"CONFIG": unknown("CONFIG")}) as proxy:
        found = by_check(proxy.url)
    assert found["service"].values["service"] == "unknown"
    assert "operator" in found["persistence"].remedy


@pytest.mark.parametrize("refused", [("INFO",), ("INFO", "HELLO"), ("INFO", "HELLO", "CONFIG", "ROLE", "ACL", "TIME")])
def test_the_less_is_answered_the_more_is_not_known(server_url: str, refused: tuple[str, ...]) -> None:
    with CannedProxy(port_of(server_url), {name: unknown(name) for name in refused}) as proxy:
        found = by_check(proxy.url)
    for check in ("memory", "persistence", "replicas", "loss"):
        assert found[check].message.startswith("Not known: "), found[check]
    assert found["eviction"].message.startswith("Not known: ") == ("CONFIG" in refused)  # CONFIG tells it, too
    assert found["version"].message.startswith("Not known: ") == ("HELLO" in refused)


def test_a_proxy_that_closes_the_connection_instead_of_refusing(server_url: str) -> None:
    class Closing(CannedProxy):
        def answer(self, words: list[bytes]) -> bytes | None:
            if words[0] in (b"CONFIG", b"ACL", b"WAITAOF", b"SCAN"):
                raise ConnectionError
            return None

    with Closing(port_of(server_url)) as proxy:
        found = by_check(proxy.url)
    assert found["scripts"].level == Level.OK
    assert "SCAN is refused" in found["projects"].message
