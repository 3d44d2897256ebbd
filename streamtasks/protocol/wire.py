"""Encode and decode messages and results: written by this process's settings, read from any process.

The first byte tells the encoding, so processes with different settings understand each other:

=======================  ==========================================================================
``M``                    msgpack
``P``                    a signed pickle (see `signing`); refused where the serializer is another
``G``, ``L``, ``Z``      compressed (see `compression`); one of the others is inside
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
from .signing import MARK as PICKLED
from .signing import Signer

__all__ = ["DEFAULT_MOST", "JSON", "MESSAGE", "RESULT", "SERIALIZERS", "Wire"]

SERIALIZERS: Final = ("json", "msgpack", "pickle")
MESSAGE: Final = b"message"
RESULT: Final = b"result"
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
        signing_keys: for pickle: the first signs, all are accepted.

    Attributes:
        is_plain: whether it writes plain JSON.

    Raises:
        ConfigurationError: a value is unknown, its library is not installed, or pickle has no key.
    """

    __slots__ = ("_compression", "_most", "_serializer", "_signer", "is_plain")

    def __init__(
        self,
        serializer: str = "json",
        compression: str | None = None,
        max_decompressed_bytes: int = DEFAULT_MOST,
        signing_keys: Sequence[str | bytes] = (),
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
        if serializer == "pickle" and not signing_keys:
            raise ConfigurationError("serializer is 'pickle', which needs signing_keys: pickles are only read signed.")
        self._serializer = serializer
        self._compression = compression
        self._most = max_decompressed_bytes
        self.is_plain = serializer == "json" and compression is None
        self._signer = Signer(signing_keys) if serializer == "pickle" else None

    def __reduce__(self) -> Any:
        """Pickle without the keys: a snapshot, which holds a wire, may end in a cache."""
        return _without_keys, (self._serializer, self._compression, self._most)

    def dumps(self, value: Any, kind: bytes, task_id: str) -> bytes:
        """Encode a message or a result of one task.

        Raises:
            InvalidTask: JSON cannot carry the value.
            PayloadTooLarge: it would be compressed, and processes with the same settings would refuse it.
        """
        data = json.dumps(value)
        return data if self.is_plain else self.dress(data, kind, task_id)

    def dress(self, data: bytes, kind: bytes, task_id: str) -> bytes:
        """Encode data that are JSON already; errors as of `dumps`."""
        if self._serializer != "json":
            data = self._reencoded(data, kind, task_id)
        if self._compression is None:
            return data
        if len(data) > self._most:
            raise PayloadTooLarge(
                f"A {kind.decode()} of task {task_id} takes {len(data)} bytes before it is compressed; "
                f"max_decompressed_bytes is {self._most}."
            )
        return packing.compress(self._compression, data)

    def _reencoded(self, data: bytes, kind: bytes, task_id: str) -> bytes:
        value = json.loads(data)
        if self._signer is not None:
            return self._signer.dumps(value, kind, task_id)
        try:
            return _PACKED + _msgpack().packb(value)  # type: ignore[no-any-return]
        except (TypeError, ValueError):
            return data  # MsgpackEncodeError: JSON carries more

    def loads(self, data: bytes, kind: bytes, task_id: str) -> Any:
        """Decode what any process of ours has encoded for the same purpose.

        Raises:
            EncodingRefused: this process may not read it: a pickle and its settings do not say so or the signature
                is wrong, or compressed data that are damaged or become too large.
            EncodingUnavailable: a library is not installed here.
            DecodeError: the bytes are none of ours.
        """
        first = data[:1]
        if first == _OBJECT:
            return json.loads(data)
        if first in packing.MARKS:
            data = packing.decompress(data, self._most)
            first = data[:1]
        if first == PICKLED:
            if self._signer is None:
                raise EncodingRefused(
                    f"Task {task_id} is pickled, and this process reads no pickles: its serializer is "
                    f"{self._serializer!r}."
                )
            return self._signer.loads(data, kind, task_id)
        if first == _PACKED:
            return _unpacked(data)
        return json.loads(data)


def _without_keys(serializer: str, compression: str | None, most: int) -> Wire:
    return Wire("json" if serializer == "pickle" else serializer, compression, most)


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
