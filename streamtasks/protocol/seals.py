"""Signed and encrypted bytes, the outermost layer of what a store keeps.

======  =======================================================================================================
``S1``  id of the key (4), HMAC-SHA256 (32), the bytes
``E1``  id of the key (4), salt (8), nonce (12), the bytes encrypted by AES-256-GCM, with their tag (16)
======  =======================================================================================================

Both cover, beside the bytes, a *context*: the mark and the id of the key, what the bytes are (a message, a result), and
whose (the id of a task or workflow, the name of a schedule). So bytes that were sealed for one place are refused in any
other. The name and the queue of a task stand in the bytes.

Each process encrypts with a key of its own, which a random salt makes of the common one, so that random nonces of 96
bits do not meet, however many messages there are in all.
"""

from __future__ import annotations

import hmac
import importlib
import os
from collections.abc import Sequence
from functools import cache
from typing import Any, Final, NamedTuple

from ..exceptions import ConfigurationError, EncodingUnavailable, NotAuthentic, UnknownKey
from .keyring import ENCRYPTION, ID_BYTES, SIGNATURE, Key, keyring

__all__ = ["GRAPH", "LOST", "MARKS", "MESSAGE", "PROGRESS", "REPORT", "RESULT", "SCHEDULE", "Seals", "unsigned"]

MESSAGE: Final = b"message"
RESULT: Final = b"result"
PROGRESS: Final = b"progress"
REPORT: Final = b"report"
SCHEDULE: Final = b"schedule"
GRAPH: Final = b"workflow"

_SIGNED: Final = b"S1"
_ENCRYPTED: Final = b"E1"
MARKS: Final = frozenset((_SIGNED[:1], _ENCRYPTED[:1]))
"""The first bytes of sealed data."""

_MAC_BYTES: Final = 32
_NONCE_BYTES: Final = 12
_TAG_BYTES: Final = 16
_MAC_AT: Final = len(_SIGNED) + ID_BYTES
_SALT_BYTES: Final = 8
_SALT_AT: Final = len(_ENCRYPTED) + ID_BYTES
_NONCE_AT: Final = _SALT_AT + _SALT_BYTES
_DATA_AT: Final = _NONCE_AT + _NONCE_BYTES

_STABLE: Final = bytes(_SALT_BYTES)
"""The salt of what must always become the same bytes."""

_MOST_CIPHERS: Final = 1024
"""Ciphers of other processes that are kept."""


@cache
def _aead() -> Any:
    try:
        return importlib.import_module("cryptography.hazmat.primitives.ciphers.aead").AESGCM
    except ImportError as error:
        raise ConfigurationError(
            "encryption_keys is given, whose library is not installed: pip install 'streamtasks[crypto]'."
        ) from error


class Opened(NamedTuple):
    """What was sealed; ``authentic``: whether a key of this process has proved it."""

    data: bytes
    authentic: bool


