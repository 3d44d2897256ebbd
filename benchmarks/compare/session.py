"""One system for one round: its producer, its workers, and what is measured of them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, NamedTuple

import psutil
import redis

from compare.catalog import Listed

FOLDER = Path(__file__).parent.parent
_MARK = 0.1
"""What is done of a drain when its measurement begins: all processes run by then."""
_PATIENCE_S = 120
"""How long a producer may take to answer."""


class Amount(NamedTuple):
    """How much is done of each kind."""

    drain_s: float
    enqueue_s: float
    memory: int
    paced: int
    round_trips: int
    round_trips_s: float
    most: int
    """The most tasks of one drain or one enqueueing."""


FULL = Amount(drain_s=2.0, enqueue_s=0.5, memory=2_000, paced=120, round_trips=200, round_trips_s=1.0, most=60_000)
QUICK = Amount(drain_s=0.8, enqueue_s=0.2, memory=500, paced=40, round_trips=50, round_trips_s=0.5, most=20_000)


class Failed(Exception):
    """A system did not do what it was asked for; the others go on."""


class Producer:
    """The process in a system's environment that enqueues and waits for results."""

    def __init__(self, listed: Listed, python: str, url: str, log: IO[bytes]) -> None:
        self._environment = os.environ | listed.environment | {"COMPARE_URL": url, "PYTHONPATH": str(FOLDER)}
        self._python, self._log = python, log
        self._process = subprocess.Popen(
            [python, "-m", "compare.driver", listed.module],
            cwd=FOLDER,
            env=self._environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
        try:
            about = self.ask("about")
        except Failed:
            self.close()
            raise
        self.database: int = about["database"]
        self.counter: list[str] = about["counter"]
        self._environment |= about["environment"]

    def ask(self, what: str, **values: Any) -> Any:
        """Let it do something, and return the answer; it is ended if there is none for long."""
        limit = threading.Timer(_PATIENCE_S, self._process.kill)
        limit.start()
        try:
            return self._exchange(what, values)
        finally:
            limit.cancel()

    def _exchange(self, what: str, values: dict[str, Any]) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps({"do": what, **values}) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            raise Failed(f"{what}: the producer has ended")
        answer = json.loads(line)
        if "error" in answer:
            raise Failed(f"{what}: {answer['error']}")
        return answer["value"]

    @contextmanager
    def workers(self, processes: int) -> Iterator[list[psutil.Process]]:
        """Run workers; when the block ends they are stopped, each process by its id."""
        started: list[psutil.Process] = []
        try:
            for words in self.ask("worker", processes=processes):
                started.append(self._start(words))  # noqa: PERF401 - one by one: those of a failed start are stopped
            yield started
        finally:
            stop(started)

    def _start(self, words: list[str]) -> psutil.Popen:
        return psutil.Popen(
            [self._python, *words],
            cwd=FOLDER,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
            start_new_session=True,
        )

    def close(self) -> None:
        """End it."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(3)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def family(started: list[psutil.Process]) -> list[psutil.Process]:
    """Return processes and all their descendants."""
    found = list(started)
    for process in started:
        try:
            found += process.children(recursive=True)
        except psutil.NoSuchProcess:
            continue
    return found


def stop(started: list[psutil.Process]) -> None:
    """Ask processes to end, and end what is left of their families."""
    everyone = family(started)
    for process in started:
        if process.is_running():
            process.send_signal(signal.SIGTERM)
    _, alive = psutil.wait_procs(everyone, timeout=4)
    for process in alive:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue
    psutil.wait_procs(alive, timeout=4)


def cpu_s(started: list[psutil.Process]) -> float:
    """Return the processor time of processes, their descendants, and the descendants that have ended."""
    total = 0.0
    for process in family(started):
        try:
            times = process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += times.user + times.system + times.children_user + times.children_system
    return total


class Session:
    """What is measured of one system in one round."""

    def __init__(self, listed: Listed, python: str, url: str, amount: Amount, tasks: int | None) -> None:
        self._listed, self._python, self._url, self._amount, self._tasks = listed, python, url, amount, tasks
        self._client = redis.Redis.from_url(url)

    def measure(self, *, first: bool) -> dict[str, Any]:
        """Return the figures of one round.

        Args:
            first: check before that tasks run and that their results are right.

        Raises:
            Failed: the system does not do what it should; the message ends with what its processes wrote last.
        """
        with tempfile.TemporaryFile() as log:
            try:
                self._empty()
                return self._measure(log, first=first)
            except Failed as failed:
                log.seek(0)
                written = log.read()[-1500:].decode("utf-8", "replace")
                raise Failed(f"{failed}\nWhat its processes have written:\n{written}") from None

    def _measure(self, log: IO[bytes], *, first: bool) -> dict[str, Any]:
        producer = Producer(self._listed, self._python, self._url, log)
        try:
            if first:
                self._check(producer)
            found = self._enqueue(producer)
            found |= {"drain_1": self._drain(producer, 1)}
            with self._filled(producer, 2) as (workers, count):
                found |= {"drain_2": self._watch(producer, workers, count)}
                return found | self._latency(producer)
        finally:
            producer.close()

    def _empty(self) -> None:
        self._client.execute_command("FLUSHALL", "SYNC")

    def _restart(self, producer: Producer) -> None:
        self._empty()
        producer.ask("start")

    def _finished(self, producer: Producer, client: redis.Redis) -> int:
        return int(client.execute_command(*producer.counter) or 0)

    def _check(self, producer: Producer) -> None:
        self._restart(producer)
        with producer.workers(2):
            producer.ask("check", count=20)

    def _count(self, per_s: float, seconds: float) -> int:
        return self._tasks or max(20, min(self._amount.most, int(per_s * seconds)))

    def _enqueue(self, producer: Producer) -> dict[str, Any]:
        amount = self._amount
        self._restart(producer)
        producer.ask("each", task="take", count=20, size=200)
        before = self._memory()
        producer.ask("fill", task="take", count=amount.memory, size=200)
        found: dict[str, Any] = {"bytes_per_queued": (self._memory() - before) / amount.memory}
        few = producer.ask("each", task="noop", count=50)
        found["each"] = producer.ask("each", task="noop", count=self._count(few["per_s"], amount.enqueue_s))
        if producer.ask("many", task="noop", count=50) is None:
            return found | {"many": None}
        some = producer.ask("many", task="noop", count=200)
        found["many"] = producer.ask("many", task="noop", count=self._count(some["per_s"], amount.enqueue_s))
        return found

    def _memory(self) -> int:
        info: Any = self._client.info("memory")
        return int(info["used_memory"])

    def _server_s(self) -> float:
        info: Any = self._client.info("cpu")
        return float(info["used_cpu_user"]) + float(info["used_cpu_sys"])

    @contextmanager
    def _filled(self, producer: Producer, processes: int) -> Iterator[tuple[list[psutil.Process], int]]:
        self._restart(producer)
        count = self._count(self._listed.per_s, self._amount.drain_s * processes)
        producer.ask("fill", task="noop", count=count)
        with producer.workers(processes) as workers:
            yield workers, count

    def _drain(self, producer: Producer, processes: int) -> dict[str, float]:
        with self._filled(producer, processes) as (workers, count):
            return self._watch(producer, workers, count)

    def _watch(self, producer: Producer, workers: list[psutil.Process], count: int) -> dict[str, float]:
        """Measure a drain from its first tenth to its end, and check that every result is there."""
        deadline = time.monotonic() + 60
        with redis.Redis.from_url(self._url.removesuffix("/0") + f"/{producer.database}") as client:
            first = self._wait(producer, client, max(1, int(count * _MARK)), deadline, 0.002)
            begun, worker_s, server_s = time.perf_counter(), cpu_s(workers), self._server_s()
            done = self._wait(producer, client, count, deadline, 0.004)
            spent = time.perf_counter() - begun
        ran = max(1, done - first)
        found = {
            "per_s": ran / spent,
            "worker_us": (cpu_s(workers) - worker_s) / ran * 1e6,
            "server_us": (self._server_s() - server_s) / ran * 1e6,
            "tasks": count,
        }
        if done != count:
            raise Failed(f"{done} of {count} tasks have finished")
        found["results_read"] = producer.ask("results", count=50)
        return found

    def _wait(self, producer: Producer, client: redis.Redis, count: int, deadline: float, every_s: float) -> int:
        while (done := self._finished(producer, client)) < count:
            if time.monotonic() > deadline:
                raise Failed(f"{done} of {count} tasks have finished after a minute")
            time.sleep(every_s)
        return done

    def _latency(self, producer: Producer) -> dict[str, Any]:
        amount = self._amount
        producer.ask("round_trips", count=5, within_s=1.0)
        return {
            "start_ms": _percentiles(producer.ask("paced", count=amount.paced, per_s=50)),
            "round_trip_ms": _percentiles(
                producer.ask("round_trips", count=amount.round_trips, within_s=amount.round_trips_s)
            ),
        }


def _percentiles(values: list[float]) -> dict[str, float]:
    ordered = sorted(values)
    last = len(ordered) - 1
    return {"p50": ordered[round(0.5 * last)], "p99": ordered[round(0.99 * last)], "of": len(ordered)}
