"""The board: a child's page of shared memory, on which the keeper sees what the child holds and runs.

A child writes there what it claimed, what it starts and how it ended; that costs about a microsecond and
no system call. The keeper looks every 10 ms. So a start is visible even while a task holds the GIL, and when
a child dies nothing has to be guessed.

The child owns every slot; the keeper only ever changes CLAIMED to RETURNED, under the board's lock, which
the child holds while it starts a message. Fields of a slot are written before its state byte.
"""

from __future__ import annotations

import mmap
import multiprocessing
import struct
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from time import monotonic_ns
from typing import Final

from streamtasks.protocol.state import State
from streamtasks.stores.types import Claimed, Outcome

from .board_layout import (
    AGED,
    ALONE,
    ATTEMPTS,
    CLAIMED_AT,
    FINISHED,
    HARD,
    HEAD_BYTES,
    HEADER_BYTES,
    INVALIDATED,
    LEASE_NS,
    LEASED_AT,
    NAMES_AT,
    PAYLOAD_BYTES,
    RECEIVED,
    RENEWED_AT,
    SETTLING_AT,
    SLOT_BYTES,
    SOFT,
    SPENT_NS,
    STARTED,
    STATES_AT,
    STOP,
    VERSION,
)
from .boot_clock import boot_ns
from .claim_words import TAG, ClaimWords
from .doorbell import Doorbell
from .exchange_words import ExchangeWords
from .interrupt_words import InterruptWords
from .log_ring import LogRing
from .progress_words import ProgressWords
from .slot_states import Interrupt, Slot
from .stack_box import StackBox

__all__ = ["Board", "Interrupt", "Slot"]

MOST_SLOTS: Final = HEADER_BYTES - STATES_AT

# sequence, start recorded, attempt, retries, first started ms, id, entry, stream, tag
_HEAD: Final = struct.Struct("<QQIIQ65p33p140p33p")
_OUTCOME: Final = struct.Struct("<BQQQII")  # state, started ms, keep ms, delay ms, result bytes, note bytes
_SLOT_TAG_AT: Final = _HEAD.size - TAG.size
_STATES: Final = (*(state.value for state in State), "CALLED")
_STATE_CODES: Final = {state: code for code, state in enumerate(_STATES)}


