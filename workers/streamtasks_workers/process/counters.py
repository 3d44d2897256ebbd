"""What a process counts for metrics, in shared memory: numbers that only rise, in rows with names.

One process writes, the keeper reads at a scrape. There is no lock and no system call: to count an attempt costs about a
microsecond. The memory belongs to a board, not to a child, so that the next child counts on where one has ended.
"""

from __future__ import annotations

import mmap
import struct
from array import array
from bisect import bisect_left
from collections.abc import Iterator
from typing import Final

from streamtasks.protocol.printable import clean

from .board_layout import HEADER_BYTES
from .counted import (
    CALL_BOUNDS_S,
    DURATION_BOUNDS_S,
    DURATION_PLACES,
    OTHER,
    OUTCOMES,
    RETRY_REASONS,
    RUN_BOUNDS_S,
    WAIT_BOUNDS_S,
    Exemplar,
    Histogram,
    Row,
    TaskNumbers,
    series_counts,
)

__all__ = ["Counters"]

MOST_ROWS: Final = 640
"""Names past 500 fold into `OTHER` anyway; the rest is for queues and what has fixed names."""

MOST_TALLIES: Final = 2000
"""A task has one for each queue and priority."""

_WORD: Final = 8
_NAME_BYTES: Final = 512
# A row, words: 48 for numbers, then an id of at most 71 bytes, then the name.
_ID_AT: Final = 48
_NAME_AT: Final = _ID_AT + 9
_ROW: Final = _NAME_AT + _NAME_BYTES // _WORD
_CURRENT_AT: Final = 1
_SLOTS_AT: Final = 8
_ROWS_AT: Final = _SLOTS_AT + HEADER_BYTES  # a board has fewer slots
_NAME: Final = struct.Struct("<H510s")

# Numbers of a row of the family "task".
_SECONDS, _BUCKETS = 6, 7  # before them: one for each of OUTCOMES
_WAITED: Final = _BUCKETS + len(RUN_BOUNDS_S) + 1
_WAITS: Final = _WAITED + 1
_RETRIES: Final = _WAITS + len(WAIT_BOUNDS_S) + 1
_SLOW_AT_MS, _SLOW_NS = _RETRIES + 4, _RETRIES + 5

# A tally has the numbers of a row "task" up to its waits, then where that row is, and the row "wait" of its queue.
_AT: Final = _RETRIES
_WAIT_AT: Final = _AT + 1
_ZEROS: Final = [0] * _AT

# Numbers of other histograms.
_SUM, _FIRST = 0, 1

# What `take` has taken of a row "task": its numbers up to the retries.
_TAKEN: Final = _RETRIES + 4

_STATES: Final = {state: place for place, state in enumerate(OUTCOMES)}
_DURATIONS_NS: Final = tuple(round(bound * 1e9) for bound in RUN_BOUNDS_S)
_WAITS_MS: Final = tuple(round(bound * 1e3) for bound in WAIT_BOUNDS_S)
_CALLS_NS: Final = tuple(round(bound * 1e9) for bound in CALL_BOUNDS_S)


