"""Operators of a Django project: what a store in SQL refuses, and says."""

from __future__ import annotations

import pytest

from streamtasks.exceptions import ServerNotSupported
from streamtasks_django.backends.database.engine.steering import SteeringMethods


def test_a_store_in_sql_refuses() -> None:
    store = SteeringMethods()
    for call in (lambda: store.pause("a", "ann", ""), lambda: store.waiting_ids("queued")):
        with pytest.raises(ServerNotSupported, match=r"^A DatabaseBackend cannot .+ yet: "):
            call()
    assert (store.pauses(), store.audit_entries()) == ([], [])
