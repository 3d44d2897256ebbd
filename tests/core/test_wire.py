"""Every encoding means the same, is read by every process that may, and is refused by those that may not."""

from __future__ import annotations

import builtins
import gzip
import importlib
import itertools
import pickle
import sys
import time
import tracemalloc
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from streamtasks import Message, StoreSettings
from streamtasks.exceptions import (
    ConfigurationError,
    DecodeError,
    EncodingRefused,
    EncodingUnavailable,
    InvalidTask,
    PayloadTooLarge,
)
from streamtasks.protocol.compression import COMPRESSIONS, THRESHOLD
from streamtasks.protocol.pickles import Pickles
from streamtasks.protocol.state import Snapshot, State
from streamtasks.protocol.wire import JSON, MESSAGE, RESULT, SERIALIZERS, Wire
from tests.core.test_codec import VALUES, json_meaning, same

KEY = "a secret of all processes"
OLD, NEW = "the old secret, long enough to count", "the new secret, long enough to count"
ID = "01890000000000000000000000000000-u0"
LONG = {"r": ["the same again and again"] * 400}
EVERY = list(itertools.product(SERIALIZERS, [None, *COMPRESSIONS]))
lz4: Any = importlib.import_module("lz4.frame")
zstd: Any = importlib.import_module("compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd")
PACK = {"gzip": gzip.compress, "lz4": lz4.compress, "zstd": zstd.compress}
MARK = {"gzip": b"G", "lz4": b"L", "zstd": b"Z"}


def wire(serializer: str = "json", compression: str | None = None, **more: Any) -> Wire:
    return StoreSettings(serializer=serializer, compression=compression, pickle_keys=(KEY,), **more).wire


@pytest.mark.parametrize(("serializer", "compression"), EVERY)
@given(VALUES)
@example(float("nan"))
@example({"deep": [[[[1, 2.5, None, True, {"": []}]]]] * 300})
@example("\ud800" * 2000)
@example([2**64, -(2**63), 2**63, {"1": {"": False}}] * 300)
def test_a_value_means_what_json_makes_of_it(serializer: str, compression: str | None, value: Any) -> None:
    both = wire(serializer, compression)
    assert same(both.loads(both.dumps(value, RESULT, ID), RESULT, ID), json_meaning(value))


@pytest.mark.parametrize("serializer", SERIALIZERS)
@pytest.mark.parametrize("value", [{1, 2}, b"bytes", pytest.param(object(), id="object"), {(1, 2): 3}, 1j], ids=repr)
def test_no_serializer_carries_more_than_json(serializer: str, value: Any) -> None:
    with pytest.raises(InvalidTask, match="JSON cannot carry"):
        wire(serializer).dumps({"r": value}, RESULT, ID)


@pytest.mark.parametrize(("serializer", "compression"), EVERY)
def test_a_message_comes_back_whatever_the_reader_writes(serializer: str, compression: str | None) -> None:
    message = Message(id=ID, task="shop.pay", args=[1, "x" * 3000], kwargs={"é": None}, headers={"h": 1}, due_ms=5)
    data = message.encode(100_000, wire(serializer, compression))
    for reader in [wire(other) for other in SERIALIZERS if serializer != "pickle" or other == "pickle"]:
        assert Message.decode(data, reader, ID) == message
    expected = {"json": b"{", "msgpack": b"M", "pickle": b"P"}[serializer] if compression is None else MARK[compression]
    assert data[:1] == expected


def test_json_without_compression_is_the_bytes_it_always_was() -> None:
    message = Message(id=ID, task="t", args=[1])
    assert message.encode(1000, StoreSettings().wire) == message.encode(1000)
    assert StoreSettings().wire is JSON
    assert message.encode(1000).startswith(b'{"v":2,"t":')


