"""What an error means for its call and for its connection."""

from __future__ import annotations

import errno
from typing import Any

import pytest
import redis.exceptions as r
from redis._parsers.base import BaseParser

from streamtasks.stores.redis.faults import Course, fault_of


def _parse(reply: str) -> BaseException:
    """Return the error that redis-py makes of a reply."""
    parser: Any = type("Parser", (BaseParser,), {"on_connect": None, "on_disconnect": None, "can_read": None})()
    return parser.parse_error(reply)  # type: ignore[no-any-return]


PASSES, LASTS, WRONG = Course.PASSES, Course.LASTS, Course.WRONG_SERVER


@pytest.mark.parametrize(
    ("reply", "course", "spoils"),
    [
        ("READONLY You can't write against a read only replica.", WRONG, True),
        ("MASTERDOWN Link with MASTER is down", WRONG, True),
        ("UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)", WRONG, True),
        ("CLUSTERDOWN The cluster is down", WRONG, True),
        ("NOREPLICAS Not enough good replicas to write.", WRONG, True),
        ("LOADING Redis is loading the dataset in memory", PASSES, True),
        ("BUSY Redis is busy running a script.", PASSES, False),
        ("TRYAGAIN Multiple keys request during rehashing of slot", PASSES, False),
        ("NOPERM this user has no permissions to run the 'evalsha' command", LASTS, False),
        ("WRONGPASS invalid username-password pair or user is disabled.", LASTS, True),
        ("NOAUTH Authentication required.", LASTS, True),
        ("OOM command not allowed when used memory > 'maxmemory'.", LASTS, False),
        ("ERR something is wrong", LASTS, False),
    ],
)
def test_replies(reply: str, course: Course, spoils: bool) -> None:
    fault = fault_of(_parse(reply))
    assert (fault.course, fault.spoils) == (course, spoils)


@pytest.mark.parametrize(
    ("error", "course"),
    [
        (OSError(errno.EMFILE, "Too many open files"), PASSES),
        (r.ConnectionError("Error 24 connecting to h:1. Too many open files."), PASSES),
        (r.ConnectionError("max number of clients reached"), PASSES),
        (r.TimeoutError("Timeout reading from socket"), PASSES),
        (r.MaxConnectionsError("all 2 connections are in use"), PASSES),
        (ConnectionResetError(), PASSES),
        (TimeoutError(), PASSES),
        (r.AuthenticationError("invalid password"), LASTS),
        (ValueError("ours"), LASTS),
        (KeyboardInterrupt(), LASTS),
    ],
)
def test_errors_of_the_connection_spoil_it(error: BaseException, course: Course) -> None:
    fault = fault_of(error)
    assert (fault.course, fault.spoils) == (course, True)
