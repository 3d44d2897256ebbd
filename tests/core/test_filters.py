"""Filters: one grammar, read and written without a loss, with errors that say what to write; what each term means."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamtasks import StreamTasks
from streamtasks.exceptions import InvalidTask, UnknownQueue
from streamtasks.operations.filter_text import MOST_TEXT, parse_filter
from streamtasks.operations.filters import DEAD, FILTER_STATES, TaskFilter
from streamtasks.operations.inspect import OUTCOMES
from streamtasks.operations.search import find_letters, find_tasks
from streamtasks.protocol.errors import describe
from streamtasks.protocol.json import dumps
from tests.support.manual_consumer import Consumer, outcome_of

NOW_MS = 1_795_831_233_791
TEXT = st.text(alphabet='aB7é :="\\[{\t\u2028', max_size=4)
JSON = st.none() | st.booleans() | st.integers() | TEXT | st.lists(TEXT, max_size=2) | st.just({"a b": [1, {}]})


@st.composite
def filters(draw: Any) -> TaskFilter:
    state = draw(st.sampled_from(FILTER_STATES))
    since_ms, until_ms = draw(st.integers(0, 2 * NOW_MS)), draw(st.integers(0, 2 * NOW_MS))
    return TaskFilter(
        state,
        draw(st.sampled_from(["", "mails", "a.b-c"])),
        draw(TEXT),
        since_ms,
        until_ms if until_ms > since_ms else 0,
        draw(TEXT),
        draw(st.dictionaries(TEXT, JSON, max_size=3)),
        draw(st.dictionaries(TEXT, JSON, max_size=2)),
        draw(st.sampled_from(["", *OUTCOMES[state]])) if state in OUTCOMES else "",
        draw(TEXT),
        draw(TEXT),
        tuple(draw(st.lists(TEXT, max_size=3))),
    )


@settings(max_examples=40, deadline=None)
@given(filters())
def test_what_is_written_is_read_again(where: TaskFilter) -> None:
    assert parse_filter(where.text()) == where


@settings(max_examples=40, deadline=None)
@given(st.text(alphabet='arg.state:=queue"\\[{}] \t0x1hsince'))
def test_any_text_is_a_filter_or_is_refused(text: str) -> None:
    with suppress(InvalidTask, UnknownQueue):
        where = parse_filter(text)
        assert parse_filter(where.text()) == where


def test_terms() -> None:
    text = 'state:failed queue=mails task:shop.mail arg.user=7 arg.0="7" since:1h30m until:2026-11-28T06:00 not "a b"'
    assert parse_filter(text, clock=lambda: NOW_MS) == TaskFilter(
        "failed",
        "mails",
        "shop.mail",
        NOW_MS - 5_400_000,
        1_795_845_600_000,
        args={"user": 7, "0": "7"},
        words=("not", "a b"),
    )
    assert parse_filter("arg.a=[1, 2] arg.b={ arg.c=x").args == {"a": [1, 2], "b": "{", "c": "x"}
    assert [parse_filter(one).state for one in ("", "outcome:dead", "error:E")] == ["queued", "finished", "failed"]
    assert parse_filter("error:E", DEAD).state == DEAD


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("size:7", "there is no key 'size': write one of state, queue, .* to look for the text: \"size:7\""),
        ("arg=7", "there is no key 'arg'"),
        ('queue:"mails', "end the quotes"),
        ('queue:"a"b', "write a space behind them"),
        ("state:failed arg.x=", 'without a value; write "" for an empty one'),
        ("queue:a queue:b", "names the same before"),
        ("task:a name:b", "names the same before"),
        ("state:lost", "state is 'lost'; it must be one of queued"),
        ("outcome:WON", "outcome is 'WON'; it must be one of DEAD"),
        ("state:queued outcome:DEAD", "No task that is queued has the outcome DEAD"),
        ("state:dead outcome:DEAD", "Dead letters have no outcome"),
        ("since:yesterday", "'yesterday' is no time; write 2026-11-28T06:00, or so long ago: 90s"),
        ("since:1h until:2h", "give an earlier and a later time"),
        ("x" * (MOST_TEXT + 1), f"at most {MOST_TEXT} are read"),
    ],
)
def test_errors_say_what_to_write(text: str, words: str) -> None:
    with pytest.raises(InvalidTask, match=words):
        parse_filter(text)


@pytest.fixture
def shop(store_url: str) -> StreamTasks:
    app = StreamTasks(store_url, timeout_s=60.0, enqueue_timeout_s=60.0, tags=("u0", "dj"))
    app.task(name="shop.pack")(lambda *args, **kwargs: None)
    app.task(name="shop.mail", queue="mails")(lambda *args, **kwargs: None)
    return app


def found(app: StreamTasks, text: str, **more: Any) -> list[str]:
    page = find_tasks(app.store, app.settings.wire, parse_filter(text), **more)
    return sorted(one.id for one in page.tasks)


def settle_all(app: StreamTasks, worker: str, state: str, error: Exception) -> None:
    for tag in app.settings.tags:
        with Consumer(app.store, f"{worker}-1", tag) as child:
            while held := child.claim():
                outcome = dumps({"e": describe(error)})
                child.settle(*(outcome_of(one, state, outcome)._replace(note="crashed") for one in held))


def test_tasks_that_a_filter_means(shop: StreamTasks) -> None:
    pack, mail = shop.tasks["shop.pack"], shop.tasks["shop.mail"]
    ids = [pack.apply_async((number,), {"gift": number == 3}, task_id=f"order-{number}").id for number in range(6)]
    letters = [mail.apply_async((f"Ann{number}",), task_id=f"mail-{number}").id for number in range(3)]
    assert found(shop, "id:order-") == found(shop, "queue:default") == found(shop, "task:shop.pack") == ids
    assert found(shop, "arg.gift=true") == found(shop, "id:order-3") == ["order-3"]
    assert found(shop, "ann2") == found(shop, 'arg.0="Ann2"') == letters[2:]
    assert (found(shop, "until:1h"), found(shop, "since:1h")) == ([], sorted([*ids, *letters]))
    settle_all(shop, "web-7", "FAILURE", LookupError("no"))
    assert found(shop, "error:LookupError task:shop.mail") == found(shop, "queue:mails outcome:FAILURE") == letters
    assert found(shop, "state:finished worker:web-7") == found(shop, "state:failed worker:web-7-1 since:1h")
    assert found(shop, "state:failed worker:we") == found(shop, "outcome:DEAD") == found(shop, "state:failed until:1h")
    with pytest.raises(InvalidTask, match="dead letters have a list of their own"):
        found(shop, "state:dead")


def test_pages_end_with_the_last_one_that_is_meant(shop: StreamTasks) -> None:
    pack = shop.tasks["shop.pack"]
    ids = [pack.apply_async((number, number % 3), task_id=f"o{number:03d}").id for number in range(130)]
    wire, where = shop.settings.wire, parse_filter("arg.1=0")
    pages, cursor = list[list[str]](), ""
    while not pages or cursor:
        page = find_tasks(shop.store, wire, where, cursor, 20)
        pages.append([one.id for one in page.tasks])
        cursor = page.cursor
    assert sorted(one for page in pages for one in page) == ids[::3]
    assert max(map(len, pages)) == 20
    page = find_tasks(shop.store, wire, parse_filter("arg.1=7"), looks=1)
    assert (page.tasks, bool(page.cursor)) == ([], True)


def test_dead_letters_that_a_filter_means(shop: StreamTasks) -> None:
    for number in range(6):
        shop.tasks["shop.pack"].apply_async((number, number % 2), task_id=f"o{number}")
    settle_all(shop, "web-7", "DEAD", KeyError("x"))
    store, wire = shop.store, shop.settings.wire

    def letters(text: str, cursor: str = "", limit: int = 100) -> tuple[list[str], str]:
        page = find_letters(store, wire, parse_filter(text, DEAD), cursor, limit)
        return [one.id for one in page.letters], page.cursor

    every = {f"o{number}" for number in range(6)}
    assert set(letters("error:crashed worker:web-7")[0]) == set(letters("error:KeyError since:1h pack")[0]) == every
    assert letters("until:1h") == letters("error:ValueError") == letters("worker:web-8") == ([], "")
    first, cursor = letters("arg.1=1", limit=2)
    second, _ = letters("arg.1=1", cursor, 2)
    assert sorted(first + second) == ["o1", "o3", "o5"]
    with pytest.raises(InvalidTask, match="here are dead letters only"):
        letters("state:failed")
