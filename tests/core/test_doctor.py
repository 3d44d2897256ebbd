"""What a doctor finds on real servers that are set to each bad state, and what it says to do."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import redis

from streamtasks.operations.doctor import CHECKS, Diagnosis, Level, diagnose, exit_status
from streamtasks.stores.redis.commands import examples, script_commands
from streamtasks_workers.testing.embedded import EmbeddedServer
from tests.support.certificates import Authority, TLSProxy
from tests.support.diagnoses import found, one, port_of, shop
from tests.support.fake_sentinel import FakeSentinel
from tests.support.resp_proxy import CannedProxy
from tests.support.servers import has_waitaof
from tests.support.unreachable import closed_port
from tests.support.waiting import wait_until

PREFIX = "streamtasks:"
CHANGED = ("maxmemory", "maxmemory-policy", "save", "min-replicas-to-write")


def is_worse(diagnosis: Diagnosis, level: Level) -> list[str]:
    return [f"{finding.check}: {finding.message}" for finding in diagnosis.findings if finding.level > level]


@pytest.fixture
def client(server_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(server_url, decode_responses=True) as opened:
        before: Any = {name: opened.config_get(name)[name] for name in CHANGED}
        yield opened
        for name, value in before.items():
            opened.config_set(name, value)


def test_a_server_as_it_should_be_has_nothing_worse_than_notes() -> None:
    with EmbeddedServer(append_only=True) as server:
        diagnosis = diagnose(shop(server.url))
    assert is_worse(diagnosis, Level.NOTE) == []
    assert {finding.check for finding in diagnosis.findings} <= set(CHECKS)
    assert {"version", "rights", "scripts", "writes", "eviction", "persistence", "loss"} <= {
        finding.check for finding in diagnosis.findings if finding.level == Level.OK
    }
    assert exit_status([diagnosis], strict=True) == 0


def test_the_version_and_kind_are_told(server_url: str, client: redis.Redis) -> None:
    info: Any = client.info("server")
    finding = one(server_url, "version")
    assert (finding.level, finding.values["version"]) == (
        Level.OK, info.get("valkey_version") or info["redis_version"],
    )  # fmt: skip
    assert one(server_url, "service").values["service"] == "self-managed"


def test_eviction_loses_tasks(server_url: str, client: redis.Redis) -> None:
    client.config_set("maxmemory-policy", "allkeys-lru")
    finding = one(server_url, "eviction")
    assert finding.level == Level.ERROR
    assert "allkeys-lru" in finding.message
    assert "CONFIG SET maxmemory-policy noeviction" in finding.remedy
    assert exit_status([diagnose(shop(server_url))], strict=False) == 2


@pytest.mark.parametrize(("save", "lost"), [("", "a restart loses all tasks"), ("3600 1", "since its last snapshot")])
def test_a_server_without_a_file(server_url: str, client: redis.Redis, save: str, lost: str) -> None:
    client.config_set("save", save)
    finding = one(server_url, "persistence")
    assert (finding.level, lost in finding.message) == (Level.WARNING, True), finding
    assert "CONFIG SET appendonly yes" in finding.remedy
    diagnosis = diagnose(shop(server_url))
    assert [exit_status([diagnosis], strict=strict) for strict in (False, True)] == [0, 1]


def test_a_file_that_the_kernel_writes_when_it_likes() -> None:
    with EmbeddedServer(append_only=True) as server, redis.Redis.from_url(server.url) as client:
        client.config_set("appendfsync", "no")
        finding = one(server.url, "persistence")
    assert (finding.level, "appendfsync is no" in finding.message) == (Level.WARNING, True)


@pytest.mark.parametrize(("share", "level"), [(0.95, Level.ERROR), (0.8, Level.WARNING), (0.3, Level.OK)])
def test_memory_headroom(server_url: str, client: redis.Redis, share: float, level: Level) -> None:
    used: Any = client.info("memory")
    client.config_set("maxmemory", int(used["used_memory"] / share))
    finding = one(server_url, "memory")
    assert finding.level == level, finding
    assert ("StoreFull" in finding.remedy) == (level > Level.OK)


def test_a_user_without_rights(server_url: str, client: redis.Redis) -> None:
    client.acl_setuser(
        "app", enabled=True, nopass=True, keys=["*"], channels=["*"], commands=["+@all", "-zadd", "-spublish"]
    )
    finding = one(server_url.replace("://", "://app:any@"), "rights")
    client.acl_deluser("app")
    assert (finding.level, sorted(finding.values["denied"])) == (Level.ERROR, ["SPUBLISH", "ZADD"]), finding
    assert finding.values["asked_by"] == "ACL DRYRUN"
    assert "ACL SETUSER app +spublish +zadd" in finding.remedy
    assert "`streamtasks acl --role worker --user app --prefix 'streamtasks:'`" in finding.remedy


def test_whether_calls_are_signed(server_url: str) -> None:
    key = "k" * 32
    assert one(server_url, "signing").level == Level.NOTE
    assert "is run as well" in one(server_url, "signing", signing_keys=[key]).message
    assert one(server_url, "signing", signing_keys=[key], require_signed=True).level == Level.OK


def test_a_user_who_may_not_ask_for_its_rights_is_asked_by_a_script(server_url: str, client: redis.Redis) -> None:
    client.acl_setuser(
        "app",
        enabled=True,
        nopass=True,
        keys=["*"],
        channels=["*"],
        commands=["+@all", "-@dangerous", "-xadd", "-blpop"],
    )
    findings = {finding.check: finding for finding in diagnose(shop(server_url.replace("://", "://app:any@"))).findings}
    client.acl_deluser("app")
    rights = findings["rights"]
    assert (rights.values["asked_by"], sorted(rights.values["denied"])) == ("script", ["BLPOP", "XADD"]), rights
    assert "INFO is refused" in findings["info"].message
    # Notes about what cannot be known replace what INFO and CONFIG tell; nothing else is reported wrongly.
    for check in ("eviction", "memory", "persistence", "replicas", "loss"):
        assert (findings[check].level, findings[check].message.startswith("Not known")) == (Level.NOTE, True)
        assert findings[check].remedy


def test_a_user_of_other_keys(server_url: str, client: redis.Redis) -> None:
    client.acl_setuser("app", enabled=True, nopass=True, keys=["other:*"], channels=["*"], commands=["+@all"])
    findings = diagnose(shop(server_url.replace("://", "://app:any@"))).findings
    client.acl_deluser("app")
    errors = {finding.check for finding in findings if finding.level == Level.ERROR}
    assert {"rights", "writes"} <= errors


def test_a_user_who_may_not_run_scripts(server_url: str, client: redis.Redis) -> None:
    client.acl_setuser("app", enabled=True, nopass=True, keys=["*"], channels=["*"], commands=["+@all", "-@scripting"])
    finding = one(server_url.replace("://", "://app:any@"), "scripts")
    client.acl_deluser("app")
    assert (finding.level, "+evalsha" in finding.remedy) == (Level.ERROR, True)


def test_every_command_of_the_scripts_has_a_valid_example(embedded_url: str) -> None:
    """A server checks the number of arguments of a call before it says whether the user may send it."""
    with redis.Redis.from_url(embedded_url, decode_responses=True) as client:
        for command in script_commands():
            words = examples(command, "k", "c")
            assert client.execute_command("ACL", "DRYRUN", "default", *words) in ("OK", b"OK"), words


def test_a_replica_named_as_master(server_url: str) -> None:
    with EmbeddedServer(append_only=True) as server, redis.Redis.from_url(server.url) as client:
        client.replicaof("127.0.0.1", server_url.rpartition(":")[2].split("/")[0])
        findings = {finding.check: finding for finding in diagnose(shop(server.url)).findings}
    assert (findings["role"].level, "is a replica" in findings["role"].message) == (Level.ERROR, True)
    assert (findings["writes"].level, findings["writes"].remedy) == (Level.ERROR, "Name the master in the URL.")


def test_too_few_replicas_for_any_write(server_url: str, client: redis.Redis) -> None:
    client.config_set("min-replicas-to-write", 1)
    findings = {finding.check: finding for finding in diagnose(shop(server_url)).findings}
    assert findings["min-replicas"].level == Level.ERROR
    assert findings["writes"].level == Level.ERROR
    assert "Bring its replicas back" in findings["writes"].remedy


def test_what_would_be_lost_if_the_master_died_now() -> None:
    with EmbeddedServer(append_only=True) as master, EmbeddedServer(append_only=True) as replica:
        with redis.Redis.from_url(replica.url) as client:
            client.replicaof("127.0.0.1", master.port)
        app = shop(master.url)

        def is_in_step() -> bool:
            [finding] = [finding for finding in diagnose(app).findings if finding.check == "replicas"]
            return finding.level == Level.OK

        wait_until(is_in_step, "the replica is in step")
        replica.pause()
        with redis.Redis.from_url(master.url) as client:
            client.set("filler", "x" * 2_000_000)
        findings = {finding.check: finding for finding in diagnose(app).findings}
        replica.resume()
    loss = findings["loss"]
    assert loss.level == Level.WARNING
    assert loss.values["unreplicated_bytes"] > 1_000_000
    assert loss.values["unreplicated_tasks_at_most"] > 1000
    assert "task" in loss.message
    assert findings["min-replicas"].level == Level.NOTE  # none are needed: a cut-off master goes on


@pytest.mark.parametrize(("durability", "text"), [("replicated", "no replicas"), ("aof", "appendonly is off")])
def test_a_durability_that_the_server_cannot_give(embedded_url: str, durability: Any, text: str) -> None:
    with redis.Redis.from_url(embedded_url) as client:
        if durability == "aof" and not has_waitaof(client):
            text = "WAITAOF is refused"
    finding = one(embedded_url, "durability", durability=durability)
    assert (finding.level, text in finding.message) == (Level.ERROR, True), finding


@pytest.mark.parametrize("field", ["aof_last_write_status", "aof_last_bgrewrite_status", "rdb_last_bgsave_status"])
def test_a_file_that_could_not_be_written(embedded_url: str, field: str) -> None:
    with CannedProxy(port_of(embedded_url), info={field: "err"}) as proxy:
        errors = [one for one in found(proxy.url, "persistence") if one.level == Level.ERROR]
    assert [one.values["field"] for one in errors] == [field]
    assert "room on its disk" in errors[0].remedy


def test_a_server_that_cannot_write_its_snapshot() -> None:
    """It refuses writes then."""
    arguments = ["--save", "3600 1", "--enable-protected-configs", "yes"]
    with EmbeddedServer(extra_args=arguments) as server, redis.Redis.from_url(server.url) as client:
        client.set("one", "1")
        (server.directory / "nowhere").mkdir()
        client.config_set("dir", str(server.directory / "nowhere"))
        (server.directory / "nowhere").rmdir()
        client.bgsave()

        def has_failed() -> bool:
            info: Any = client.info("persistence")
            return bool(info["rdb_last_bgsave_status"] == "err")

        wait_until(has_failed, "the snapshot has failed")
        findings = [one for one in diagnose(shop(server.url)).findings if one.level == Level.ERROR]
        client.config_set("dir", str(server.directory))
    assert [one.check for one in findings] == ["writes", "persistence"], findings
    assert "It cannot write its snapshot" in findings[0].remedy


def test_a_clock_that_is_wrong(embedded_url: str) -> None:
    port = port_of(embedded_url)

    def time_reply(words: list[bytes]) -> bytes | None:
        if words[0] != b"TIME":
            return None
        seconds = str(int(time.time()) + 90)
        return f"*2\r\n${len(seconds)}\r\n{seconds}\r\n$1\r\n0\r\n".encode()

    with CannedProxy(port, reply=time_reply) as proxy:
        finding = one(proxy.url, "clock")
    assert (finding.level, "s ahead of this host's" in finding.message) == (Level.WARNING, True), finding
    assert 88_000 < finding.values["offset_ms"] < 92_000


class TestTLS:
    def test_it_is_told(self, embedded_url: str, tmp_path: Path) -> None:
        port = port_of(embedded_url)
        authority = Authority(tmp_path)
        with ExitStack() as stack:
            proxy = stack.enter_context(TLSProxy(port, authority.context()))
            url = f"rediss://127.0.0.1:{proxy.port}/0"
            short = one(f"{url}?ssl_ca_certs={authority.path}", "tls")
            later = stack.enter_context(TLSProxy(port, authority.context(days=(-1, 90))))
            good = one(f"rediss://127.0.0.1:{later.port}/0?ssl_ca_certs={authority.path}", "tls")
            unverified = one(f"{url}?ssl_cert_reqs=none&ssl_check_hostname=false", "tls")
            untrusted = diagnose(shop(url))
        assert (good.level, good.values["verified"]) == (Level.OK, True)
        assert (short.level, "expires in" in short.message) == (Level.WARNING, True)
        assert (unverified.level, "not verified" in unverified.message) == (Level.WARNING, True)
        assert not untrusted.connected
        assert untrusted.findings[0].values["error"] == "UntrustedServer"


class TestUnreachable:
    def test_nothing_there(self) -> None:
        with closed_port() as url:
            diagnosis = diagnose(shop(url))
        assert (diagnosis.connected, exit_status([diagnosis], strict=False)) == (False, 3)

    def test_a_wrong_password(self, server_url: str) -> None:
        diagnosis = diagnose(shop(server_url.replace("://", "://nobody:secret@")))
        assert not diagnosis.connected
        assert diagnosis.findings[0].values["error"] == "AccessDenied"
        assert "secret" not in json.dumps(diagnosis.as_dict())

    def test_a_store_in_memory(self) -> None:
        diagnosis = diagnose(shop("memory://doctor"))
        assert (diagnosis.connected, diagnosis.level) == (True, Level.NOTE)


class TestSentinels:
    def test_one_that_is_away_and_one_that_names_another_master(self, embedded_url: str) -> None:
        port = port_of(embedded_url)
        with (
            FakeSentinel(port, epoch=2) as first,
            FakeSentinel(port, epoch=2) as second,
            FakeSentinel(port + 1) as old,
            closed_port() as away,
        ):
            ports = (first.port, second.port, old.port, port_of(away))
            url = f"redis+sentinel://{','.join(f'127.0.0.1:{one}' for one in ports)}/main"
            warnings = found(url, "sentinels")
            well = found(f"redis+sentinel://127.0.0.1:{first.port},127.0.0.1:{second.port}/main", "sentinels")
        assert [finding.level for finding in warnings] == [Level.WARNING] * 2
        assert f"127.0.0.1:{ports[2]} names" in warnings[0].message
        assert f"127.0.0.1:{ports[3]} is of no use" in warnings[1].message
        assert [finding.level for finding in well] == [Level.OK]

    def test_an_unknown_service(self, embedded_url: str) -> None:
        with FakeSentinel(port_of(embedded_url)) as sentinel:
            diagnosis = diagnose(shop(f"redis+sentinel://127.0.0.1:{sentinel.port}/nothing"))
        assert (diagnosis.connected, diagnosis.findings[0].values["error"]) == (False, "UnknownService")


def test_a_node_of_a_cluster_named_as_a_single_server() -> None:
    with EmbeddedServer(extra_args=["--cluster-enabled", "yes"]) as server:
        findings = [finding for finding in diagnose(shop(server.url)).findings if finding.check in ("role", "writes")]
    assert [finding.level for finding in findings] == [Level.OK, Level.WARNING, Level.ERROR], findings
