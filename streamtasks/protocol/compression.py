"""Compressed data: the first byte names the method, and the decompressed size is bounded.

====  =========================  ==================================
``G``  gzip                      the standard library
``L``  an LZ4 frame              ``streamtasks[lz4]``
``Z``  a Zstandard frame         Python 3.14, or ``streamtasks[zstd]``
====  =========================  ==================================
"""

from __future__ import annotations

import importlib
import sys
import zlib
from collections.abc import Callable
from functools import cache
from typing import Any, Final, NamedTuple

from ..exceptions import ConfigurationError, EncodingRefused, EncodingUnavailable

__all__ = ["COMPRESSIONS", "MARKS", "check_compression", "compress", "decompress"]

THRESHOLD: Final = 1024
"""Smaller data are not compressed: it would save no packet."""

_GZIP_WINDOW: Final = zlib.MAX_WBITS | 16  # with the header of gzip
_ZSTD_MODULE: Final = "compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd"


class _Method(NamedTuple):
    """``stream(most)`` makes a decompressor for one frame: ``decompress(data, max_length)`` and ``eof``."""

    compress: Callable[[bytes], bytes]
    stream: Callable[[int], Any]
    errors: tuple[type[Exception], ...]


def _gzip(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=_GZIP_WINDOW)  # unlike gzip.compress, it writes no time
    return packer.compress(data) + packer.flush()


@cache
def _method(name: str) -> _Method:
    """Return how to use a library.

    Raises:
        ImportError: it is not installed.
    """
    if name == "gzip":
        return _Method(_gzip, lambda _: zlib.decompressobj(_GZIP_WINDOW), (zlib.error,))
    if name == "lz4":
        lz4: Any = importlib.import_module("lz4.frame")
        return _Method(
            lambda data: lz4.compress(data, content_checksum=True),
            lambda _: lz4.LZ4FrameDecompressor(),
            (RuntimeError, EOFError),
        )
    zstd: Any = importlib.import_module(_ZSTD_MODULE)
    checksum = {zstd.CompressionParameter.checksum_flag: 1}
    window = zstd.DecompressionParameter.window_log_max  # a frame may ask for memory before it brings any data
    return _Method(
        lambda data: zstd.compress(data, options=checksum),
        lambda most: zstd.ZstdDecompressor(options={window: min(max(most.bit_length(), 10), 30)}),
        (zstd.ZstdError, EOFError),
    )


COMPRESSIONS: Final = ("gzip", "lz4", "zstd")
_MARK_OF: Final = {"gzip": b"G", "lz4": b"L", "zstd": b"Z"}
_NAME_OF: Final = {mark: name for name, mark in _MARK_OF.items()}

MARKS: Final = frozenset(_NAME_OF)
"""The first bytes of compressed data."""


def check_compression(name: str) -> None:
    """Check that a method is known and can be used here.

    Raises:
        ConfigurationError: it cannot.
    """
    if name not in COMPRESSIONS:
        raise ConfigurationError(f"compression is {name!r}; it must be None or one of {', '.join(COMPRESSIONS)}.")
    try:
        _method(name)
    except ImportError as error:
        raise ConfigurationError(
            f"compression is {name!r}, whose library is not installed: pip install 'streamtasks[{name}]'."
        ) from error


def compress(name: str, data: bytes) -> bytes:
    """Return the data compressed, or as they are if that saves nothing."""
    if len(data) < THRESHOLD:
        return data
    packed = _MARK_OF[name] + _method(name).compress(data)
    return packed if len(packed) < len(data) else data


def decompress(data: bytes, most: int) -> bytes:
    """Undo `compress` for data that begin with one of `MARKS`; no more than ``most`` bytes are ever made.

    Raises:
        EncodingRefused: there would be more, or the data are damaged.
        EncodingUnavailable: the library is not installed here.
    """
    name = _NAME_OF[data[:1]]
    try:
        method = _method(name)
    except ImportError as error:
        raise EncodingUnavailable(
            f"This is compressed by {name}, whose library is not installed here: pip install 'streamtasks[{name}]'."
        ) from error
    stream = method.stream(most)
    try:
        plain: bytes = stream.decompress(data[1:], most + 1)
    except method.errors as error:
        raise EncodingRefused(f"The {name} data are damaged: {error}") from error
    if len(plain) > most:
        raise EncodingRefused(
            f"{len(data)} bytes of {name} become more than {most}. Raise max_decompressed_bytes if that is right."
        )
    if not stream.eof:
        raise EncodingRefused(f"The {name} data end too early.")
    return plain
