"""URLs and settings that name Sentinels: what they mean, and what is wrong with those that mean nothing."""

from __future__ import annotations

from typing import Any

import pytest
import redis

from streamtasks import ConfigurationError, StoreSettings
from streamtasks.stores.redis.addresses import connection_options, sentinel_address
from streamtasks.stores.redis.endpoints import endpoint_of


def settings(url: str, **more: Any) -> StoreSettings:
    return StoreSettings(url=url, **more)


def test_a_url_names_sentinels_service_and_database() -> None:
    found = settings(
        "redis+sentinel://me:p%40ss@s1,s2:26380,[::1]:7/my-service/3?sentinel_password=own&client_name=web"
    )
    address = sentinel_address(found)
    assert address.service == "my-service"
    assert [str(node) for node in address.sentinels] == ["s1:26379", "s2:26380", "[::1]:7"]
    assert address.options["password"] == "own"
    assert "username" not in address.options
    options = connection_options(found)
    assert [options[name] for name in ("username", "password", "db", "client_name")] == ["me", "p@ss", 3, "web"]
    assert "host" not in options
    assert "sentinel_password" not in options
    assert "p%40ss" not in found.shown_url
    assert "me" not in endpoint_of(found).address
    assert "s1:26379" in endpoint_of(found).address


@pytest.mark.parametrize(
    ("url", "more", "of_sentinels"),
    [
        ("rediss+sentinel://s/main?ssl_ca_certs=/ca.pem", {}, True),
        ("redis+sentinel://s/main", {"connection": {"ssl": True, "ssl_ca_certs": "/ca.pem"}}, True),
        ("rediss+sentinel://s/main?ssl_ca_certs=/ca.pem&sentinel_ssl=false", {}, False),
        (
            "rediss+sentinel://s/main?ssl_ca_certs=/ca.pem",
            {"sentinel_connection": {"ssl": False}},
            False,
        ),
    ],
)
def test_tls_is_for_sentinels_too_unless_said_otherwise(url: str, more: dict[str, Any], of_sentinels: bool) -> None:
    found = settings(url, **more)
    options = connection_options(found)
    assert options["connection_class"] is redis.SSLConnection
    assert options["ssl_ca_certs"] == "/ca.pem"
    own = sentinel_address(found).options
    assert (own.get("connection_class") is redis.SSLConnection) is of_sentinels
    assert ("ssl_ca_certs" in own) is of_sentinels
    endpoint_of(found).connection()


@pytest.mark.parametrize(
    ("url", "more", "text"),
    [
        ("redis+sentinel://s1:26379", {}, "names no service"),
        ("redis+sentinel://s1:26379//0", {}, "names no service"),
        ("redis+sentinel://s1:abc/main", {}, "'s1:abc'"),
        ("redis+sentinel://s1,,s2/main", {}, "''"),
        ("redis+sentinel://s1/main/tasks", {}, "'tasks'"),
        ("redis+sentinel://s1/main", {"connection": {"host": "a"}}, "leaves that to Sentinels"),
        ("redis+sentinel://s1/main", {"sentinel_connection": {"port": 1}}, "sentinel_connection has"),
        ("redis+sentinel://s1/main", {"sentinel_connection": {"pasword": "x"}}, "pasword"),
        ("redis://s1/0", {"sentinel_connection": {"password": "x"}}, "names no Sentinels"),
    ],
)
def test_wrong_settings_name_the_value_and_the_remedy(url: str, more: dict[str, Any], text: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        endpoint_of(settings(url, **more))
    assert text in str(caught.value)
