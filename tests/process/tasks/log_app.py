"""Tasks of a plain app that log; see `proc_app`."""

from __future__ import annotations

import asyncio
import logging
import os
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


def make(url: str) -> StreamTasks:
    made = StreamTasks(url, label="log_app:app")
    for function in (say, asay, fail, once_more, nothing, stay):
        made.task(name=function.__name__)(function)
    return made


app = make(os.environ.get("PROC_APP_URL", "memory://"))
