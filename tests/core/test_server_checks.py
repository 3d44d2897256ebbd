"""What a look at a server warns of."""

from __future__ import annotations

import pytest
import redis

from streamtasks import StoreSettings
from streamtasks.exceptions import AccessDenied, ServerNotSupported, StoreUnavailable
from streamtasks.stores.factory import open_store
from streamtasks.stores.types import NewMessage
from streamtasks_workers.testing.embedded import EmbeddedServer
from tests.support.unreachable import closed_port


def warnings_of(url: str) -> list[str]:
    return open_store(StoreSettings(url=url, timeout_s=5.0)).check()


def test_a_server_with_an_append_only_file_is_fine() -> None:
    with EmbeddedServer(append_only=True) as server:
        assert warnings_of(server.url) == []


@pytest.mark.parametrize(
    ("save", "lost"), [("", "a restart loses all tasks"), ("3600 1", "what came since its last snapshot is lost")]
)
def test_a_server_without_one_is_named(server_url: str, save: str, lost: str) -> None:
    with redis.Redis.from_url(server_url) as client:
        client.config_set("save", save)
        [warning] = warnings_of(server_url)
        client.config_set("save", "")
    assert "appendonly off" in warning
    assert lost in warning
    assert "CONFIG SET appendonly yes" in warning


def test_a_replica_is_named_with_its_master() -> None:
    with EmbeddedServer(append_only=True) as server, redis.Redis.from_url(server.url) as client:
        client.replicaof("127.0.0.1", 1)
        [warning] = warnings_of(server.url)
        assert warning.startswith(f"127.0.0.1:{server.port} is a replica of 127.0.0.1:1 ")
        client.acl_setuser("app", enabled=True, nopass=True, keys=["*"], commands=["+@all", "-@dangerous"])
        refused, replica = warnings_of(server.url.replace("://", "://app:any@"))
        assert "INFO" in refused
        assert "is a replica and takes no tasks" in replica
        store = open_store(StoreSettings(url=server.url, timeout_s=0.1))
        with pytest.raises(StoreUnavailable, match="it is a replica, which takes no tasks: name its master in the URL"):
            store.enqueue([NewMessage("a", "default", 0, b"{}")])


def test_managed_servers_keep_config_to_themselves(server_url: str) -> None:
    with redis.Redis.from_url(server_url) as client:
        client.acl_setuser(
            "plain", enabled=True, nopass=True, keys=["*"], channels=["*"], commands=["+@all", "-config"]
        )
        [warning] = warnings_of(server_url.replace("://", "://plain:any@"))
        client.acl_deluser("plain")
    assert "and everything if it makes none" in warning


def test_a_wrong_password_and_eviction_are_errors(server_url: str) -> None:
    with pytest.raises(AccessDenied, match="password"):
        warnings_of(server_url.replace("://", "://nobody:secret@"))
    with redis.Redis.from_url(server_url) as client:
        client.config_set("maxmemory-policy", "allkeys-lru")
        try:
            with pytest.raises(ServerNotSupported, match="noeviction"):
                warnings_of(server_url)
        finally:
            client.config_set("maxmemory-policy", "noeviction")


def test_a_server_that_is_away_is_waited_for() -> None:
    with closed_port() as url:
        [warning] = warnings_of(url)
    assert "cannot be reached" in warning
