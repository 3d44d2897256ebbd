"""Signed and encrypted bytes: round trip, every flipped bit, every other place, keys that change."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from hypothesis import given
from hypothesis import strategies as st

from streamtasks import ConfigurationError, Message, StoreSettings
from streamtasks.exceptions import DecodeError, EncodingRefused, EncodingUnavailable, NotAuthentic, UnknownKey
from streamtasks.protocol.callback_message import callback_id
from streamtasks.protocol.errors import describe, rebuild
from streamtasks.protocol.graph import Graph
from streamtasks.protocol.json import dumps, loads
from streamtasks.protocol.keyring import ENCRYPTION, SIGNATURE, derived
from streamtasks.protocol.member_results import check_inputs, encode_member, inputs_of, read_members
from streamtasks.protocol.reports import attempt_report, open_reports
from streamtasks.protocol.seals import MESSAGE, PROGRESS, RESULT, SCHEDULE, Seals
from streamtasks.protocol.state import Snapshot, State, encode_progress
from streamtasks.protocol.wire import Wire
from streamtasks.schedules import every
from streamtasks.schedules.definition import Definition

KEY, OTHER, THIRD = "the first secret, long enough to be one", "another secret, long enough to be one", "x" * 40
ID = "01890000000000000000000000000000-u0"
WAYS: dict[str, dict[str, Any]] = {
    "signed": {"signing_keys": [KEY]},
    "encrypted": {"encryption_keys": [KEY]},
    "both": {"signing_keys": [KEY], "encryption_keys": [KEY]},
    "compressed": {"signing_keys": [KEY], "encryption_keys": [OTHER], "compression": "gzip"},
    "pickled": {"serializer": "pickle", "signing_keys": [KEY], "encryption_keys": [OTHER], "compression": "zstd"},
    "msgpack": {"serializer": "msgpack", "signing_keys": [KEY]},
}
each_way = pytest.mark.parametrize("way", WAYS)


def wire(**settings: Any) -> Wire:
    return StoreSettings(**settings).wire


def sealed(way: str, **more: Any) -> Wire:
    return wire(**WAYS[way], **more)


@each_way
@given(data=st.binary(max_size=200), kind=st.sampled_from([MESSAGE, RESULT, PROGRESS, SCHEDULE]), owner=st.text())
def test_a_round_trip(way: str, data: bytes, kind: bytes, owner: str) -> None:
    both = sealed(way, require_signed=True)
    assert both.unseal(both.seal(data, kind, owner), kind, owner) == data
    assert both.unseal(both.seal(data, kind, owner, stable=True), kind, owner) == data


@each_way
@given(data=st.binary(min_size=1, max_size=80), place=st.integers(min_value=0), bit=st.integers(0, 7))
def test_a_flipped_bit_is_refused(way: str, data: bytes, place: int, bit: int) -> None:
    both = sealed(way, require_signed=True)
    flipped = bytearray(both.seal(data, RESULT, ID))
    flipped[place % len(flipped)] ^= 1 << bit
    with pytest.raises((EncodingRefused, EncodingUnavailable)):
        both.unseal(bytes(flipped), RESULT, ID)


@each_way
@given(cut=st.integers(min_value=1))
def test_truncated_bytes_are_refused(way: str, cut: int) -> None:
    both = sealed(way, require_signed=True)
    whole = both.seal(b'{"r": "a value"}', RESULT, ID)
    with pytest.raises((EncodingRefused, EncodingUnavailable)):
        both.unseal(whole[: len(whole) - 1 - cut % len(whole)], RESULT, ID)


@each_way
@given(st.data())
def test_bytes_are_refused_in_any_other_place(way: str, data: st.DataObject) -> None:
    both = sealed(way)
    places = st.tuples(st.sampled_from([MESSAGE, RESULT, PROGRESS]), st.text(alphabet="ab\0", max_size=5))
    here, there = data.draw(places), data.draw(places)
    content = data.draw(st.text(alphabet="ab\0", max_size=5)).encode()
    found = both.seal(content, *here)
    if here == there:
        assert both.unseal(found, *there) == content
    else:
        with pytest.raises(NotAuthentic, match="is not authentic"):
            both.unseal(found, *there)


@each_way
def test_a_call_and_a_result_come_back(way: str) -> None:
    both = sealed(way, require_signed=True)
    message = Message(id=ID, task="shop.pay", args=[1, "secret" * 500, float("inf"), 2**80], headers={"h": "secret"})
    data = message.encode(100_000, both)
    assert Message.decode(data, both, ID) == message
    assert both.loads(both.dumps({"r": [None]}, RESULT, ID), RESULT, ID) == {"r": [None]}
    if "encryption_keys" in WAYS[way]:
        assert data[:1] == b"E"
        assert b"secret" not in data
        assert b"shop.pay" not in data
    with pytest.raises(NotAuthentic):
        Message.decode(data, both, ID.replace("0189", "0190"))


class TestKeys:
    def test_the_first_key_writes_and_all_are_read(self) -> None:
        for option in ("signing_keys", "encryption_keys"):
            old, turned = wire(**{option: [KEY]}), wire(**{option: [OTHER, KEY]})
            new = wire(**{option: [OTHER.encode()]})
            assert turned.loads(old.dumps(1, RESULT, ID), RESULT, ID) == 1
            assert new.loads(turned.dumps(2, RESULT, ID), RESULT, ID) == 2
            with pytest.raises(
                UnknownKey, match=f"this process does not have. Add the secret of its writer to {option}"
            ):
                old.loads(turned.dumps(3, RESULT, ID), RESULT, ID)

    def test_one_secret_makes_keys_that_have_nothing_in_common(self) -> None:
        assert derived(KEY.encode(), SIGNATURE) != derived(KEY.encode(), ENCRYPTION)
        hkdf = HKDF(algorithm=SHA256(), length=32, salt=b"streamtasks", info=SIGNATURE)
        assert hkdf.derive(KEY.encode()) == derived(KEY.encode(), SIGNATURE)

    def test_without_keys_signed_bytes_are_read_and_encrypted_ones_are_not(self) -> None:
        """So the first processes may sign before the last ones have keys."""
        assert wire().loads(sealed("signed").dumps({"r": 1}, RESULT, ID), RESULT, ID) == {"r": 1}
        with pytest.raises(UnknownKey, match=r"encryption key [0-9a-f]{8}, which this process does not have"):
            wire().loads(sealed("encrypted").dumps({"r": 1}, RESULT, ID), RESULT, ID)

    def test_unsigned_bytes_are_read_until_signatures_are_required(self) -> None:
        plain = wire(compression="gzip").dumps({"r": "x" * 5000}, RESULT, ID)
        for data in (b'{"r":1}', b"~NaN", plain, wire(serializer="msgpack").dumps(1, RESULT, ID)):
            assert sealed("signed").loads(data, RESULT, ID) is not None
            with pytest.raises(NotAuthentic, match=f"The result of {ID} is not signed, and require_signed is on"):
                sealed("signed", require_signed=True).loads(data, RESULT, ID)

    def test_pickles_are_signed_by_themselves(self) -> None:
        pickles = wire(serializer="pickle", compression="zstd", signing_keys=[KEY], require_signed=True)
        data = pickles.dumps("x" * 5000, RESULT, ID)
        assert data[:1] == b"Z"
        assert pickles.loads(data, RESULT, ID) == "x" * 5000
        with pytest.raises(NotAuthentic):
            pickles.loads(b'{"r":1}', RESULT, ID)

    def test_only_signed_is_not_enough_where_there_is_no_key_that_verifies(self) -> None:
        data = sealed("signed").dumps(1, RESULT, ID)
        with pytest.raises(NotAuthentic):
            sealed("encrypted", require_signed=True).loads(data, RESULT, ID)
        assert sealed("encrypted").loads(data, RESULT, ID) == 1

    def test_encrypted_values_may_be_read_before_any_are_written(self) -> None:
        ready = wire(encryption_keys=[KEY], encrypt=False)
        assert ready.dumps({"r": 1}, RESULT, ID) == b'{"r":1}'
        assert ready.loads(sealed("encrypted").dumps({"r": 1}, RESULT, ID), RESULT, ID) == {"r": 1}

    def test_keys_come_from_the_environment_and_from_files(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        monkeypatch.setenv("SHOP_KEYS", f"{KEY.replace(' ', '-')}  {THIRD}")
        file = tmp_path / "keys"
        file.write_text(f"# the newest first\n\n{OTHER}\n{KEY}\n")
        found = StoreSettings(signing_keys=("env:SHOP_KEYS", f"file:{file}"))
        assert found.signing_keys == (KEY.replace(" ", "-"), THIRD, OTHER, KEY)

    @pytest.mark.parametrize("option", ["signing_keys", "encryption_keys"])
    def test_a_wrong_key_names_its_place_and_what_to_do_and_is_not_shown(
        self, option: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        monkeypatch.setenv("SHORT", f"{THIRD} hush")
        monkeypatch.delenv("UNSET_KEYS", raising=False)
        (tmp_path / "short").write_text(f"{KEY}\nhush\n")
        (tmp_path / "empty").write_text("# none\n")
        for given_, told in {
            "hush": r"\[0\] has 4 bytes; a secret needs at least 32. Make one with: python -c",
            "env:SHORT": r"\[0\], secret 2 of the environment variable SHORT, has 4 bytes",
            "env:UNSET_KEYS": r"\[0\] is 'env:UNSET_KEYS', and the environment variable UNSET_KEYS is not set",
            f"file:{tmp_path}/short": r"\[0\], line 2 of \S+, has 4 bytes",
            f"file:{tmp_path}/empty": "holds no secret; write one in each line",
            f"file:{tmp_path}/none": "cannot be read: FileNotFoundError. It must be a text file with one secret",
        }.items():
            with pytest.raises(ConfigurationError, match=option + ".*" + told) as caught:
                StoreSettings(**{option: (given_,)})  # type: ignore[arg-type]
            assert "hush" not in str(caught.value)
        for wrong in ("one string", ("",), (1,), None):
            with pytest.raises(ConfigurationError, match=f"{option} must be a list of non-empty strings"):
                StoreSettings(**{option: wrong})  # type: ignore[arg-type]

    def test_keys_are_never_shown(self) -> None:
        settings = StoreSettings(signing_keys=(KEY,), encryption_keys=(OTHER,), pickle_keys=(THIRD,))
        shown = repr(settings) + str(settings) + repr(settings.wire)
        assert not [secret for secret in (KEY, OTHER, THIRD) if secret in shown]
        copy = pickle.dumps(settings.wire)
        assert not [secret for secret in (KEY, OTHER) if secret.encode() in copy]

    def test_a_copy_without_keys_refuses_what_it_cannot_verify(self) -> None:
        copy = pickle.loads(pickle.dumps(sealed("signed", require_signed=True)))
        with pytest.raises(EncodingUnavailable, match="was pickled, which leaves the keys behind"):
            copy.loads(sealed("signed").dumps(1, RESULT, ID), RESULT, ID)
        with pytest.raises(NotAuthentic):
            copy.loads(b"1", RESULT, ID)

    def test_a_requirement_needs_keys_and_flags_are_booleans(self) -> None:
        with pytest.raises(ConfigurationError, match="needs signing_keys or encryption_keys"):
            StoreSettings(require_signed=True)
        for option in ("require_signed", "encrypt"):
            with pytest.raises(ConfigurationError, match=f"{option} is 'no'; it must be True or False"):
                StoreSettings(**{option: "no"})  # type: ignore[arg-type]

    def test_nonces_are_random_and_stable_bytes_depend_on_the_data_only(self) -> None:
        seals = Seals((), [KEY])
        assert len({seals.seal(b"x", RESULT, ID) for _ in range(100)}) == 100
        assert seals.seal(b"x", RESULT, ID, stable=True) == seals.seal(b"x", RESULT, ID, stable=True)
        assert seals.seal(b"x", RESULT, ID, stable=True)[:18] != seals.seal(b"y", RESULT, ID, stable=True)[:18]

    def test_a_later_release_may_have_other_seals(self) -> None:
        for data in (b"S2" + b"x" * 80, b"E2" + b"x" * 80):
            with pytest.raises(EncodingUnavailable, match="does not know"):
                sealed("both").loads(data, RESULT, ID)


@pytest.mark.parametrize("way", ["signed", "encrypted"])
class TestWhatElseIsKept:
    def snapshot(self, way: str, state: State, result: bytes, **more: Any) -> Snapshot:
        return Snapshot(ID, state, b"", 0, result=result, wire=sealed(way, require_signed=True), **more)

    def test_an_outcome_must_fit_its_state(self, way: str) -> None:
        both = sealed(way)
        bodies = {"r": {"r": 1}, "e": {"e": describe(ValueError("x"))}, "ignored": {}}
        right = {State.SUCCESS: "r", State.FAILURE: "e", State.DEAD: "e", State.IGNORED: "ignored"}
        for state, fitting in right.items():
            for name, body in bodies.items():
                found = self.snapshot(way, state, both.dumps(body, RESULT, ID))
                if name == fitting:
                    assert found.outcome() == body
                elif not (fitting == "e" and name == "ignored"):
                    with pytest.raises(NotAuthentic, match="state was changed on the server"):
                        found.outcome()
        for state in (State.SUCCESS, State.IGNORED):
            with pytest.raises(NotAuthentic):
                self.snapshot(way, state, b"").outcome()
        assert self.snapshot(way, State.REVOKED, b"").outcome() == {}

    def test_progress(self, way: str) -> None:
        both = sealed(way)
        data = both.seal(encode_progress("HALF", {"x": 1}), PROGRESS, ID)
        assert self.snapshot(way, State.PROGRESS, b"", progress=data).report() == ("HALF", {"x": 1})
        forged = encode_progress("DONE", None)
        with pytest.raises(DecodeError):
            self.snapshot(way, State.PROGRESS, b"", progress=forged).report()

    def test_reports(self, way: str) -> None:
        both = sealed(way, require_signed=True)
        error = describe(ValueError("marker"))
        line = attempt_report(both, ID, "RETRY", 1, "w", 5, 6, error)
        assert line.startswith('{"kind":"RETRY","attempt":1,')
        assert "marker" not in line
        [report] = open_reports([loads(line.encode())], both, ID)
        assert report == {"kind": "RETRY", "attempt": 1, "worker": "w", "started": 5, "finished": 6, "error": error}
        for changed in ({"attempt": 2}, {"sealed": "xx"}, {"sealed": 5}, {"kind": "CRASH"}):
            [report] = open_reports([loads(line.encode()) | changed], both, ID)
            assert report["error"]["message"] != "marker"
        [report] = open_reports([{"kind": "RETRY", "attempt": 1, "error": error}], both, ID)
        assert report["error"]["type"] == "streamtasks.exceptions.NotAuthentic"
        [report] = open_reports([{"kind": "LOST", "attempt": 1}], both, ID)
        assert report == {"kind": "LOST", "attempt": 1}

    def test_schedules(self, way: str) -> None:
        both = sealed(way, require_signed=True)
        call = {"task": "t", "args": ["marker"], "kwargs": {}, "immutable": False, "queue": "q", "priority": 0}
        made = Definition(name="n", rule=every(60), call=call)
        assert Definition.decode(made.encode(both), "n", both) == made
        assert made.encode(both) == made.encode(both)
        for data, name in ((made.encode(both), "m"), (made.encode(), "n")):
            with pytest.raises(NotAuthentic):
                Definition.decode(data, name, both)

    def test_graphs(self, way: str) -> None:
        both = sealed(way, require_signed=True)
        graph = Graph("w", 3, 3)
        assert Graph.decode("w", graph.encode(both), both) == graph
        for data, workflow_id in ((graph.encode(both), "v"), (graph.encode(), "w")):
            with pytest.raises(NotAuthentic):
                Graph.decode(workflow_id, data, both)

    def test_members_stand_in_their_places(self, way: str) -> None:
        both = sealed(way)
        ids = [f"w.w{number}" for number in (1, 2, 5)] + ["v.w1"]
        contents = [encode_member(one, "SUCCESS", both.dumps({"r": one}, RESULT, one)) for one in ids]
        inputs = inputs_of(ids, 4)
        check_inputs(read_members(contents, both), inputs, "w.w9")
        swapped = [contents[1], contents[0], *contents[2:]]
        late = [b"-" + contents[0], *contents[1:]]
        for wrong in (swapped, late, contents[:3], [b"", *contents[1:]], [*contents, contents[0]]):
            with pytest.raises(NotAuthentic, match="a member is missing, or was moved"):
                check_inputs(read_members(wrong, both), inputs, "w.w9")
        check_inputs(read_members([b"", *contents[1:]], both), inputs_of(ids, 3), "w.w9")
        with pytest.raises(DecodeError):
            check_inputs(read_members(contents, both), [1], "w.w9")

    def test_callback_messages_are_not_signed_and_hold_nothing_else(self, way: str) -> None:
        both = sealed(way, require_signed=True)

        def body(**changes: Any) -> bytes:
            callback = {"v": 1, "id": of, "t": "streamtasks.callback", "a": ["x"], "k": {}, "q": "default", "p": 0}
            return dumps(callback | changes)

        of = callback_id("x")
        assert Message.decode(body(), both, of).args == ["x"]
        retried = callback_id("x", 2)
        assert Message.decode(body(id=retried, a=["x", 2]), both, retried).args == ["x", 2]
        wrong: list[dict[str, Any]] = [
            {"t": "shop.pay"},
            {"a": ["y"]},
            {"a": ["x", 1]},
            {"a": []},
            {"a": [["x"]]},
            {"k": {"a": 1}},
            {"h": {}},
            {"id": retried},
        ]
        for changes in wrong:
            with pytest.raises(NotAuthentic):
                Message.decode(body(**changes), both, of)
        for data in (b"", b"x", b"[]"):
            with pytest.raises(NotAuthentic):
                Message.decode(data, both, of)


def test_its_error_survives_being_recorded() -> None:
    error = NotAuthentic("what and who", "why")
    assert str(rebuild(describe(error))) == "what and who"
    assert isinstance(rebuild(describe(error)), NotAuthentic)
