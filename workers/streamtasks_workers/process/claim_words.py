"""On a board: which claims its child has sent, which were answered, and which may have taken effect unanswered."""

from __future__ import annotations

import mmap
import struct
from collections.abc import Mapping
from time import monotonic_ns
from typing import Final

from .board_layout import INVALIDATED, LEASED_AT, RECEIVED, SENT, SENT_AT, TAG_AT, UNSURE_AT, UNSURE_COUNT
from .boot_clock import boot_ns

__all__ = ["TAG", "ClaimWords"]

TAG: Final = struct.Struct("33p")
"""The tag of a shard."""

MOST_UNSURE: Final = 10
_UNSURE: Final = struct.Struct("<Q33p7x")  # sequence and tag of a claim without an answer


class ClaimWords:
    """How a child's claims go; part of a `Board`."""

    _memory: mmap.mmap
    _words: memoryview
    _tag: bytes
    """The shard of the last claim; of the child's process."""

    @property
    def tag(self) -> str:
        """The shard of the last claim."""
        return TAG.unpack_from(self._memory, TAG_AT)[0].decode()  # type: ignore[no-any-return]

    def sent(self, sequence: int, tag: str = "") -> None:
        """Note that a claim goes out; ``tag``: to this shard, empty: to the same as before."""
        if tag and (to := tag.encode()) != self._tag:
            self._tag = to
            TAG.pack_into(self._memory, TAG_AT, to)
        self._words[SENT_AT], self._words[LEASED_AT] = monotonic_ns(), boot_ns()
        self._words[SENT] = sequence

    def give_up(self, sequence: int) -> None:
        """Note that no answer to a claim is waited for."""
        self._words[RECEIVED] = sequence

    def note_unsure(self, claims: Mapping[str, int]) -> None:
        """Note which claims may have taken effect without an answer: shard -> sequence. Of very many, only some."""
        some = list(claims.items())[:MOST_UNSURE]
        for place, (tag, sequence) in enumerate(some):
            _UNSURE.pack_into(self._memory, UNSURE_AT + place * _UNSURE.size, sequence, tag.encode())
        self._words[UNSURE_COUNT] = len(some)

    def sequences(self) -> tuple[int, int, int, int]:
        """Return the claim sequences sent, received and invalidated, and when the last was sent (monotonic ns)."""
        words = self._words
        return words[SENT], words[RECEIVED], words[INVALIDATED], words[SENT_AT]

    def invalidate(self, sequence: int) -> None:
        """Invalidate claims up to this sequence; call with the lock held."""
        self._words[INVALIDATED] = sequence

    def unsure(self) -> dict[str, int]:
        """Return which claims of the child may have taken effect without an answer: shard -> sequence."""
        places = range(self._words[UNSURE_COUNT])
        found = [_UNSURE.unpack_from(self._memory, UNSURE_AT + place * _UNSURE.size) for place in places]
        return {tag.decode(): sequence for sequence, tag in found}