class Seals:
    """Signs or encrypts for one process, and opens what others have sealed.

    Args:
        signing: secrets; the first signs, all verify.
        encryption: secrets; the first encrypts, all decrypt.
        encrypt: False: encrypted data are read and not written.

    Attributes:
        writes: whether it seals what is written.

    Raises:
        ConfigurationError: the library for encryption is not installed.
    """

    __slots__ = ("_cipher", "_ciphers", "_known", "_salt", "_signer", "_signers", "writes")

    def __init__(
        self, signing: Sequence[str | bytes] = (), encryption: Sequence[str | bytes] = (), *, encrypt: bool = True
    ) -> None:
        self._signers = keyring(signing, SIGNATURE, "signing_keys")
        self._ciphers = keyring(encryption, ENCRYPTION, "encryption_keys")
        if self._ciphers:
            _aead()
        self._signer = next(iter(self._signers.values()), None)
        self._cipher = next(iter(self._ciphers.values()), None) if encrypt else None
        self._salt = os.urandom(_SALT_BYTES)
        self._known: dict[bytes, Any] = {}  # ciphers, by the heads of what they encrypt
        self.writes = self._signer is not None or self._cipher is not None

    @property
    def encrypts(self) -> bool:
        """Whether it encrypts what is written."""
        return self._cipher is not None

    def seal(self, data: bytes, kind: bytes, owner: str, *, stable: bool = False) -> bytes:
        """Encrypt data, or sign them if there is no key for encryption, or return them if there is none at all.

        Args:
            data: the bytes.
            kind: what they are: `MESSAGE` and so on.
            owner: whose they are: an id, or the name of a schedule.
            stable: the same data become the same bytes, so that a store can see that nothing has changed.
        """
        if self._cipher is not None:
            key, salt = self._cipher, _STABLE if stable else self._salt
            context = _context(_ENCRYPTED, key, kind, owner)
            nonce = key.mac(b"nonce" + context, data)[:_NONCE_BYTES] if stable else os.urandom(_NONCE_BYTES)
            head = _ENCRYPTED + key.id + salt
            sealed: bytes = self._cipher_of(head, key).encrypt(nonce, data, context)
            return head + nonce + sealed
        if self._signer is not None:
            key = self._signer
            context = _context(_SIGNED, key, kind, owner)
            return _SIGNED + key.id + key.mac(context, data) + data
        return data

    def open(self, data: bytes, kind: bytes, owner: str) -> Opened:
        """Open data that begin with one of `MARKS`. Without keys for signatures, signed data are read unverified.

        Raises:
            NotAuthentic: they are damaged, forged, or were sealed for another place.
            UnknownKey: they were sealed with a key that this process does not have.
            EncodingUnavailable: a later release has sealed them.
        """
        mark = data[:2]
        if mark == _SIGNED:
            return self._verified(data, kind, owner)
        if mark == _ENCRYPTED:
            return self._decrypted(data, kind, owner)
        raise EncodingUnavailable(f"The {kind.decode()} of {owner} is sealed in a way that this release does not know.")

    def _verified(self, data: bytes, kind: bytes, owner: str) -> Opened:
        content = data[_MAC_AT + _MAC_BYTES :]
        if len(data) < _MAC_AT + _MAC_BYTES:
            raise _forged("truncated", kind, owner)
        if not self._signers:
            return Opened(content, authentic=False)
        key = self._signers.get(data[len(_SIGNED) : _MAC_AT])
        if key is None:
            raise _unknown("signing", data[len(_SIGNED) : _MAC_AT], kind, owner)
        mac = key.mac(_context(_SIGNED, key, kind, owner), content)
        if not hmac.compare_digest(mac, data[_MAC_AT : _MAC_AT + _MAC_BYTES]):
            raise _forged("wrong signature", kind, owner)
        return Opened(content, authentic=True)

    def _decrypted(self, data: bytes, kind: bytes, owner: str) -> Opened:
        if len(data) < _DATA_AT + _TAG_BYTES:
            raise _forged("truncated", kind, owner)
        key = self._ciphers.get(data[len(_ENCRYPTED) : _SALT_AT])
        if key is None:
            raise _unknown("encryption", data[len(_ENCRYPTED) : _SALT_AT], kind, owner)
        context = _context(_ENCRYPTED, key, kind, owner)
        cipher = self._cipher_of(data[:_NONCE_AT], key)
        try:
            return Opened(cipher.decrypt(data[_NONCE_AT:_DATA_AT], data[_DATA_AT:], context), authentic=True)
        except Exception as error:  # InvalidTag, from a library that is imported when it is needed
            raise _forged("wrong tag of the encryption", kind, owner) from error

    def _cipher_of(self, head: bytes, key: Key) -> Any:
        """Return the cipher of the process that wrote this head: mark, id of the key, and salt."""
        cipher = self._known.get(head)
        if cipher is None:
            if len(self._known) >= _MOST_CIPHERS:
                self._known.clear()
            cipher = self._known[head] = _aead()(key.mac(head))
        return cipher


class _LostKeys(Seals):
    """Stands for the keys of a copy that was pickled: keys are not."""

    __slots__ = ()

    def open(self, data: bytes, kind: bytes, owner: str) -> Opened:  # noqa: ARG002
        raise EncodingUnavailable(
            f"The {kind.decode()} of {owner} is signed or encrypted, and this copy of it was pickled, which leaves the "
            "keys behind. Read it anew from the store."
        )


LOST: Final = _LostKeys()
"""Opens nothing that is sealed, and seals nothing."""


def unsigned(kind: bytes, owner: str) -> NotAuthentic:
    """Return the error of data that are not signed although they must be."""
    return NotAuthentic(
        f"The {kind.decode()} of {owner} is not signed, and require_signed is on. Its writer needs signing_keys "
        "or encryption_keys of this process. If it is older than these keys: wait for its end before require_signed, "
        "or write it again.",
        "unsigned; give its writer signing_keys, or enqueue it again",
    )


def _context(mark: bytes, key: Key, kind: bytes, owner: str) -> bytes:
    """Return what is covered beside the bytes; the length in it tells where the bytes begin."""
    name = owner.encode("utf-8", "surrogateescape")
    return b"%b%b%b\0%b%b" % (mark, key.id, kind, len(name).to_bytes(4), name)


def _forged(why: str, kind: bytes, owner: str) -> NotAuthentic:
    return NotAuthentic(
        f"The {kind.decode()} of {owner} is not authentic: {why}. It was changed on the server, or moved there from "
        "another task. Find out who may write to the server, and enqueue the task again.",
        f"{why}; it was changed or moved on the server: find out who may write there, and enqueue it again",
    )


def _unknown(what: str, key_id: bytes, kind: bytes, owner: str) -> UnknownKey:
    option = f"{what}_keys"
    return UnknownKey(
        f"The {kind.decode()} of {owner} needs the {what} key {key_id.hex()}, which this process does not have. Add "
        f"the secret of its writer to {option} (the first one writes, all of them read).",
        f"unknown {what} key {key_id.hex()}; add it to {option}",
    )
