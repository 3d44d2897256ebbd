"""Keep the beginning and the end of lines, and count what is dropped between them (append_logs.lua)."""

from __future__ import annotations

__all__ = ["BoundedLog"]


class BoundedLog:
    """Lines of bytes, each with its line end.

    Args:
        half: bytes that are kept of the beginning, and of the end; no line may be longer.

    Attributes:
        first: the first lines.
        left_out: how many lines behind these were dropped.
        last: the last lines.
    """

    __slots__ = ("_half", "first", "last", "left_out")

    def __init__(self, half: int) -> None:
        self._half = half
        self.first = bytearray()
        self.left_out = 0
        self.last = bytearray()

    def __bool__(self) -> bool:
        return bool(self.first or self.left_out or self.last)

    def put(self, lines: bytes) -> None:
        """Add lines at the end."""
        if not self.last and not self.left_out:
            room = self._half - len(self.first)
            cut = len(lines) if len(lines) <= room else lines.rfind(b"\n", 0, max(0, room)) + 1
            self.first += lines[:cut]
            lines = lines[cut:]
        if not lines:
            return
        last = self.last
        last += lines
        if len(last) > self._half:
            cut = last.find(b"\n", len(last) - self._half - 1) + 1
            self.left_out += last.count(b"\n", 0, cut)
            del last[:cut]

    def skip(self, count: int) -> None:
        """Note that so many lines were dropped behind these."""
        if count:
            self.left_out += self.last.count(b"\n") + count
            self.last.clear()