class TestPickle:
    def test_only_who_is_set_to_pickle_reads_it(self) -> None:
        data = wire("pickle").dumps({"r": 1}, RESULT, ID)
        for reader in (JSON, wire("json"), wire("msgpack"), wire("json", "gzip")):
            with pytest.raises(EncodingRefused, match=f"{ID} is pickled, and this process reads no pickles"):
                reader.loads(data, RESULT, ID)
        assert wire("pickle").loads(data, RESULT, ID) == {"r": 1}

    def test_not_even_in_a_compressed_disguise(self) -> None:
        data = wire("pickle", "gzip").dumps(LONG, RESULT, ID)
        assert data[:1] == b"G"
        with pytest.raises(EncodingRefused, match="reads no pickles"):
            JSON.loads(data, RESULT, ID)

    def test_a_flipped_bit_anywhere_is_refused(self) -> None:
        both = wire("pickle")
        data = both.dumps({"r": [1, "two"]}, RESULT, ID)
        for place, bit in itertools.product(range(1, len(data)), range(8)):
            flipped = bytearray(data)
            flipped[place] ^= 1 << bit
            with pytest.raises(EncodingRefused, match="signature"):
                both.loads(bytes(flipped), RESULT, ID)

    def test_what_is_signed_for_one_task_is_not_read_for_another(self) -> None:
        both = wire("pickle")
        data = both.dumps({"r": 1}, RESULT, ID)
        with pytest.raises(EncodingRefused, match="signature"):
            both.loads(data, RESULT, ID.replace("0189", "0190"))
        with pytest.raises(EncodingRefused, match="signature"):
            both.loads(data, MESSAGE, ID)

    def test_old_keys_are_read_and_the_first_one_signs(self) -> None:
        old = StoreSettings(serializer="pickle", signing_keys=(OLD,)).wire
        turned = StoreSettings(serializer="pickle", signing_keys=[NEW, OLD]).wire  # type: ignore[arg-type]
        new = StoreSettings(serializer="pickle", signing_keys=(NEW.encode(),)).wire
        assert turned.loads(old.dumps(1, RESULT, ID), RESULT, ID) == 1
        assert new.loads(turned.dumps(2, RESULT, ID), RESULT, ID) == 2
        with pytest.raises(EncodingRefused, match="signature"):
            old.loads(turned.dumps(3, RESULT, ID), RESULT, ID)

    def test_a_crafted_pickle_runs_nothing(self, tmp_path: Path) -> None:
        trace = tmp_path / "ran"

        class Crafted:
            def __reduce__(self) -> Any:
                return Path.touch, (trace,)

        evil = pickle.dumps(Crafted())
        for data in (b"P1" + b"\0" * 32 + evil, b"P" + evil, b"P1" + evil, b"P"):
            with pytest.raises(EncodingRefused):
                wire("pickle").loads(data, RESULT, ID)
        with pytest.raises(DecodeError):
            JSON.loads(evil, RESULT, ID)
        signed = Pickles([KEY]).dumps(Crafted(), RESULT, ID)  # by a thief of the key
        with pytest.raises(EncodingRefused, match=r"only plain values"):
            wire("pickle").loads(signed, RESULT, ID)
        assert not trace.exists()

    def test_keys_are_needed_and_never_shown(self) -> None:
        with pytest.raises(ConfigurationError, match="needs signing_keys"):
            StoreSettings(serializer="pickle")
        for wrong in ("one string", ("",), (1,), None):
            with pytest.raises(ConfigurationError, match="signing_keys must be a list of non-empty strings"):
                StoreSettings(signing_keys=wrong)  # type: ignore[arg-type]
        assert "hush" not in repr(StoreSettings(serializer="pickle", signing_keys=("hush" * 8,)))


class TestCompression:
    @pytest.mark.parametrize("compression", COMPRESSIONS)
    def test_what_is_short_or_gains_nothing_stays_as_it_is(self, compression: str) -> None:
        both = wire("json", compression)
        assert both.dumps("x" * 500, RESULT, ID)[:1] == b'"'
        assert both.dumps("x" * THRESHOLD, RESULT, ID)[:1] == MARK[compression]
        noise = "".join(chr(0x4E00 + (n * n * 2654435761 >> 7) % 20_000) for n in range(1500))
        packed = both.dumps(noise, RESULT, ID)
        assert len(packed) <= len(JSON.dumps(noise, RESULT, ID))
        assert both.loads(packed, RESULT, ID) == noise

    @pytest.mark.parametrize("compression", COMPRESSIONS)
    def test_a_bomb_is_refused_without_being_unpacked(self, compression: str, bound: Callable[[float], float]) -> None:
        bomb = MARK[compression] + PACK[compression](b'"' + b" " * 100_000_000 + b'"')
        reader = StoreSettings(max_decompressed_bytes=1_000_000).wire
        reader.loads(MARK[compression] + PACK[compression](b'"small"'), RESULT, ID)
        tracemalloc.start()
        began = time.monotonic()
        with pytest.raises(EncodingRefused):
            reader.loads(bomb, RESULT, ID)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert time.monotonic() - began < bound(2)
        assert peak < 40_000_000

    @pytest.mark.parametrize("compression", COMPRESSIONS)
    def test_a_bomb_in_a_bomb_is_refused(self, compression: str) -> None:
        pack, mark = PACK[compression], MARK[compression]
        with pytest.raises(DecodeError):
            JSON.loads(mark + pack(mark + pack(b"{}")), RESULT, ID)

    @pytest.mark.parametrize("compression", COMPRESSIONS)
    def test_exactly_the_bound_is_read(self, compression: str) -> None:
        reader = StoreSettings(max_decompressed_bytes=5000).wire
        text = b'"' + b"x" * 4998 + b'"'
        assert len(reader.loads(MARK[compression] + PACK[compression](text), RESULT, ID)) == 4998
        with pytest.raises(EncodingRefused, match="more than 5000"):
            reader.loads(MARK[compression] + PACK[compression](text + b" "), RESULT, ID)

    @pytest.mark.parametrize("compression", COMPRESSIONS)
    def test_damage_is_refused(self, compression: str) -> None:
        data = wire("json", compression).dumps(LONG, RESULT, ID)
        for cut in range(1, len(data)):
            with pytest.raises(EncodingRefused):
                JSON.loads(data[:cut], RESULT, ID)
        wrong = 0
        for place, bit in itertools.product(range(1, len(data)), range(8)):
            flipped = bytearray(data)
            flipped[place] ^= 1 << bit
            with suppress(EncodingRefused):
                wrong += JSON.loads(bytes(flipped), RESULT, ID) != LONG
        assert wrong == 0

    def test_the_bound_follows_max_payload_bytes(self) -> None:
        large = {"r": "x" * (20 * 1024 * 1024)}
        both = wire("json", "gzip", max_payload_bytes=32 * 1024 * 1024)
        assert both.loads(both.dumps(large, RESULT, ID), RESULT, ID) == large
        with pytest.raises(PayloadTooLarge, match="max_decompressed_bytes is 16777216"):
            wire("json", "gzip").dumps(large, RESULT, ID)

    def test_a_compressed_call_may_be_longer_than_max_payload_bytes_was(self) -> None:
        message = Message(id=ID, task="t", args=["x" * 100_000])
        with pytest.raises(PayloadTooLarge):
            message.encode(10_000)
        assert len(message.encode(10_000, wire("json", "zstd"))) < 1000


