"""What is stored of a schedule, and the messages of its occurrences."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from streamtasks import Message, StreamTasks
from streamtasks.exceptions import DecodeError, InvalidTask
from streamtasks.protocol.json import dumps
from streamtasks.protocol.shards import occurrence_id, tag_of
from streamtasks.schedules.definition import Definition
from streamtasks.schedules.rules import Rule, crontab, every
from streamtasks.settings import StoreSettings
from streamtasks.stores.schedule_store import DueSchedule
from streamtasks.stores.types import Limit
from streamtasks.tasks.signature import Signature

SETTINGS = StoreSettings(tags=("u0", "qp"))
AT_MS = round(datetime(2026, 6, 15, 12, tzinfo=UTC).timestamp() * 1000)
app = StreamTasks("memory://definitions")


@app.task(queue="reports", priority=3, rate_limit="10/m", expires=60)
def report(*args: Any, **kwargs: Any) -> None: ...


@app.task
def told(*args: Any) -> None: ...


def definition(signature: Signature, rule: Rule | None = None, **more: Any) -> Definition:
    return Definition.of("nightly report", rule or every(60), report.resolve(signature, "u0"), **more)


def test_it_comes_back_as_it_was_stored() -> None:
    rule = crontab(hour=3, minute=0, day_of_week="mon-fri", tz="Europe/Berlin")
    made = definition(report.s(1, user="ü"), rule, misfire="all", misfire_bound=timedelta(hours=2))
    read = Definition.decode(made.encode(), made.name)
    assert read == made
    assert (read.rule, read.misfire, read.bound_s) == (rule, "all", 7200)
    assert (read.signature.task, read.signature.args, read.signature.kwargs) == (report.name, (1,), {"user": "ü"})
    new = made.new_schedule(AT_MS)
    assert (new.name, new.next_ms, new.declared) == ("nightly report", rule.next_ms(AT_MS), "")
    assert new == definition(report.s(1, user="ü"), rule, misfire="all", misfire_bound=7200).new_schedule(AT_MS)
    assert new.rule != definition(report.s()).new_schedule(AT_MS).rule
    assert new.rule == definition(report.s(2), rule, misfire="skip").new_schedule(AT_MS).rule


def test_a_rule_without_a_zone_is_stored_with_the_one_it_is_meant_in() -> None:
    assert Definition.decode(definition(report.s(), crontab(hour=3)).encode(), "n").rule == crontab(hour=3, tz="UTC")


def test_one_occurrence_is_one_message() -> None:
    signature = report.s(1, b=2).set(headers={"user": 7}, countdown=5, max_retries=None, soft_time_limit=1)
    made = definition(signature)
    new = made.message(AT_MS, "qp", SETTINGS)
    assert new == Definition.decode(made.encode(), made.name).message(AT_MS, "qp", SETTINGS)
    assert new.id == occurrence_id("nightly report", AT_MS, "qp")
    assert tag_of(new.id, SETTINGS.tags) == "qp"
    assert (new.queue, new.priority, new.due_ms, new.delay_ms) == ("reports", 3, AT_MS + 5000, None)
    assert new.limit == Limit(report.name, 6_000_000, 1)
    assert new.expires_ms == AT_MS + 60_000
    message = Message.decode(new.envelope, task_id=new.id)
    assert (message.id, message.task, message.args, message.kwargs) == (new.id, report.name, [1], {"b": 2})
    assert (message.expires_ms, message.due_ms) == (AT_MS + 60_000, AT_MS + 5000)
    assert (message.max_retries, message.soft_limit_s, message.parent_id) == (-1, 1, "")
    assert message.headers == {
        "user": 7,
        "schedule": "nightly report",
        "scheduled_for": "2026-06-15T12:00:00.000+00:00",
        "schedule_rule": made.rule.as_dict(),
    }
    assert made.message(AT_MS + 1, "qp", SETTINGS).id != new.id
    assert made.message(AT_MS, "qp", SETTINGS, "own").id == "own"


def test_what_is_linked_gets_ids_of_each_occurrence() -> None:
    inner = told.s("inner")
    signature = report.s().set(link=[told.s("one").set(link=inner), told.s("two")], link_error=told.s("bad"))
    made = definition(signature)
    assert made.encode() == definition(signature).encode()
    found = set()
    for at_ms in (AT_MS, AT_MS + 60_000):
        new = made.message(at_ms, "qp", SETTINGS)
        assert new == made.message(at_ms, "qp", SETTINGS)
        message = Message.decode(new.envelope)
        links = [*message.links, *message.links[0]["ok"], *message.error_links]
        assert [link["args"] for link in links] == [["one"], ["two"], ["inner"], ["bad"]]
        found |= {link["id"] for link in links}
        assert {tag_of(link["id"], SETTINGS.tags) for link in links} == {"qp"}
    assert len(found) == 8


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("eta", datetime(2026, 1, 1, tzinfo=UTC)),
        ("expires", datetime(2026, 1, 1, tzinfo=UTC)),
        ("link", "0" * 32 + "-u0"),
    ],
)
def test_an_option_that_makes_no_sense_again_and_again_is_refused(option: str, value: Any) -> None:
    call = report.s().set(**{option: value})
    with pytest.raises(InvalidTask, match=f"^{option} is "):
        Definition.of("name", every(60), call)


@pytest.mark.parametrize("name", ["", " a", "a\n", "a\0b", "x" * 129, None])
def test_a_wrong_name_is_refused(name: Any) -> None:
    with pytest.raises(InvalidTask, match="cannot be a schedule's name"):
        Definition.of(name, every(60), report.s())
    assert Definition.of("Täglich: 9 Uhr", every(60), report.s()).name == "Täglich: 9 Uhr"


@pytest.mark.parametrize(
    ("more", "text"),
    [
        ({"misfire": "none"}, "misfire is 'none'"),
        ({"misfire_bound": 0}, "misfire_bound is 0"),
        ({"misfire_bound": "1d"}, "misfire_bound is '1d'"),
    ],
)
def test_a_wrong_policy_is_named(more: dict[str, Any], text: str) -> None:
    with pytest.raises(InvalidTask, match=text):
        definition(report.s(), **more)


@pytest.mark.parametrize(
    "change", [{"v": 2}, {"rule": 5}, {"call": {"task": "t"}}, {"misfire": "x"}, {"bound_ms": "1"}, {"name": ""}]
)
def test_what_is_stored_may_be_damaged_or_newer(change: dict[str, Any]) -> None:
    made = definition(report.s())
    body = {
        "v": 1,
        "name": "n",
        "rule": made.rule.as_dict(),
        "call": dict(made.call),
        "misfire": "one",
        "bound_ms": 1000,
    }
    assert Definition.decode(dumps(body), "n").name == "n"
    with pytest.raises(DecodeError):
        Definition.decode(dumps({**body, **change}), "n")
    for damaged in (b"", b"[]", b"{}", dumps({name: body[name] for name in body if name != "misfire"})):
        with pytest.raises(DecodeError):
            Definition.decode(damaged, "n")


def test_a_firing_says_all_that_happens_to_a_due_schedule() -> None:
    made = definition(report.s())
    due = DueSchedule(made.name, 7, made.encode(), AT_MS - 120_000)
    firing = made.firing(due, AT_MS + 5, SETTINGS, "u0")
    assert (firing.name, firing.revision, firing.expected_ms) == (made.name, 7, AT_MS - 120_000)
    assert firing.messages == [made.message(AT_MS, "u0", SETTINGS)]
    assert (firing.next_ms, firing.missed, firing.last_ms) == (AT_MS + 60_000, 2, AT_MS)
    late = definition(report.s(), every(3600), misfire="skip").firing(due, AT_MS + 90_000, SETTINGS, "u0")
    assert (late.messages, late.missed, late.last_ms, late.next_ms) == ([], 1, 0, AT_MS + 3_600_000)


def test_a_firing_of_large_messages_is_taken_in_steps() -> None:
    made = definition(report.s("x" * 400_000), misfire="all")
    next_ms, sizes, fired = AT_MS - 9 * 60_000, [], 0
    while next_ms <= AT_MS:
        firing = made.firing(DueSchedule(made.name, 1, b"", next_ms), AT_MS, SETTINGS, "u0")
        assert firing.missed == 0
        assert firing.messages[-1].id == occurrence_id(made.name, firing.last_ms, "u0")
        sizes.append(len(firing.messages))
        fired += sizes[-1]
        assert firing.next_ms is not None
        next_ms = firing.next_ms
    assert (sizes, fired) == ([3, 3, 3, 1], 10)