class Counters:
    """The rows of one writer. Made before the forks; numbers stay when the writer is replaced by another one."""

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, _WORD * (_ROWS_AT + MOST_ROWS * _ROW))
        self._words = memoryview(self._memory).cast("Q")
        self._tallies: dict[tuple[str, str], list[int]] = {}  # stream and task -> what is not flushed yet
        self._last_task = self._last_stream = ""
        self._last: list[int] = []
        self._running = [self._last] * HEADER_BYTES  # slot -> the tally of its attempt
        self._is_changed = False
        self._taken = memoryview(mmap.mmap(-1, _WORD * MOST_ROWS * _TAKEN)).cast("Q")
        self._rows: dict[Row, int] = {}
        for family in ("task", "wait"):
            self._row(Row(family, OTHER, OTHER if family == "task" else ""))
        self._late = self._row(Row("late"))

    # -- the writer ----------------------------------------------------------------------------------

    def adopt(self) -> None:
        """Learn the rows that writers before this one have made. Call it first in a new process."""
        self._rows = {row: self._at(place) for place, row in enumerate(self._names())}
        self._tallies.clear()
        self._last_stream = ""
        self._words[_CURRENT_AT] = 0

    def started(self, slot: int, stream: str, task: str, started_ms: int, entry: str) -> None:
        """Count the start of an attempt.

        Args:
            slot: its place on the board.
            stream: the name of its stream, ``"<priority>:<queue>"``.
            task: the name of its task, empty: it is not known.
            started_ms: when it starts by the store's clock, ms since the epoch.
            entry: its entry in the stream, which begins with the time at which it could be claimed (13 digits, ms).
        """
        if task != self._last_task or stream != self._last_stream:
            self._last_task, self._last_stream = task, stream
            self._last = self.tally(stream, task)
        tally = self._last
        self._running[slot] = tally
        self._words[_SLOTS_AT + slot] = tally[_AT]
        try:
            waited_ms = started_ms - int(entry[:13])
        except ValueError:
            return
        waited_ms = max(waited_ms, 0)
        tally[_WAITED] += waited_ms
        tally[_WAITS + bisect_left(_WAITS_MS, waited_ms)] += 1

    def tally(self, stream: str, task: str) -> list[int]:
        """Return what is not shown yet of a task in a stream."""
        return self._tallies.get((stream, task)) or self._new_tally(stream, task)

    def runs(self, stream: str, task: str) -> None:
        """Note what a child runs that runs one attempt at a time."""
        self._words[_CURRENT_AT] = self.tally(stream, task)[_AT]

    def succeeded(self, tally: list[int], count: int, spent_ns: int) -> None:
        """Count successes that were quick enough for the first bucket."""
        tally[0] += count
        tally[_SECONDS] += spent_ns
        tally[_BUCKETS] += count
        self._is_changed = True

    def waited_alike(self, tally: list[int], count: int, longest_ms: int, shortest_ms: int) -> bool:
        """Count how long messages waited; False, and nothing is counted: they do not belong into one bucket.

        A negative time is not known, and is not counted.
        """
        bucket = bisect_left(_WAITS_MS, longest_ms)
        if bucket != bisect_left(_WAITS_MS, shortest_ms) or (longest_ms < 0) != (shortest_ms < 0):
            return False
        if longest_ms >= 0:
            tally[_WAITED] += count * (longest_ms + shortest_ms) // 2
            tally[_WAITS + bucket] += count
            self._is_changed = True
        return True

    def late(self, late_ms: int) -> None:
        """Count the first start of a message that was not to start before a time, so many ms after that time."""
        late_ms = max(0, late_ms)
        self._words[self._late + _SUM] += late_ms
        self._words[self._late + _FIRST + bisect_left(_WAITS_MS, late_ms)] += 1

    def finished(self, slot: int, state: str, ran_ns: int) -> None:
        """Count the end of the attempt in a slot. Readers see it after `flush`."""
        tally = self._running[slot]
        place = _STATES.get(state)
        if place is not None:  # else it runs again
            tally[place] += 1
        tally[_SECONDS] += ran_ns
        tally[_BUCKETS + bisect_left(_DURATIONS_NS, ran_ns)] += 1
        self._is_changed = True

    def flush(self) -> None:
        """Show readers what was counted since the last time; after each batch, since shared memory takes longer."""
        if not self._is_changed:
            return
        self._is_changed = False
        words = self._words
        for tally in self._tallies.values():
            if not any(tally[:_AT]):
                continue
            at, wait_at = tally[_AT], tally[_WAIT_AT]
            for place, number in enumerate(tally[:_AT]):
                if number:
                    words[at + place] += number
            for place, number in enumerate(tally[_WAITED:_AT]):
                if number:
                    words[wait_at + place] += number
            tally[:_AT] = _ZEROS

    def slow(self, slot: int, task_id: str, ran_ns: int, at_ms: int) -> None:
        """Keep a long attempt as an exemplar."""
        at = self._words[_SLOTS_AT + slot]
        self._words[at + _SLOW_NS] = 0  # while it is being written, there is none
        struct.pack_into("72p", self._memory, _WORD * (at + _ID_AT), task_id.encode())
        self._words[at + _SLOW_AT_MS] = at_ms
        self._words[at + _SLOW_NS] = ran_ns

    def retried(self, slot: int, reason: str) -> None:
        """Count that the attempt in a slot runs again, for one of `RETRY_REASONS`."""
        self._words[self._words[_SLOTS_AT + slot] + _RETRIES + RETRY_REASONS.index(reason)] += 1

    def detach(self) -> None:
        """Go on with a copy that nobody else sees: this process is not the writer."""
        memory = mmap.mmap(-1, len(self._memory))
        memory[:] = self._memory[:]
        self._memory, self._words = memory, memoryview(memory).cast("Q")

    # -- the keeper, as a writer of its own ----------------------------------------------------------

    def task_row(self, queue: str, task: str) -> int:
        """Return the row of a task in a queue; ``task``: empty if it is not known."""
        return self._row(Row("task", queue, task or OTHER), Row("task", OTHER, OTHER))

    def ended(self, at: int, state: str, ran_ns: int) -> None:
        """Count in a row of the family "task" that an attempt was ended with this outcome."""
        words = self._words
        if (place := _STATES.get(state)) is not None:
            words[at + place] += 1
        elif state == "RETRY":
            words[at + _RETRIES + RETRY_REASONS.index("time_limit")] += 1
        words[at + _SECONDS] += ran_ns
        words[at + _BUCKETS + bisect_left(_DURATIONS_NS, ran_ns)] += 1

    def crashed(self, at: int) -> None:
        """Count in a row of the family "task" that an attempt ended with its process and runs again."""
        self._words[at + _RETRIES + RETRY_REASONS.index("crash")] += 1

    def count(self, family: str, label: str = "", by: int = 1) -> None:
        """Raise a plain number."""
        self._words[self._row(Row(family, label)) + _SUM] += by

    def called(self, call: str, took_ns: int) -> None:
        """Count a call of the store."""
        at = self._row(Row("call", call))
        self._words[at + _SUM] += took_ns
        self._words[at + _FIRST + bisect_left(_CALLS_NS, took_ns)] += 1

    def _new_tally(self, stream: str, task: str) -> list[int]:
        if len(self._tallies) >= MOST_TALLIES:
            stream, task = f":{OTHER}", OTHER
            if (known := self._tallies.get((stream, task))) is not None:
                return known
        queue = stream.partition(":")[2]
        at, wait_at = self.task_row(queue, task), self._row(Row("wait", queue), Row("wait", OTHER))
        tally = self._tallies[stream, task] = [*_ZEROS, at, wait_at]
        return tally

    def _row(self, row: Row, instead: Row | None = None) -> int:
        at = self._rows.get(row)
        if at is not None:
            return at
        shown = Row(*map(clean, row))  # so that names are separate, and labels
        if (at := self._rows.get(shown)) is not None:
            self._rows[row] = at
            return at
        place = self._words[0]
        name = "\0".join(shown).encode()
        if place >= MOST_ROWS - (32 if instead else 0) or len(name) > 510:
            if instead is None:
                raise ValueError(f"there is no room for another row of counters: {row}")
            return self._rows[instead]
        at = self._at(place)
        _NAME.pack_into(self._memory, _WORD * (at + _NAME_AT), len(name), name)
        self._words[0] = place + 1  # from now on readers see it
        self._rows[row] = self._rows[shown] = at
        return at

    # -- the reader ----------------------------------------------------------------------------------

    def rows(self) -> Iterator[tuple[Row, int]]:
        """Yield every row, and where it is."""
        for place, row in enumerate(self._names()):
            yield row, self._at(place)

    def task_of(self, slot: int) -> int:
        """Return the row of the attempt in a slot."""
        return self._words[_CURRENT_AT] or self._words[_SLOTS_AT + slot]

    def row_at(self, at: int) -> Row | None:
        """Return what a row counts; None: there is no row."""
        if at < _ROWS_AT:
            return None
        length, name = _NAME.unpack_from(self._memory, _WORD * (at + _NAME_AT))
        return Row(*name[:length].decode().split("\0"))

    def number(self, at: int) -> int:
        """Return a plain number."""
        return self._words[at + _SUM]

    def wait(self, at: int) -> Histogram:
        """Return a histogram of the families "wait" and "late"."""
        return self._histogram(at + _FIRST, len(WAIT_BOUNDS_S), self._words[at + _SUM] / 1e3)

    def call(self, at: int) -> Histogram:
        """Return a histogram of the family "call"."""
        return self._histogram(at + _FIRST, len(CALL_BOUNDS_S), self._words[at + _SUM] / 1e9)

    def task(self, at: int) -> TaskNumbers:
        """Return the numbers of a row of the family "task"."""
        words = self._words
        exemplar = None
        if slow_ns := words[at + _SLOW_NS]:
            task_id = struct.unpack_from("72p", self._memory, _WORD * (at + _ID_AT))[0].decode("utf-8", "replace")
            exemplar = Exemplar(task_id, slow_ns / 1e9, words[at + _SLOW_AT_MS] / 1e3)
        return TaskNumbers(
            tuple(words[at : at + len(OUTCOMES)]),
            Histogram(self._durations(at), words[at + _SECONDS] / 1e9),
            tuple(words[at + _RETRIES : at + _RETRIES + len(RETRY_REASONS)]),
            exemplar,
        )

    def take(self) -> Iterator[tuple[str, str, list[int]]]:
        """Yield what was counted since the last time, by queue and task, as a series has it. For one reader."""
        for place, row in enumerate(self._names()):
            if row.family != "task":
                continue
            at, known_at = self._at(place), place * _TAKEN
            now, known = self._words[at : at + _TAKEN].tolist(), self._taken[known_at : known_at + _TAKEN].tolist()
            new = [number - before for number, before in zip(now, known, strict=True)]
            now[_SECONDS] -= new[_SECONDS] % 1_000_000  # the rest of a ms comes next time
            if any(new):
                self._taken[known_at : known_at + _TAKEN] = memoryview(array("Q", now))
                histograms = new[_BUCKETS:_WAITED], new[_WAITS:_RETRIES]
                sums = new[_SECONDS] // 1_000_000, new[_WAITED]
                yield row.first, row.second, series_counts(new[: len(OUTCOMES)], sum(new[_RETRIES:]), sums, histograms)

    def _durations(self, at: int) -> tuple[int, ...]:
        found = [0] * (len(DURATION_BOUNDS_S) + 1)
        for place, of in enumerate(DURATION_PLACES):
            found[of] += self._words[at + _BUCKETS + place]
        return tuple(found)

    def _histogram(self, at: int, bounds: int, total: float) -> Histogram:
        return Histogram(tuple(self._words[at : at + bounds + 1]), total)

    def _names(self) -> Iterator[Row]:
        for place in range(self._words[0]):
            row = self.row_at(self._at(place))
            assert row is not None
            yield row

    @staticmethod
    def _at(place: int) -> int:
        return _ROWS_AT + place * _ROW
