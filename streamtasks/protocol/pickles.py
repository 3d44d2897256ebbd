"""Signed pickles: written and read only by processes with ``serializer="pickle"``.

``P1``, then 32 bytes of HMAC-SHA256, then the pickle. The signature covers the version, what the bytes are (a message
or a result), the id of their task, and the bytes, in which the task's name and queue stand too: bytes that were signed
for one task are refused in the place of another's.

What is pickled is what JSON can carry, so a pickle that names any class or function is refused as well, signed or not:
not even who has stolen the key can have code run by it.
"""

from __future__ import annotations

import hashlib
import hmac
import io
import pickle
from collections.abc import Sequence
from typing import Any, Final, NoReturn, override

from ..exceptions import DecodeError, EncodingRefused

__all__ = ["MARK", "Pickles"]

MARK: Final = b"P"
_HEAD: Final = b"P1"
_MAC_BYTES: Final = 32
_PROTOCOL: Final = 5


class _NoNames(pickle.Unpickler):
    @override
    def find_class(self, module_name: str, global_name: str, /) -> NoReturn:
        raise EncodingRefused(f"A pickle names {module_name}.{global_name}; only plain values are read.")

    @override
    def persistent_load(self, pid: Any, /) -> NoReturn:
        raise EncodingRefused("A pickle refers to something outside of itself.")


class Pickles:
    """Writes with the first key and reads with any of them."""

    def __init__(self, keys: Sequence[str | bytes]) -> None:
        # Hashed with a name of ours: the key may serve other purposes, too.
        self._keys = [
            hashlib.sha256(b"streamtasks.signing\0" + (key.encode() if isinstance(key, str) else key)).digest()
            for key in keys
        ]

    def dumps(self, value: Any, kind: bytes, task_id: str) -> bytes:
        """Pickle a value and sign it."""
        data = pickle.dumps(value, _PROTOCOL)
        return _HEAD + self._mac(self._keys[0], kind, task_id, data) + data

    def loads(self, data: bytes, kind: bytes, task_id: str) -> Any:
        """Read what `dumps` wrote for the same task.

        Raises:
            EncodingRefused: the signature is none of ours; nothing of the pickle was looked at.
            DecodeError: it is, and yet the bytes are no pickle.
        """
        given, pickled = data[len(_HEAD) : len(_HEAD) + _MAC_BYTES], data[len(_HEAD) + _MAC_BYTES :]
        if data[: len(_HEAD)] != _HEAD or not any(
            hmac.compare_digest(given, self._mac(key, kind, task_id, pickled)) for key in self._keys
        ):
            raise EncodingRefused(f"The signature of a pickle is not one of ours for task {task_id}.")
        try:
            return _NoNames(io.BytesIO(pickled)).load()
        except EncodingRefused:
            raise
        except Exception as error:
            raise DecodeError(f"not a pickle: {error}") from error

    @staticmethod
    def _mac(key: bytes, kind: bytes, task_id: str, data: bytes) -> bytes:
        return hmac.digest(key, b"\0".join((_HEAD, kind, task_id.encode(), data)), "sha256")
