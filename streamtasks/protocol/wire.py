"""Encode and decode messages and results: written by this process's settings, read from any process.

The first byte tells the encoding, so processes with different settings understand each other:

=======================  ==========================================================================
``M``                    msgpack
``P``                    a signed pickle (see `signing`); refused where the serializer is another
``G``, ``L``, ``Z``      compressed (see `compression`); one of the above is inside, or JSON
``S``, ``E``             signed or encrypted (see `seals`); one of the others is inside
anything else            JSON (see `json`), which every process reads
=======================  ==========================================================================

Whatever the serializer, a value means what JSON makes of it; what another encoding cannot carry (integers past 64
bits, lone surrogates) travels as JSON.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from functools import cache
from typing import Any, Final

from ..exceptions import ConfigurationError, DecodeError, EncodingRefused, EncodingUnavailable, PayloadTooLarge
from . import compression as packing
from . import json
from .pickles import MARK as PICKLED
from .pickles import Pickles
from .seals import LOST, MESSAGE, RESULT, Seals, unsigned
from .seals import MARKS as SEALED

__all__ = ["DEFAULT_MOST", "JSON", "MESSAGE", "RESULT", "SERIALIZERS", "Wire"]

SERIALIZERS: Final = ("json", "msgpack", "pickle")
_PACKED: Final = b"M"
_OBJECT: Final = b"{"
DEFAULT_MOST: Final = 16 * 1024 * 1024


@cache
def _msgpack() -> Any:
    return importlib.import_module("ormsgpack")


class Wire:
    """Encodes and decodes for one process.

    Args:
        serializer: ``"json"``, ``"msgpack"`` or ``"pickle"``.
        compression: ``"gzip"``, ``"lz4"``, ``"zstd"`` or None.
        max_decompressed_bytes: what becomes larger than this is refused.
        signing_keys: the first signs, all are accepted.
        encryption_keys: the first encrypts, all decrypt; what is encrypted is not signed as well.
        encrypt: False: encrypted data are read and not written.
        require_signed: refuse what is neither signed nor encrypted with one of the keys.
        pickle_keys: sign pickles if there are no ``signing_keys``, and nothing else.

    Attributes:
        is_plain: whether it writes plain JSON.
        is_sealed: whether it signs or encrypts.
        shows_tasks: whether the names of tasks can be read in what it writes, without keys and libraries.
        requires_signed: whether it refuses what is unsigned.

    Raises:
        ConfigurationError: a value is unknown, its library is not installed, or a key is missing.
    """

    __slots__ = (
        "_compression",
        "_most",
        "_pickles",
        "_seals",
        "_serializer",
        "_signs_pickles",
        "is_plain",
        "is_sealed",
        "requires_signed",
        "shows_tasks",
    )

    def __init__(
        self,
        serializer: str = "json",
        compression: str | None = None,
        max_decompressed_bytes: int = DEFAULT_MOST,
        signing_keys: Sequence[str | bytes] = (),
        encryption_keys: Sequence[str | bytes] = (),
        *,
        encrypt: bool = True,
        require_signed: bool = False,
        pickle_keys: Sequence[str | bytes] = (),
    ) -> None:
        if serializer not in SERIALIZERS:
            raise ConfigurationError(f"serializer is {serializer!r}; it must be one of {', '.join(SERIALIZERS)}.")
        if compression is not None:
            packing.check_compression(compression)
        if serializer == "msgpack":
            try:
                _msgpack()
            except ImportError as error:
                raise ConfigurationError(
                    "serializer is 'msgpack', whose library is not installed: pip install 'streamtasks[msgpack]'."
                ) from error
        pickle_keys = signing_keys or pickle_keys
        if serializer == "pickle" and not pickle_keys:
            raise ConfigurationError("serializer is 'pickle', which needs signing_keys: pickles are only read signed.")
        if require_signed and not (signing_keys or encryption_keys):
            raise ConfigurationError(
                "require_signed is True, which needs signing_keys or encryption_keys: without a key nothing can be "
                "verified."
            )
        self._serializer = serializer
        self._compression = compression
        self._most = max_decompressed_bytes
        self._seals = Seals(signing_keys, encryption_keys, encrypt=encrypt)
        self._pickles = Pickles(pickle_keys) if serializer == "pickle" else None
        self._signs_pickles = self._pickles is not None and not self._seals.encrypts
        self.is_sealed = self._seals.writes
        self.is_plain = serializer == "json" and compression is None and not self.is_sealed
        self.requires_signed = require_signed
        self.shows_tasks = serializer != "pickle" and compression is None and not self._seals.encrypts

    def __reduce__(self) -> Any:
        """Pickle without the keys: a snapshot, which holds a wire, may end in a cache."""
        serializer = "json" if self._serializer == "pickle" else self._serializer
        had_keys = self.is_sealed or self.requires_signed
        return Wire._without_keys, (serializer, self._compression, self._most, had_keys, self.requires_signed)

    @classmethod
    def _without_keys(
        cls, serializer: str, compression: str | None, most: int, had_keys: bool = False, requires_signed: bool = False
    ) -> Wire:
        wire = cls(serializer, compression, most)
        if had_keys:
            wire._seals = LOST
            wire.requires_signed = requires_signed
        return wire

    def dumps(self, value: Any, kind: bytes, task_id: str) -> bytes:
        """Encode a message or a result of one task.

        Raises:
            InvalidTask: JSON cannot carry the value.
            PayloadTooLarge: it would be compressed, and processes with the same settings would refuse it.
        """
        data = json.dumps(value)
        return data if self.is_plain else self.dress(data, kind, task_id)

    def dress(self, data: bytes, kind: bytes, task_id: str) -> bytes:
        """Encode data that are JSON already: serialize, compress, then sign or encrypt; errors as of `dumps`."""
        if self._serializer != "json":
            data = self._reencoded(data, kind, task_id)
        if self._compression is not None:
            if len(data) > self._most:
                raise PayloadTooLarge(
                    f"A {kind.decode()} of task {task_id} takes {len(data)} bytes before it is compressed; "
                    f"max_decompressed_bytes is {self._most}."
                )
            data = packing.compress(self._compression, data)
        return data if self._signs_pickles else self._seals.seal(data, kind, task_id)

    def seal(self, data: bytes, kind: bytes, owner: str, *, stable: bool = False) -> bytes:
        """Sign or encrypt data that are plain JSON, as these settings say; see `Seals.seal`."""
        return self._seals.seal(data, kind, owner, stable=stable) if self.is_sealed else data

    def unseal(self, data: bytes, kind: bytes, owner: str) -> bytes:
        """Return what `seal` was given by any process of ours.

        Raises:
            NotAuthentic: it is changed, forged, moved, or unsigned although it must be signed.
            EncodingUnavailable: its key, or a later release, is needed.
        """
        authentic = False
        if data[:1] in SEALED:
            data, authentic = self._seals.open(data, kind, owner)
        if self.requires_signed and not authentic:
            raise unsigned(kind, owner)
        return data

    def _reencoded(self, data: bytes, kind: bytes, task_id: str) -> bytes:
        value = json.loads(data)
        if self._pickles is not None:
            return self._pickles.dumps(value, kind, task_id)
        try:
            return _PACKED + _msgpack().packb(value)  # type: ignore[no-any-return]
        except (TypeError, ValueError):
            return data  # MsgpackEncodeError: JSON carries more

    def loads(self, data: bytes, kind: bytes, task_id: str) -> Any:
        """Decode what any process of ours has encoded for the same purpose.

        Raises:
            NotAuthentic: it is changed, forged, moved, or unsigned although it must be signed.
            EncodingRefused: this process may not read it: a pickle and its settings do not say so or the signature
                is wrong, or compressed data that are damaged or become too large.
            EncodingUnavailable: a library is not installed here, or a key is missing.
            DecodeError: the bytes are none of ours.
        """
        first = data[:1]
        if first == _OBJECT and not self.requires_signed:
            return json.loads(data)
        authentic = not self.requires_signed
        if first in SEALED:
            data, is_proved = self._seals.open(data, kind, task_id)
            authentic = authentic or is_proved
            first = data[:1]
        if not authentic and self._pickles is None:
            raise unsigned(kind, task_id)
        if first in packing.MARKS:
            data = packing.decompress(data, self._most)
            first = data[:1]
        if first == PICKLED:
            if self._pickles is None:
                raise EncodingRefused(
                    f"Task {task_id} is pickled, and this process reads no pickles: its serializer is "
                    f"{self._serializer!r}."
                )
            return self._pickles.loads(data, kind, task_id)
        if not authentic:
            raise unsigned(kind, task_id)
        return _unpacked(data) if first == _PACKED else json.loads(data)


def _unpacked(data: bytes) -> Any:
    try:
        msgpack = _msgpack()
    except ImportError as error:
        raise EncodingUnavailable(
            "This is msgpack, whose library is not installed here: pip install 'streamtasks[msgpack]'."
        ) from error
    try:
        return msgpack.unpackb(memoryview(data)[1:])
    except (ValueError, RecursionError) as error:
        raise DecodeError(f"not msgpack: {data[:80]!r} ({error})") from error


JSON: Final = Wire()
"""The wire of default settings: plain JSON."""
