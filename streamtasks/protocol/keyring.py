"""Keys for signatures and encryption: one for each purpose, derived from the secrets that users give.

A secret may serve both purposes: keys that HKDF (RFC 5869, SHA-256) derives from it reveal nothing about each other. A
key has an id of four bytes, which stands in what it signs or encrypts, so that readers with several keys know which one
it was.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable
from typing import Any, Final

from ..exceptions import ConfigurationError

__all__ = ["ENCRYPTION", "ID_BYTES", "SIGNATURE", "Key", "derived", "keyring"]

SIGNATURE: Final = b"signature"
ENCRYPTION: Final = b"encryption"

ID_BYTES: Final = 4
_SALT: Final = b"streamtasks"


class Key:
    """A derived key of 32 bytes; the secret itself is not kept.

    Attributes:
        id: stands in what it signs or encrypts.
        value: the key.
    """

    __slots__ = ("_inner", "_outer", "id", "value")

    def __init__(self, key_id: bytes, value: bytes) -> None:
        self.id = key_id
        self.value = value
        # HMAC-SHA256 (RFC 2104) from here on takes two copies: `hmac.digest` takes more than twice as long.
        block = value.ljust(64, b"\0")
        self._inner: Any = hashlib.sha256(bytes(byte ^ 0x36 for byte in block))
        self._outer: Any = hashlib.sha256(bytes(byte ^ 0x5C for byte in block))

    def __repr__(self) -> str:
        return f"<key {self.id.hex()}>"

    def mac(self, context: bytes, data: bytes = b"") -> bytes:
        """Return the HMAC-SHA256 of ``context + data``."""
        inner, outer = self._inner.copy(), self._outer.copy()
        inner.update(context)
        inner.update(data)
        outer.update(inner.digest())
        digest: bytes = outer.digest()
        return digest


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
        found = Key(derived(raw, purpose + b" id")[:ID_BYTES], derived(raw, purpose))
        known = keys.setdefault(found.id, found)
        if known.value != found.value:
            raise ConfigurationError(f"{option} holds two keys with the id {found.id.hex()}; replace one of them.")
    return keys