@given(st.binary(max_size=80), st.sampled_from([b"", b"M", b"P", b"P1", b"G", b"L", b"Z", b"{", b"~", b"M\xdf"]))
def test_any_bytes_are_read_or_refused(data: bytes, first: bytes) -> None:
    for reader in (JSON, wire("pickle")):
        try:
            value = reader.loads(first + data, RESULT, ID)
        except DecodeError:
            continue
        assert reader.loads(reader.dumps(value, RESULT, ID), RESULT, ID) == value


@pytest.mark.parametrize(("first", "module", "extra"), [(b"M", "ormsgpack", "msgpack"), (b"L", "lz4.frame", "lz4")])
def test_a_missing_library_is_named(monkeypatch: pytest.MonkeyPatch, first: bytes, module: str, extra: str) -> None:
    from streamtasks.protocol import compression
    from streamtasks.protocol import wire as wires

    data = wire("msgpack" if first == b"M" else "json", None if first == b"M" else "lz4").dumps(LONG, RESULT, ID)
    compression._method.cache_clear()  # pyright: ignore[reportPrivateUsage]
    wires._msgpack.cache_clear()  # pyright: ignore[reportPrivateUsage]
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(EncodingUnavailable, match=rf"streamtasks\[{extra}\]"):
        JSON.loads(data, RESULT, ID)
    with pytest.raises(ConfigurationError, match=rf"not installed: pip install 'streamtasks\[{extra}\]'"):
        StoreSettings(**{"serializer": "msgpack"} if first == b"M" else {"compression": "lz4"})  # type: ignore[arg-type]
    monkeypatch.undo()
    assert JSON.loads(data, RESULT, ID) == LONG


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"serializer": "yaml"}, "serializer is 'yaml'; it must be one of json, msgpack, pickle"),
        ({"compression": "rar"}, "compression is 'rar'; it must be None or one of gzip, lz4, zstd"),
        ({"compression": True}, "compression is True"),
        ({"serializer": None}, "serializer is None"),
        ({"max_decompressed_bytes": 0}, "max_decompressed_bytes"),
        ({"max_decompressed_bytes": "1 MB"}, "max_decompressed_bytes"),
    ],
    ids=repr,
)
def test_wrong_settings_are_named(settings: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigurationError, match=told):
        StoreSettings(**settings)


def test_nothing_is_imported_for_plain_json(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(name: str, *args: Any, **kwargs: Any) -> Any:
        assert name.partition(".")[0] not in ("ormsgpack", "lz4", "backports", "compression")
        return real(name, *args, **kwargs)

    real = builtins.__import__
    monkeypatch.setattr(builtins, "__import__", refuse)
    Message.decode(Message(id=ID, task="t", args=["x" * 5000]).encode(10_000))


def test_a_snapshot_is_pickled_without_the_keys() -> None:
    both = wire("pickle", "gzip")
    snapshot = Snapshot(ID, State.SUCCESS, b"{}", 1, result=JSON.dumps({"r": 1}, RESULT, ID), wire=both)
    copy = pickle.loads(pickle.dumps(snapshot))
    assert copy == snapshot
    assert copy.outcome() == {"r": 1}
    copy.result = both.dumps({"r": 1}, RESULT, ID)
    with pytest.raises(EncodingRefused):
        copy.outcome()
    assert snapshot.wire.loads(copy.result, RESULT, ID) == {"r": 1}