class Board(ClaimWords, ProgressWords, InterruptWords, ExchangeWords):
    """One child's board. Made before the fork; both sides use the same object.

    Args:
        number: its place among those of the worker.
        slots: most messages in the child's hands.
        doorbell: wakes the child, if it serves several shards.
    """

    def __init__(self, number: int, slots: int, doorbell: Doorbell | None = None) -> None:
        if not 0 < slots <= MOST_SLOTS:
            raise ValueError(f"a board has 1 to {MOST_SLOTS} slots, not {slots}")
        self.number = number
        self.slots = slots
        self.doorbell = doorbell
        self.lines = LogRing()
        self.stacks = StackBox()
        self._memory = mmap.mmap(-1, HEADER_BYTES + slots * SLOT_BYTES)
        self._words = memoryview(self._memory).cast("Q")
        self._lock = multiprocessing.get_context("fork").Lock()
        self._acquire, self._release = self._lock.acquire, self._lock.release
        self._free = list(range(slots))
        self._tag = b""

    # -- both sides ----------------------------------------------------------------------------------

    @contextmanager
    def locked(self, timeout_s: float) -> Generator[bool]:
        """Hold the lock that excludes starting and handing back; yields False if it could not be had."""
        got = self._lock.acquire(timeout=timeout_s)
        try:
            yield got
        finally:
            if got:
                self._lock.release()

    def reset(self, consumer: str, tag: str, lease_ns: int) -> None:
        """Clear the board for a new child. Only while no process uses it.

        Args:
            consumer: the child's name.
            tag: the shard of its first claims.
            lease_ns: how long a claim lives.
        """
        self._memory[:HEADER_BYTES] = bytes(HEADER_BYTES)
        self._lock.acquire(block=False)  # a child that was killed may have held it
        self._lock.release()
        self._tag = tag.encode()
        struct.pack_into("<200p33p", self._memory, NAMES_AT, consumer.encode(), self._tag)
        self._words[LEASE_NS] = lease_ns
        self._free = list(range(self.slots))
        if self.doorbell is not None:
            self.doorbell.reset()

    @property
    def consumer(self) -> str:
        """The child's consumer name."""
        return struct.unpack_from("<200p", self._memory, NAMES_AT)[0].decode()  # type: ignore[no-any-return]

    # -- the child -----------------------------------------------------------------------------------

    def settling(self) -> None:
        """Note that all outcomes on the board go out to the store now."""
        self._words[SETTLING_AT] = monotonic_ns()

    def place(self, sequence: int, claimed: list[Claimed], *, recorded: bool) -> list[int] | None:
        """Put a claim's messages into free slots; None if the keeper has invalidated the claim.

        ``recorded``: the claim itself has recorded the start, because it took one message only.
        """
        memory, words = self._memory, self._words
        with self._lock:
            if words[INVALIDATED] == sequence:
                words[RECEIVED] = sequence
                return None
            taken = []
            free, pack, leased_at, claimed_now = self._free, _HEAD.pack_into, words[LEASED_AT], int(Slot.CLAIMED)
            tag = self._tag
            for task_id, _, stream, entry, attempt, retries, first_started_ms, _, _ in claimed:
                slot = free.pop()
                at = HEADER_BYTES + slot * SLOT_BYTES
                pack(
                    memory,
                    at,
                    sequence,
                    recorded,
                    attempt,
                    retries,
                    first_started_ms,
                    task_id.encode(),
                    entry.encode(),
                    stream.encode(),
                    tag,
                )
                words[at // 8 + CLAIMED_AT] = leased_at
                memory[STATES_AT + slot] = claimed_now
                taken.append(slot)
            words[RECEIVED] = sequence
        return taken

    @property
    def free_slots(self) -> int:
        """How many messages can still be put here; for the child."""
        return len(self._free)

    def is_finished(self, slot: int) -> bool:
        """Whether the outcome of a slot's attempt is safe here."""
        return self._memory[STATES_AT + slot] == Slot.FINISHED

    def start(self, slot: int) -> int:
        """Mark a message as running; return the time (monotonic ns), 0 if it must not start.

        It was handed back meanwhile, or its lease may have ended: the process stood still, or the machine slept, and
        another worker may hold the message by now.
        """
        memory, words, at = self._memory, self._words, (HEADER_BYTES + slot * SLOT_BYTES) // 8
        self._acquire()  # not "with": that is two calls more, for every message
        try:
            if memory[STATES_AT + slot] != 1:
                return 0
            now, lease_ns = boot_ns(), words[LEASE_NS]
            if now - words[at + CLAIMED_AT] > lease_ns and now - words[at + RENEWED_AT] > lease_ns:
                return 0
            words[at + STARTED] = now = monotonic_ns()
            words[at + FINISHED] = words[at + VERSION] = words[at + SOFT] = words[at + HARD] = 0
            memory[STATES_AT + slot] = 2
        finally:
            self._release()
        return now

    @property
    def stop_requested(self) -> bool:
        """Whether the supervisor wants this child to stop, in whatever way a task treats signals."""
        return self._words[STOP] != 0

    def set_runs_alone(self, slot: int) -> None:
        """Note that the claimed message in a slot must run alone, on the child's main thread."""
        at = (HEADER_BYTES + slot * SLOT_BYTES) // 8
        self._words[at + ALONE] = self._words[at + CLAIMED_AT]

    def set_aged(self) -> None:
        """Note that this child claims no more because of its age, although some of its attempts still run."""
        self._words[AGED] = 1

    def finish(self, slot: int, outcome: Outcome, started_ns: int) -> bool:
        """Put a finished attempt's outcome on the board; False if it is not safe there: too large, or followed."""
        memory, words, at = self._memory, self._words, HEADER_BYTES + slot * SLOT_BYTES
        word = at // 8
        _, _, _, _, _, _, started_ms, state, result, text, keep_ms, delay_ms, _, follow = outcome
        note = text.encode()
        size = len(result) + len(note)
        now = monotonic_ns()
        words[ATTEMPTS] += 1
        words[SPENT_NS] += now - started_ns
        words[word + HARD] = 0  # what has ended can run no longer
        if size > PAYLOAD_BYTES - _OUTCOME.size or follow:
            return False
        words[word + VERSION] = 0  # what lies there from now on is no progress
        start = at + HEAD_BYTES
        _OUTCOME.pack_into(memory, start, _STATE_CODES[state], started_ms, keep_ms, delay_ms, len(result), len(note))
        start += _OUTCOME.size
        memory[start : start + size] = result + note
        words[word + FINISHED] = now
        memory[STATES_AT + slot] = 3
        return True

    def free(self, slot: int) -> None:
        """Return a slot to the child's free list."""
        self._memory[STATES_AT + slot] = 0
        self._free.append(slot)

    def detach(self) -> None:
        """Go on with a copy of the board that nobody else sees: this process is not the child."""
        memory = mmap.mmap(-1, len(self._memory))
        memory[:] = self._memory[:]
        self._memory, self._words = memory, memoryview(memory).cast("Q")
        self._lock = multiprocessing.get_context("fork").Lock()
        self._acquire, self._release = self._lock.acquire, self._lock.release

    # -- the supervisor ------------------------------------------------------------------------------

    def request_stop(self) -> None:
        """Let the child claim no more and end when it has finished what it runs."""
        self._words[STOP] = 1

    # -- the keeper, and the child -------------------------------------------------------------------

    def is_returned(self, slot: int) -> bool:
        """Whether the keeper has handed the message in a slot back."""
        return self._memory[STATES_AT + slot] == Slot.RETURNED

    def runs_alone(self, slot: int) -> bool:
        """Whether the message in a slot must run alone, on the child's main thread."""
        at = (HEADER_BYTES + slot * SLOT_BYTES) // 8
        return self._words[at + ALONE] != 0 and self._words[at + ALONE] == self._words[at + CLAIMED_AT]

    # -- the keeper ----------------------------------------------------------------------------------

    def states(self) -> bytes:
        """Return the state byte of every slot."""
        return self._memory[STATES_AT : STATES_AT + self.slots]

    @property
    def holds_anything(self) -> bool:
        """Whether any slot is taken."""
        return any(self._memory[STATES_AT : STATES_AT + self.slots])

    def settling_at(self) -> int:
        """Return when outcomes last went out to the store (monotonic ns)."""
        return self._words[SETTLING_AT]

    def renewed(self, slots: Iterable[int], at_ns: int) -> None:
        """Note for the child that the leases of what these slots hold were renewed at this time (see `boot_ns`)."""
        for slot in slots:
            self._words[(HEADER_BYTES + slot * SLOT_BYTES) // 8 + RENEWED_AT] = at_ns

    def held_since(self, slot: int) -> int:
        """Return from when on the lease of a slot's message counts (see `boot_ns`): its claim or the last renewal."""
        at = (HEADER_BYTES + slot * SLOT_BYTES) // 8
        return max(self._words[at + CLAIMED_AT], self._words[at + RENEWED_AT])

    def free_lock(self) -> None:
        """Release the lock if a keeper died with it. Its holders need microseconds; this waits 200 ms."""
        with self.locked(timeout_s=0.2) as got:
            if not got:
                self._lock.release()

    def set_returned(self, slot: int) -> None:
        """Mark an unstarted message as handed back; call with the lock held."""
        self._memory[STATES_AT + slot] = Slot.RETURNED

    def claimed(self, slot: int) -> Claimed:
        """Return the message in a slot (without its body)."""
        sequence, _, attempt, retries, first, task_id, entry, stream, _ = _HEAD.unpack_from(
            self._memory, HEADER_BYTES + slot * SLOT_BYTES
        )
        token = f"{self.consumer}#{sequence}"
        return Claimed(task_id.decode(), token, stream.decode(), entry.decode(), attempt, retries, first, b"")

    def tag_of(self, slot: int) -> str:
        """Return the shard of the message in a slot."""
        at = HEADER_BYTES + slot * SLOT_BYTES + _SLOT_TAG_AT
        return TAG.unpack_from(self._memory, at)[0].decode()  # type: ignore[no-any-return]

    def start_recorded(self, slot: int) -> bool:
        """Whether the store knows already that this attempt has started."""
        at = HEADER_BYTES + slot * SLOT_BYTES
        return bool(_HEAD.unpack_from(self._memory, at)[1])

    def times(self, slot: int) -> tuple[int, int]:
        """Return when the attempt in a slot started and finished (monotonic ns)."""
        at = (HEADER_BYTES + slot * SLOT_BYTES) // 8
        return self._words[at + STARTED], self._words[at + FINISHED]

    def starts(self, slots: Iterable[int]) -> dict[int, int]:
        """Return when the attempts in slots started (monotonic ns), by slot."""
        words, first, each = self._words, HEADER_BYTES // 8 + STARTED, SLOT_BYTES // 8
        return {slot: words[first + slot * each] for slot in slots}

    def outcome(self, slot: int) -> Outcome:
        """Return the outcome of a FINISHED slot."""
        start = HEADER_BYTES + slot * SLOT_BYTES + HEAD_BYTES
        code, started_ms, keep_ms, delay_ms, result_size, note_size = _OUTCOME.unpack_from(self._memory, start)
        start += _OUTCOME.size
        data = self._memory[start : start + result_size + note_size]
        result, note = data[:result_size], data[result_size:].decode()
        return Outcome.of(self.claimed(slot), _STATES[code], started_ms, result, note, keep_ms, delay_ms)

    @property
    def aged(self) -> bool:
        """Whether this child claims no more because of its age."""
        return self._words[AGED] != 0

    def counts(self) -> tuple[int, int]:
        """Return how many attempts this child finished, and the ns it spent in them."""
        return self._words[ATTEMPTS], self._words[SPENT_NS]
