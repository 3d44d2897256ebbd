"""Plugins: how the command line finds Django and others without importing them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.metadata import entry_points
from typing import Any, Protocol

from streamtasks.application import Application
from streamtasks.exceptions import ConfigurationError

__all__ = ["GROUP", "Plugin", "plugin"]

GROUP = "streamtasks.plugins"
"""The entry point group; each entry is a module."""


class Plugin(Protocol):
    """What a plugin module provides."""

    def load(self, settings: str | None, backends: Sequence[str]) -> list[Application]:
        """Set the framework up, import its tasks and return the apps that ``backends`` names (all if empty).

        Raises:
            ConfigurationError: a backend is not known, or not ours.
        """
        ...

    def move(self, handed_over: Mapping[str, Any]) -> None:
        """Before `load`, in the worker process of a test: use the server and the databases of that test."""
        ...


def plugin(name: str) -> Plugin:
    """Return one plugin.

    Raises:
        ConfigurationError: it is not installed.
    """
    for entry in entry_points(group=GROUP, name=name):
        return entry.load()  # type: ignore[no-any-return]
    raise ConfigurationError(f"No plugin named {name!r} is installed (entry point group {GROUP}).")
