"""Texts that would steer a terminal, forge a line or break a format, in every place where texts are shown."""

from __future__ import annotations

import io
import logging
from collections.abc import Callable
from typing import Any

import orjson
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_open_metrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from streamtasks import State, StreamTasks
from streamtasks.application import TaskLog
from streamtasks.exceptions import InvalidTask
from streamtasks.operations.store_metrics import exposition
from streamtasks.protocol.message import Message
from streamtasks.tasks.attempt import AttemptOutcome
from streamtasks_workers.cli.output import print_json, print_table
from streamtasks_workers.executor.attempt_log import AttemptLog
from streamtasks_workers.monitor.worker_metrics import WorkerCollector
from streamtasks_workers.process.counters import Counters
from streamtasks_workers.process.log_formats import JsonFormatter, TextFormatter
from streamtasks_workers.process.worker_counters import WorkerCounters

TEXTS = {
    "escapes": "\x1b[31mred\x1b]0;title\x07\x9b2J",
    "null": "a\0b",
    "controls": "".join(map(chr, (*range(32), *range(127, 160)))),
    "line": "a\n2026-01-01 00:00:00,000 ERROR streamtasks.worker: forged\r\nb",
    "directions": "\u202etxt.exe\u2066\u2028\u200f",
    "half": "half \ud800 of a character, and a whole one \U0001f4a5",
    "quotes": "a\"b\\c'd{}%s",
    "large": "x" * 300_000 + "\x1b",
}


def record(message: str, *args: Any, **extra: Any) -> logging.LogRecord:
    try:
        raise ValueError(message)
    except ValueError as error:
        exc_info = (ValueError, error, error.__traceback__)
    made = logging.LogRecord("shop\x1b", logging.INFO, __file__, 1, message, args, exc_info)
    vars(made).update(extra)
    return made


def is_harmless(text: str) -> bool:
    text.encode()
    return all(line.isprintable() for line in text.split("\n"))


def lines_for_people(text: str) -> None:
    shown = TextFormatter().format(record("%s", text))
    assert is_harmless(shown.replace("\t", ""))
    assert "ERROR streamtasks.worker: forged" in shown or "forged" not in text


def lines_of_attempts(text: str) -> None:
    logger = logging.Logger("attempts")  # noqa: LOG001 - it stands outside of all
    written = io.StringIO()
    handler = logging.StreamHandler(written)
    handler.setFormatter(TextFormatter())
    logger.addHandler(handler)
    log = AttemptLog(TaskLog(), logger)
    log.ended(Message(id=text, task=text, queue=text), 1, AttemptOutcome(State.RETRY, None, ValueError(text)))
    assert is_harmless(written.getvalue())
    assert written.getvalue().count("\n") == 1


def lines_of_json(text: str) -> None:
    logged = record("%s", text, own={text: [text, float("nan"), float("inf")]}, task_name=text)
    found = orjson.loads(line := JsonFormatter().format(logged))  # stricter than the standard library
    assert is_harmless(line)
    assert "\n" not in line
    assert found["own"][next(iter(found["own"]))][1:] == ["nan", "inf"]
    if "\ud800" not in text:
        assert (found["message"], found["task_name"], [*found["own"]]) == (text, text, [text])
    assert orjson.loads(JsonFormatter().format(record(text, 1, 2)))["message"].startswith(text[:5])


def tables_and_json(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    text = text[:100_000]
    print_table(["a", "b"], [[text, text]])
    assert is_harmless(capsys.readouterr().out)
    print_json({text: [text, float("nan"), 2**63]})
    shown = capsys.readouterr().out
    assert is_harmless(shown)
    [[key, found]] = orjson.loads(shown).items()
    assert found == [key, "nan", 2**63]
    assert key == text or "\ud800" in text


def labels(text: str) -> None:
    counters = Counters()
    counters.adopt()
    for _ in range(2):
        counters.started(0, f"0:{text}", text, 1_700_000_000_000, "1700000000000-0")
        counters.finished(0, "SUCCESS", 10**9)
        counters.slow(0, "an id", 10**9, 1_700_000_000_000)
        counters.flush()
        counters.adopt()  # as the next child of the board does
    for accept, parse in (("", parse_text), ("application/openmetrics-text", parse_open_metrics)):
        page = exposition(WorkerCollector([], WorkerCounters((counters,))), accept)[1].decode()
        assert is_harmless(page)
        families = {one.name: one for one in parse(page)}
        finished = {
            sample.labels["task"]: sample.value
            for sample in families["streamtasks_tasks_finished"].samples
            if sample.labels["outcome"] == "success"
        }
        assert [*finished.values()] == [2]


def names(text: str) -> None:
    app = StreamTasks("memory://hostile-texts")
    if text.isprintable():
        app.task(name=text)(print)
    else:
        with pytest.raises(InvalidTask, match="cannot be a task's name") as caught:
            app.task(name=text)(print)
        assert is_harmless(str(caught.value))


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
@pytest.mark.parametrize("show", [lines_for_people, lines_of_attempts, lines_of_json, tables_and_json, labels, names])
def test_nothing_is_steered_forged_or_broken(
    show: Callable[..., None], text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    if show is tables_and_json:
        show(text, capsys)
    else:
        show(text)
