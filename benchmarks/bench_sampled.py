"""Middleware that samples where a child spends its processor time, and an app with it."""

from __future__ import annotations

import json
import os
import signal
from collections import Counter
from collections.abc import Generator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from streamtasks import Middleware, StreamTasks

INTERVAL_S = 0.001
ROOT = Path(__file__).resolve().parent.parent
DEEPEST = 12

_samples: Counter[str] = Counter()
_known: dict[Any, str] = {}


def place_of(frame: FrameType | None) -> str:
    """Return the innermost place of a stack that is ours, Django's or a client library's: module and function."""
    for _ in range(DEEPEST):
        if frame is None:
            break
        code = frame.f_code
        place = _known.get(code)
        if place is None:
            module = str(frame.f_globals.get("__name__"))
            ours = module.partition(".")[0] in (
                "streamtasks",
                "streamtasks_workers",
                "streamtasks_django",
                "django",
                "redis",
                "logging",
            ) or module.startswith("bench")
            place = _known[code] = f"{module}:{code.co_qualname}" if ours else ""
        if place:
            return place
        frame = frame.f_back
    return "?"


def _sample(_number: int, frame: FrameType | None) -> None:
    _samples[place_of(frame)] += 1


class Sampler(Middleware):
    """Writes the samples of a child to ``STREAMTASKS_BENCHMARK_SAMPLES`` when it ends."""

    def in_child(self) -> AbstractContextManager[None]:
        return self._sampled()

    @contextmanager
    def _sampled(self) -> Generator[None]:
        signal.signal(signal.SIGPROF, _sample)
        signal.setitimer(signal.ITIMER_PROF, INTERVAL_S, INTERVAL_S)
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
            Path(os.environ["STREAMTASKS_BENCHMARK_SAMPLES"]).write_text(json.dumps(_samples))


app = StreamTasks(os.environ.get("STREAMTASKS_BENCHMARK_URL", "redis://127.0.0.1:1/0"), middleware=[Sampler()])


@app.task(name="bench_tasks.noop")
def noop() -> None:
    """Do nothing."""
