"""Rate limits are read exactly, and refused by name and value where they cannot be read."""

from __future__ import annotations

import re
from typing import Any

import pytest

from streamtasks import InvalidTask, StreamTasks, TaskOptions
from streamtasks.stores.types import Limit
from streamtasks.tasks.rate_limit import check_rate_limit, interval_us, key_of, limit_name, limit_of


@pytest.mark.parametrize(
    ("rate", "interval"),
    [
        (None, 0),
        (0, 0),
        (0.0, 0),
        ("0", 0),
        ("0/m", 0),
        (10, 100_000),
        (0.1, 10_000_000),
        (3, 333_334),
        (0.7, 1_428_572),
        (1_000_000, 1),
        ("5/s", 200_000),
        ("5", 200_000),
        (" 10/m ", 6_000_000),
        ("100/h", 36_000_000),
        ("7/d", 12_342_857_143),
        ("0.5/d", 172_800_000_000),
        (".5/s", 2_000_000),
    ],
)
def test_rates(rate: Any, interval: int) -> None:
    assert interval_us(rate) == interval


@pytest.mark.parametrize(
    "rate",
    [
        "fast", "10/x", "/s", "10/", "-1/s", "1e3/s", "10 / m", "", b"5/s", -1, -0.5, True, float("nan"), float("inf"),
        2_000_000, "0.000000001/d", [], "1/s/s", "٣/s",
    ],
)  # fmt: skip
def test_what_is_no_rate_is_refused_by_name_and_value(rate: Any) -> None:
    with pytest.raises(InvalidTask, match=f"rate_limit is {re.escape(repr(rate))}"):
        interval_us(rate)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ((10, 0, None), "rate_limit_burst is 0"),
        ((10, -3, None), "rate_limit_burst is -3"),
        ((10, 1.5, None), "rate_limit_burst is 1.5"),
        ((10, True, None), "rate_limit_burst is True"),
        ((10, 10_001, None), "rate_limit_burst is 10001"),
        (("1/d", 10_000, None), "rate_limit_burst is 10000"),
        ((None, 5, None), "rate_limit_burst is 5"),
        ((0, 1, "user"), "rate_limit_key is 'user'"),
        ((10, 1, 7), "rate_limit_key is 7"),
        (("often", 1, None), "rate_limit is 'often'"),
    ],
)
def test_options_are_refused_by_name_and_value(options: tuple[Any, ...], named: str) -> None:
    with pytest.raises(InvalidTask, match=named):
        check_rate_limit(*options)
    with pytest.raises(InvalidTask, match=named):
        TaskOptions(**dict(zip(("rate_limit", "rate_limit_burst", "rate_limit_key"), options, strict=True)))
    app: Any = StreamTasks()
    with pytest.raises(InvalidTask, match=named):
        app.task(**dict(zip(("rate_limit", "rate_limit_burst", "rate_limit_key"), options, strict=True)))(lambda: None)


def test_names() -> None:
    assert limit_name("shop.tasks.mail") == "shop.tasks.mail"
    assert limit_name("shop.tasks.mail", "user-7") == "shop.tasks.mail:user-7"
    odd = [limit_name("mail", key) for key in ("a b", "a,b", "a\0b", "ä", "x" * 200, "y" * 200, "\ud800")]
    assert len(set(odd)) == len(odd)
    for name in odd:
        assert re.fullmatch(r"mail:[0-9a-f]{32}", name)
    assert len(limit_name("t" * 300, "k")) <= 128


def test_keys() -> None:
    def per_user(user: int, *, tenant: str = "") -> Any:
        return f"{tenant}/{user}" if tenant else user

    assert key_of(None) == key_of("") == key_of(lambda: None) == ""
    assert key_of("all") == "all"
    assert key_of(per_user, (7,)) == "7"
    assert key_of(per_user, (7,), {"tenant": "t"}) == "t/7"
    with pytest.raises(InvalidTask, match="rate_limit_key"):
        key_of(per_user, ())
    with pytest.raises(InvalidTask, match=r"rate_limit_key.*returned 1.5"):
        key_of(lambda: 1.5)


def test_limits() -> None:
    assert limit_of("t", None) is None
    assert limit_of("t", 0, 1, None) is None
    assert limit_of("t", "10/s") == Limit("t", 100_000, 1)
    assert limit_of("t", "10/s", 5, lambda user: user, ("u",)) == Limit("t:u", 100_000, 5)


def test_a_task_limits_its_calls() -> None:
    app = StreamTasks()

    @app.task(name="mail", rate_limit="10/s", rate_limit_burst=2, rate_limit_key=lambda to, **_: to)
    def mail(to: str, subject: str = "") -> None: ...

    @app.task(name="free")
    def free() -> None: ...

    assert mail.limit_of(("a@b",), {"subject": "s"}) == Limit("mail:" + limit_name("mail", "a@b")[5:], 100_000, 2)
    assert mail.using(rate_limit=None, rate_limit_burst=1, rate_limit_key=None).limit_of(("a",), {}) is None
    assert free.limit_of((), {}) is None
    assert free.using(rate_limit=4).limit_of((), {}) == Limit("free", 250_000, 1)
