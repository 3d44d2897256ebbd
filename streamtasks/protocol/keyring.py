"""Keys for signatures and encryption: one for each purpose, derived from the secrets that users give.

A secret may serve both purposes: HKDF (RFC 5869, SHA-256) makes keys of it that tell nothing of each other. A key has
an id of four bytes, which travels with what it has written, so that readers with several keys know which one it was.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable
from typing import Final, NamedTuple

from ..exceptions import ConfigurationError

__all__ = ["ENCRYPTION", "ID_BYTES", "NONCE", "SIGNATURE", "Key", "derived", "keyring"]

SIGNATURE: Final = b"signature"
ENCRYPTION: Final = b"encryption"
NONCE: Final = b"nonce"

ID_BYTES: Final = 4
_SALT: Final = b"streamtasks"


class Key(NamedTuple):
    """A derived key of 32 bytes, and its id. The secret itself is not kept."""

    id: bytes
    value: bytes
    nonce: bytes

    def __repr__(self) -> str:
        return f"<key {self.id.hex()}>"


def derived(secret: bytes, purpose: bytes) -> bytes:
    """Return 32 bytes by HKDF-SHA256: salt ``streamtasks``, info ``purpose``."""
    return hmac.digest(hmac.digest(_SALT, secret, "sha256"), purpose + b"\1", "sha256")


def keyring(secrets: Iterable[str | bytes], purpose: bytes, option: str) -> dict[bytes, Key]:
    """Return the keys for one purpose by their ids, in the order of the secrets.

    Raises:
        ConfigurationError: two secrets have keys with the same id; ``option`` is named.
    """
    keys: dict[bytes, Key] = {}
    for secret in secrets:
        raw = secret.encode() if isinstance(secret, str) else secret
        found = Key(
            derived(raw, purpose + b" id")[:ID_BYTES], derived(raw, purpose), derived(raw, purpose + b" " + NONCE)
        )
        known = keys.setdefault(found.id, found)
        if known.value != found.value:
            raise ConfigurationError(f"{option} holds two keys with the id {found.id.hex()}; replace one of them.")
    return keys
