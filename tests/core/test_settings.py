"""Wrong settings and options are refused when they are made, by name and value."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from itertools import pairwise
from typing import Any

import pytest

from streamtasks import ConfigurationError, InvalidTask, StoreSettings, StreamTasks, TaskOptions, UnknownQueue
from streamtasks.protocol.shards import ALL_TAGS
from streamtasks.settings import MIN_DEDUP_S
from streamtasks_workers.process.options import WorkerOptions

NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(
            (name, value)
            for name in ("timeout_s", "result_expires_s", "failure_expires_s", "queue_expires_s")
            for value in (0, -1, "5", None, True, NAN)
        ),
        *(("lease_s", value) for value in (0, -1, 0.5, "30", None, NAN, INF)),
        *(("crash_delay_s", value) for value in (-1, "10", None)),
        *(("enqueue_timeout_s", value) for value in (0, -1, "3")),
        *(("unknown_task_delay_s", value) for value in (-1, "10", None)),
        *(
            (name, value)
            for name in (
                "max_payload_bytes",
                "max_dead_letters",
                "max_dead_letter_bytes",
                "max_events",
                "max_connections",
                "crash_limit",
                "lost_limit",
                "unknown_task_limit",
            )
            for value in (0, -5, 1.5, "7", None, True)
        ),
        *(("send_events", value) for value in (None, 1, "yes")),
        *(("key_prefix", value) for value in ("a{b", "a b", 5)),
    ],
)
def test_a_wrong_setting_is_refused_by_name_and_value(name: str, value: Any) -> None:
    with pytest.raises(ConfigurationError) as caught:
        StoreSettings(**{name: value})
    assert name in str(caught.value)
    assert repr(value) in str(caught.value)


def test_no_shard_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="tags"):
        StoreSettings(tags=())


@pytest.mark.parametrize("scheme", ["redis", "redis+cluster"])
def test_shards_are_the_first_of_one_list(scheme: str) -> None:
    """So that more of them are added at the end, and those that were there stay."""
    url = f"{scheme}://redis1:7000"
    assert StoreSettings(url=url).tags == ALL_TAGS[: 1 if scheme == "redis" else 64]
    tags = [StoreSettings(url=url, shards=count).tags for count in (1, 16, 17, 64)]
    assert [len(one) for one in tags] == [1, 16, 17, 64]
    assert all(after[: len(before)] == before for before, after in pairwise(tags))
    assert tags[3] == StoreSettings(url="redis+cluster://redis1").tags
    settings = StreamTasks(url, shards=64).settings
    assert replace(settings, timeout_s=1.0).tags == settings.tags == ALL_TAGS


@pytest.mark.parametrize("count", [0, -1, 65, 1.5, "16", True])
def test_a_number_of_shards_that_cannot_be(count: Any) -> None:
    with pytest.raises(ConfigurationError, match=rf"shards is {count!r}; it must be a whole number from 1 to 64"):
        StoreSettings(shards=count)


def test_shards_and_tags_contradict_each_other() -> None:
    with pytest.raises(ConfigurationError, match=r"shards is 4 and tags are \('u0', 'dj'\); give only one of them"):
        StoreSettings(shards=4, tags=("u0", "dj"))


def test_results_are_kept_long_enough_to_recognise_a_repeated_enqueue() -> None:
    settings = StoreSettings(result_expires_s=1, failure_expires_s=100_000)
    assert settings.keep_ms(success=True) == MIN_DEDUP_S * 1000
    assert settings.keep_ms(success=False) == 100_000_000
    assert settings.index_keep_ms == 100_000_000 + 86_400_000


def test_events_are_kept_only_if_they_are_wanted() -> None:
    assert StoreSettings().events_kept == 0
    assert StoreSettings(send_events=True).events_kept == 10_000
    assert StoreSettings(send_events=True, max_events=5).events_kept == 5


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("priority", value) for value in (-101, 101, 1.0, "5", None, True)),
        *(("queue", value) for value in ("", "a b", None, 5)),
        *(("max_retries", value) for value in (-1, "3")),
        *(("retry_delay_s", value) for value in (-1, "60", None)),
        *(("expires_s", value) for value in (0, -1, "60")),
        ("run_after", datetime(2026, 1, 1)),  # noqa: DTZ001 - what is refused
        ("run_after", "tomorrow"),
        ("run_after", 60),
    ],
)
def test_a_wrong_task_option_is_refused_by_name_and_value(name: str, value: Any) -> None:
    with pytest.raises(InvalidTask) as caught:
        TaskOptions(**{name: value})
    assert name in str(caught.value)
    assert repr(value) in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(
            (name, value)
            for name in (
                "concurrency",
                "threads",
                "async_concurrency",
                "max_tasks_per_child",
                "max_memory_per_child_mb",
            )
            for value in (-1, 1.5, "4", None, True)
        ),
        *(("grace_s", value) for value in (-1, "25", None)),
    ],
)
def test_a_wrong_worker_option_is_refused_by_name_and_value(name: str, value: Any) -> None:
    with pytest.raises(ConfigurationError) as caught:
        WorkerOptions(**{name: value})
    assert name in str(caught.value)
    assert repr(value) in str(caught.value)


def test_a_worker_serves_or_excludes_queues_but_not_both() -> None:
    with pytest.raises(ConfigurationError, match="exclude_queues"):
        WorkerOptions(queues=("a",), exclude_queues=("b",))
    with pytest.raises(UnknownQueue, match="not a queue"):
        WorkerOptions(queues=("not a queue",))


def test_unknown_worker_options_of_the_settings_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="concurency"):
        WorkerOptions.merged({"concurency": 3})


def test_what_was_said_wins_over_the_settings_and_those_over_defaults() -> None:
    options = WorkerOptions.merged({"threads": 9, "grace_s": 5.0, "queues": ["a", "b"]}, {"threads": 3})
    assert (options.threads, options.grace_s, options.queues) == (3, 5.0, ("a", "b"))


class TestApp:
    def test_an_unknown_option_of_a_task_is_refused(self) -> None:
        app = StreamTasks()
        with pytest.raises(InvalidTask, match="prioritty"):
            app.task(name="t", prioritty=5)(print)  # type: ignore[call-overload]

    def test_two_tasks_of_one_name_are_refused(self) -> None:
        app = StreamTasks()
        app.task(name="t")(print)
        with pytest.raises(InvalidTask, match="A task named t is registered already"):
            app.task(name="t")(print)

    def test_a_queue_that_is_not_configured_is_refused_where_it_is_named(self) -> None:
        app = StreamTasks(queues=["default", "mail"])
        with pytest.raises(UnknownQueue, match=r"'web' is not one of the queues of .*: default, mail"):
            app.task(name="t", queue="web")(print)
        task = app.task(name="u")(print)
        with pytest.raises(UnknownQueue, match="'web'"):
            task.using(queue="web").enqueue()

    def test_using_refuses_an_unknown_option(self) -> None:
        with pytest.raises(InvalidTask, match="colour"):
            StreamTasks().task(name="t")(print).using(colour="red")  # type: ignore[call-arg]

    @pytest.mark.parametrize("url", ["http://localhost", "localhost:6379", "redis://host:port/0", ""])
    def test_a_wrong_url_is_a_clear_error(self, url: str) -> None:
        with pytest.raises(ConfigurationError, match="url"):
            StreamTasks(url).task(name="t")(print).enqueue()


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://user:hunter2@host:6380/1", "redis://...@host:6380/1"),
        ("rediss://:hun@ter2@host", "rediss://...@host"),
        ("unix:///run/redis.sock?password=hunter2", "unix:///run/redis.sock"),
        ("memory://tests", "memory://tests"),
        ("redis://user:hun?ter2@host", "redis://..."),
        ("host:6379", "host:6379"),
    ],
)
def test_a_password_is_not_shown(url: str, shown: str) -> None:
    settings = StoreSettings(url=url, connection={"password": "hunter2"})
    assert settings.shown_url == shown
    assert "ter2" not in repr(settings)
