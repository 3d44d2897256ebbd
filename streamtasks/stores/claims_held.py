"""The claims in a child's hands: on which shard each is, and counted, so that a channel knows when one is empty."""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["ClaimsHeld"]


class ClaimsHeld:
    """Counts, by token, the messages of a child's claims that are still in its hands."""

    def __init__(self) -> None:
        self._left: dict[str, int] = {}
        self._tags: dict[str, str] = {}

    def take(self, token: str, count: int, tag: str = "") -> None:
        """Count the messages of a new claim; ``tag``: its shard, if there are several."""
        self._left[token] = count
        if tag:
            self._tags[token] = tag

    @property
    def spread(self) -> bool:
        """Whether the shard of any claim in hand was given."""
        return bool(self._tags)

    def tag_of(self, token: str) -> str:
        """Return the shard of a claim; empty: it was not given, or nothing of it is in hand."""
        return self._tags.get(token, "")

    def drop(self, token: str) -> bool:
        """Count one message out; return whether it was the last one of its claim."""
        left = self._left.get(token, 0) - 1
        if left > 0:
            self._left[token] = left
            return False
        self._left.pop(token, None)
        if self._tags:
            self._tags.pop(token, None)
        return True

    def emptied(self, tokens: Iterable[str]) -> list[str]:
        """Count out one message per token; return the tokens of claims that are empty then."""
        return [token for token in tokens if self.drop(token)]
