"""Signed and encrypted calls and results through Django: on a server, in memory, in the checks."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from django.core.checks import run_checks
from django.tasks import TaskResultStatus, task_backends
from django.test import override_settings

from contract.app import tasks
from contract.options import tasks_setting
from streamtasks.exceptions import NotAuthentic
from streamtasks.protocol.wire import RESULT
from streamtasks.schedules import every
from streamtasks_django.backends.memory import MemoryBackend, forget
from tests.support.manual_consumer import Consumer, outcome_of

KEY, OTHER = "the first secret, long enough to be one", "another secret, long enough to be one"
WAYS: dict[str, dict[str, Any]] = {
    "signed": {"signing_keys": [KEY], "require_signed": True},
    "encrypted": {"encryption_keys": [KEY], "require_signed": True},
    "pickled": {"serializer": "pickle", "encryption_keys": [KEY]},
}


def with_options(url: str, **options: Any) -> AbstractContextManager[Any]:
    setting = tasks_setting(url)
    setting["default"]["OPTIONS"] |= options
    return override_settings(TASKS=setting)


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest) -> dict[str, Any]:
    return WAYS[request.param]


def test_calls_and_results_travel_sealed(way: dict[str, Any], embedded_url: str) -> None:
    given: Any = {"nan": [float("inf")], "long": ["x" * 30] * 100, "big": 2**70}
    with with_options(embedded_url, **way):
        backend: Any = task_backends["default"]
        result = tasks.echo.enqueue(given)
        with Consumer(backend.stores.plain) as hand:
            [claimed] = hand.claim()
            assert claimed.body.partition(b" ")[2][:2] == (b"S1" if "signing_keys" in way else b"E1")
            value = backend.store_settings.wire.dumps({"r": given}, RESULT, claimed.id)
            hand.settle(outcome_of(claimed, "SUCCESS", value))
        found = backend.get_result(result.id)
        assert (found.status, found.return_value, found.args) == (TaskResultStatus.SUCCESSFUL, given, [given])
        assert pickle.loads(pickle.dumps(found)).return_value == given


@pytest.mark.parametrize("lie", [b'{"r":[1000]}', b""], ids=["unsigned", "taken away"])
def test_a_result_that_lies_says_so(embedded_url: str, lie: bytes) -> None:
    with with_options(embedded_url, **WAYS["signed"]):
        backend: Any = task_backends["default"]
        result = tasks.echo.enqueue(1)
        with Consumer(backend.stores.plain) as hand:
            [claimed] = hand.claim()
            hand.settle(outcome_of(claimed, "SUCCESS", lie))
        found = backend.get_result(result.id)
        assert found.status is TaskResultStatus.SUCCESSFUL
        assert found.return_value is None
        assert found.errors[-1].exception_class_path == "streamtasks.exceptions.NotAuthentic"
        with pytest.raises(NotAuthentic):
            found.get(timeout=1)


@pytest.fixture
def memory(way: dict[str, Any]) -> Iterator[MemoryBackend]:
    url = "memory://sealed-django"
    options = {"autostart": False, "url": url, **way}
    setting = {"default": {"BACKEND": "streamtasks_django.backends.memory.MemoryBackend", "OPTIONS": options}}
    with override_settings(TASKS=setting):
        found = task_backends["default"]
        assert isinstance(found, MemoryBackend)
        yield found
    forget(url)


def test_tasks_run_in_memory(memory: MemoryBackend) -> None:
    added, failed, again = tasks.add.enqueue(1, 2), tasks.fail.enqueue("shop"), tasks.try_again.enqueue(2)
    memory.schedules.create("adding", tasks.add, every(60), args=[3, 4])
    memory.run_until_idle()
    for result in (added, failed, again):
        result.refresh()
    assert added.return_value == 3
    assert failed.status is TaskResultStatus.FAILED
    assert failed.errors[-1].exception_class_path == "builtins.ValueError"
    assert (again.status, again.attempts, len(again.errors)) == (TaskResultStatus.SUCCESSFUL, 3, 2)
    assert memory.schedules.get("adding").args == (3, 4)
    assert memory.stores.plain.dead_letters() == []


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"signing_keys": ["hush"]}, r"signing_keys[0] has 4 bytes; a secret needs at least 32. Make one with: python"),
        ({"encryption_keys": [KEY, "hush"]}, "encryption_keys[1] has 4 bytes"),
        ({"encryption_keys": KEY}, "encryption_keys must be a list of non-empty strings"),
        ({"encryption_keys": ["env:NO_SUCH_KEYS"]}, "the environment variable NO_SUCH_KEYS is not set or empty"),
        ({"signing_keys": ["file:/no/such/file"]}, "'file:/no/such/file', which cannot be read: FileNotFoundError"),
        ({"require_signed": True}, "require_signed is True, which needs signing_keys or encryption_keys"),
        ({"require_signed": 1, "signing_keys": [KEY]}, "require_signed is 1; it must be True or False"),
        ({"encrypt": "no"}, "encrypt is 'no'; it must be True or False"),
    ],
)
def test_what_is_wrong_shows_in_the_checks(options: Any, told: str) -> None:
    with with_options("redis://127.0.0.1:1/0", **options):
        [found] = [message for message in run_checks() if str(message.id).startswith("streamtasks.E")]
    assert found.id == "streamtasks.E001"
    assert told in found.msg
    assert "hush" not in found.msg
    assert KEY not in found.msg


def test_keys_from_a_file_and_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "keys").write_text(f"{OTHER}\n")
    monkeypatch.setenv("SHOP_KEYS", "k" * 40)
    with with_options("redis://127.0.0.1:1/0", signing_keys=[f"file:{tmp_path}/keys", "env:SHOP_KEYS"]):
        assert [message for message in run_checks() if str(message.id).startswith("streamtasks.E")] == []
        settings = task_backends["default"].store_settings  # type: ignore[attr-defined]
        assert settings.signing_keys == (OTHER, "k" * 40)
        assert OTHER not in repr(task_backends["default"]) + repr(settings)
