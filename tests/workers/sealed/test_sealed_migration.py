"""A project begins to sign or to encrypt, and changes its keys, without a stop."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

from streamtasks import StreamTasks
from streamtasks.exceptions import NotAuthentic, UnknownKey
from streamtasks_workers.testing.in_process import InProcessWorker
from tests.support.sealed_app import KEY, MARKER, OTHER, app_of


class TestMigration:
    """Unsigned, then signed, then required, with messages under way at each step; and the same for encryption."""

    def test_to_signatures(self) -> None:
        plain, signing = app_of(), app_of(signing_keys=(KEY,))
        strict = app_of(signing_keys=(KEY,), require_signed=True)
        first = [one.tasks["echo"].enqueue(number) for number, one in enumerate((plain, signing, plain))]
        InProcessWorker(plain).run_ready(most=1)
        InProcessWorker(signing).run_until_idle()
        for reader in (plain, signing):
            assert [reader.get_result(one.id).get(0) for one in first] == [[0], [1], [2]]
        second = [one.tasks["echo"].enqueue(number) for number, one in enumerate((signing, strict, strict))]
        InProcessWorker(plain).run_ready(most=1)  # a process that has no key yet reads what is signed
        InProcessWorker(strict).run_until_idle()
        assert [signing.get_result(one.id).get(0) for one in second] == [[0], [1], [2]]
        with pytest.raises(NotAuthentic):  # written before its writer signed
            strict.get_result(second[0].id).get(0)
        assert [strict.get_result(one.id).get(0) for one in second[1:]] == [[1], [2]]
        assert plain.dead_letters() == []

    def test_to_encryption(self) -> None:
        plain = app_of(unknown_task_limit=10)
        ready, encrypting = app_of(encryption_keys=(KEY,), encrypt=False), app_of(encryption_keys=(KEY,))
        strict = app_of(encryption_keys=(KEY,), require_signed=True)
        sent = [one.tasks["echo"].enqueue(number) for number, one in enumerate((plain, ready, encrypting, strict))]
        ran = InProcessWorker(plain).run_ready(most=3)
        assert [one.state for one in ran] == ["SUCCESS", "SUCCESS", "RETRY"]  # without the key it waits for another
        InProcessWorker(ready).run_until_idle()
        assert [ready.get_result(one.id).get(0) for one in sent] == [[0], [1], [2], [3]]
        assert plain.dead_letters() == []
        late = encrypting.tasks["echo"].enqueue(MARKER)
        InProcessWorker(encrypting).run_until_idle()
        with pytest.raises(UnknownKey):
            plain.get_result(late.id).get(0)

    @pytest.mark.parametrize("option", ["signing_keys", "encryption_keys"])
    def test_keys_are_changed_by_putting_the_new_one_last_then_first(self, option: str) -> None:
        def keyed(*keys: str) -> StreamTasks:
            return app_of(**{option: keys, "require_signed": True})

        steps = [keyed(KEY), keyed(KEY, OTHER), keyed(OTHER, KEY), keyed(OTHER)]
        before: list[Any] = []
        for now, after in pairwise(steps):
            sent = [one.tasks["echo"].enqueue(1) for one in (now, after)]
            InProcessWorker(now).run_ready(most=1)
            InProcessWorker(after).run_until_idle()
            assert [one.get_result(result.id).get(0) for one in (now, after) for result in sent] == [[1]] * 4
            before += sent
        with pytest.raises(UnknownKey):
            steps[3].get_result(before[0].id).get(0)
        assert steps[1].dead_letters() == []
