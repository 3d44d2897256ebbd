"""Recognise an error that comes again and again, also from processes that end by it, so that it is logged once."""

from __future__ import annotations

import hashlib
import mmap
import re
import traceback
from typing import Final

__all__ = ["LastError"]

_CHANGING: Final = re.compile(r"0x[0-9a-f]+|\d+")
"""Parts of a text that may differ although it tells of the same error: addresses, process ids."""


class LastError:
    """The last error of a kind of work, in memory that this process shares with those it forks."""

    def __init__(self) -> None:
        self._words = memoryview(mmap.mmap(-1, 16)).cast("Q")

    def is_new(self, error: BaseException) -> bool:
        """Note an error; return whether it is another one, or comes from another place, than the one before."""
        text = _CHANGING.sub("", "".join(traceback.format_exception(error)))
        digest = int.from_bytes(hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=8).digest()) or 1
        if self._words[0] == digest:
            self._words[1] += 1
            return False
        self._words[0], self._words[1] = digest, 1
        return True

    @property
    def times(self) -> int:
        """How often the last error came in a row; 0: there was none."""
        return self._words[1]

    def forget(self) -> None:
        """Treat the next error as a new one, because the work has succeeded meanwhile."""
        self._words[0] = self._words[1] = 0
