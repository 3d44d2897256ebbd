"""OPTIONS and settings that say how calls and results travel, and a worker that is set otherwise."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from django.core.checks import run_checks
from django.tasks import TaskResultStatus, task_backends
from django.test import override_settings

from contract.app import tasks
from contract.options import tasks_setting
from streamtasks import ConfigurationError
from streamtasks.exceptions import EncodingRefused
from streamtasks.protocol.wire import RESULT
from streamtasks_django.conf import options
from tests.support.manual_consumer import Consumer, outcome_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

ID = "01890000000000000000000000000000-u0"


def with_options(url: str, **options: Any) -> AbstractContextManager[Any]:
    setting = tasks_setting(url)
    setting["default"]["OPTIONS"] |= options
    return override_settings(TASKS=setting)


class TestSettings:
    def test_json_without_compression_is_the_default(self) -> None:
        settings = options.store_settings("default", {})
        assert (settings.serializer, settings.compression, settings.signing_keys) == ("json", None, ())

    @override_settings(TASK_SERIALIZER="msgpack")
    def test_options_win_over_task_serializer(self) -> None:
        assert options.store_settings("default", {}).serializer == "msgpack"
        assert options.store_settings("default", {"serializer": "json"}).serializer == "json"

    @override_settings(TASK_SERIALIZER="pickle", SECRET_KEY="new", SECRET_KEY_FALLBACKS=["old"])
    def test_secret_keys_sign(self) -> None:
        with override_settings(SECRET_KEY="old", SECRET_KEY_FALLBACKS=[]):
            before = options.store_settings("default", {}).wire
        after = options.store_settings("default", {}).wire
        own = options.store_settings("default", {"signing_keys": ["a third one, which is long enough to count"]}).wire
        assert after.loads(before.dumps(1, RESULT, ID), RESULT, ID) == 1
        with pytest.raises(EncodingRefused):
            before.loads(after.dumps(1, RESULT, ID), RESULT, ID)
        with pytest.raises(EncodingRefused):
            own.loads(after.dumps(1, RESULT, ID), RESULT, ID)

    @override_settings(TASK_SERIALIZER="pickle", SECRET_KEY="")
    def test_pickle_without_a_secret_is_refused(self) -> None:
        with pytest.raises(ConfigurationError, match="signing_keys"):
            options.store_settings("default", {})

    @pytest.mark.parametrize(
        ("options", "setting", "told"),
        [
            ({"compression": "rar"}, None, "compression is 'rar'"),
            ({"serializer": "yaml"}, None, "serializer is 'yaml'"),
            ({"serializer": "pickle", "signing_keys": "abc"}, None, "signing_keys must be a list"),
            ({"max_decompressed_bytes": -1}, None, "max_decompressed_bytes"),
            ({}, "yaml", "The setting TASK_SERIALIZER is 'yaml'"),
        ],
        ids=repr,
    )
    def test_what_is_wrong_shows_in_the_checks(self, options: Any, setting: str | None, told: str) -> None:
        with override_settings(TASK_SERIALIZER=setting), with_options("redis://127.0.0.1:1/0", **options):
            found = [message for message in run_checks() if str(message.id).startswith("streamtasks.E")]
        assert {message.id for message in found} == {"streamtasks.E001"}
        assert told in found[0].msg


@pytest.fixture(params=[("json", "gzip"), ("msgpack", None), ("msgpack", "zstd"), ("pickle", None), ("pickle", "lz4")])
def backend(request: pytest.FixtureRequest, embedded_url: str) -> Iterator[Any]:
    serializer, compression = request.param
    with with_options(embedded_url, serializer=serializer, compression=compression):
        yield task_backends["default"]


def test_calls_and_results_travel_so(backend: Any) -> None:
    given: Any = {"1": "a", "nan": [float("inf")], "long": ["x" * 30] * 100, "big": 2**70}
    result = tasks.echo.enqueue(given)
    expected: Any = dict(given)
    assert result.args == [expected]
    wire = backend.store_settings.wire
    with Consumer(backend.stores.plain) as hand:
        [claimed] = hand.claim()
        assert claimed.body.partition(b" ")[2][:1] in b"GMZPL~"
        hand.settle(outcome_of(claimed, "SUCCESS", wire.dumps({"r": expected}, RESULT, claimed.id)))
    result.refresh()
    assert result.status is TaskResultStatus.SUCCESSFUL
    assert result.return_value == expected
    assert tasks.echo.get_result(result.id).args == [expected]


def test_a_result_that_may_not_be_read_says_so(embedded_url: str) -> None:
    with with_options(embedded_url, serializer="pickle"):
        result = tasks.echo.enqueue(1)
        store = task_backends["default"]
        with Consumer(store.stores.plain) as hand:  # type: ignore[attr-defined]
            [claimed] = hand.claim()
            value = store.store_settings.wire.dumps({"r": 1}, RESULT, claimed.id)  # type: ignore[attr-defined]
            hand.settle(outcome_of(claimed, "SUCCESS", value))
    with with_options(embedded_url):
        found = task_backends["default"].get_result(result.id)
        assert found.status is TaskResultStatus.SUCCESSFUL
        assert found.return_value is None
        assert found.errors[-1].exception_class_path.endswith("EncodingRefused")
        with pytest.raises(EncodingRefused, match="reads no pickles"):
            found.get(timeout=1)  # type: ignore[attr-defined]
