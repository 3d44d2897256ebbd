"""The claims in a child's hands, counted, so that a channel knows when one of them is empty."""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["ClaimsHeld"]


class ClaimsHeld:
    """Counts, by token, the messages of a child's claims that are still in its hands."""

    def __init__(self) -> None:
        self._left: dict[str, int] = {}

    def take(self, token: str, count: int) -> None:
        """Count the messages of a new claim."""
        self._left[token] = count

    def drop(self, token: str) -> bool:
        """Count one message out; return whether it was the last one of its claim."""
        left = self._left.get(token, 0) - 1
        if left > 0:
            self._left[token] = left
            return False
        self._left.pop(token, None)
        return True

    def emptied(self, tokens: Iterable[str]) -> list[str]:
        """Count out one message per token; return the tokens of claims that are empty then."""
        return [token for token in tokens if self.drop(token)]
