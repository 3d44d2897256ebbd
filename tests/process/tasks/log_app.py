"""Tasks of a plain app that log; see `proc_app`."""

from __future__ import annotations

import asyncio
import ctypes
import fcntl
import io
import logging
import os
import signal
import sys
import time

from streamtasks import Retry, StreamTasks, current_attempt

logger = logging.getLogger("shop")


def say(text: str, seconds: float = 0.0) -> None:
    time.sleep(seconds)
    logger.info("said %s", text, extra={"task_id": "mine", "shelf": 3} if text == "extra" else None)


async def asay(text: str) -> None:
    await asyncio.sleep(0)
    await asyncio.to_thread(logger.info, "said %s", text)


def deeper() -> None:
    raise ValueError("bad \x1b[31m news")


def fail() -> None:
    deeper()


def once_more() -> None:
    if current_attempt().retries < 1:
        raise Retry("the shelf is empty", delay_s=0.02)


def nothing() -> None:
    pass


def stay() -> None:
    until = time.monotonic() + 60
    while time.monotonic() < until:
        try:
            time.sleep(0.05)
        except Exception:
            continue


def talk() -> None:
    logging.getLogger("shop.quiet").debug("is not logged")
    logger.info("said %s", "one")
    print("printed", 2, end="")
    print(" and more\nthird")
    print("to stderr", file=sys.stderr)
    try:
        deeper()
    except ValueError:
        logger.exception("caught")
    print("no end", end="")


async def atalk() -> None:
    logger.warning("awaited")
    await asyncio.to_thread(print, "from a thread")


def hostile() -> None:
    print("a" * 10_000_000 + "z")
    print("nul \0 esc \x1b[2J half \udce9", file=io.StringIO())
    logger.info("nul \0 esc \x1b[2J half \ud800 %s", "\u202e")
    logger.info("too few %s %s", *[1])
    sys.stderr.write("x\r\n" * 3)
    sys.stdout.close()
    logger.info("after close")


def flood(count: int) -> None:
    for number in range(count):
        logger.info("line %d", number)


def die() -> None:
    if current_attempt().number == 1:
        print("last words")
        os.kill(os.getpid(), signal.SIGKILL)
    print("again")


def rest(gate: str) -> None:
    secret = gate + "hidden"
    while not os.path.exists(gate):  # noqa: PTH110
        time.sleep(0.02)
    assert secret


async def arest(gate: str) -> None:
    await asyncio.gather(asleep(gate), asleep(gate))


async def asleep(gate: str) -> None:
    while not os.path.exists(gate):  # noqa: PTH110, ASYNC110, ASYNC240
        await asyncio.sleep(0.02)


def deaf(gate: str) -> None:
    """Keep the interpreter's lock until the gate's own lock is free."""
    with open(f"{gate}.lock", "r+b") as file:  # noqa: PTH123
        ctypes.PyDLL(None).flock(file.fileno(), fcntl.LOCK_EX)


def make(url: str) -> StreamTasks:
    made = StreamTasks(url, label="log_app:app")
    for function in (say, asay, fail, once_more, nothing, stay, talk, atalk, hostile, flood, die, rest, arest, deaf):
        made.task(name=function.__name__)(function)
    return made


app = make(os.environ.get("PROC_APP_URL", "memory://"))
