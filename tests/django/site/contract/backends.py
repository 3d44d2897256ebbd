"""Backends as a project may write them."""

from typing import Any

from streamtasks_django.backends.dummy import DummyBackend


class OddBackend(DummyBackend):
    """Takes whatever it gets as options, as the documented subclass does."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.model = "mine"
