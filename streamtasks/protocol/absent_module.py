"""Tell a module that does not exist from one that fails while it is imported."""

from __future__ import annotations

__all__ = ["is_absent"]


def is_absent(path: str, error: ImportError) -> bool:
    """Return whether an import failed because the module is not there.

    If it is there and fails itself, for example because a dependency is not installed, the error should be raised as it
    is: its traceback shows the line.

    Args:
        path: the name of the module, or of something in it.
        error: what its import raised.
    """
    if not isinstance(error, ModuleNotFoundError) or error.name is None:
        return False
    return f"{path}.".startswith(f"{error.name}.")
