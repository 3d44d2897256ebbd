"""Read the OPTIONS about rows of results, and about arguments of calls that are no options.

================  ==============================================================================
``result_model``  ``"app_label.Model"``, a subclass of `backends.database.models.TaskResult`: workers
                  copy every finished task into its table; see docs/results.md
``extra_fields``  names that ``apply_async()`` takes besides its options: they travel with the
                  message, to ``store_result()`` and to fields of the model
================  ==============================================================================
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from streamtasks import ConfigurationError

__all__ = ["EXTRA_FIELDS", "RESULT_MODEL", "extra_fields", "result_model_label"]

EXTRA_FIELDS: Final = "extra_fields"
RESULT_MODEL: Final = "result_model"


def extra_fields(options: Mapping[str, Any]) -> frozenset[str]:
    """Return the names in ``extra_fields``.

    Raises:
        ConfigurationError: the value is not a list of names.
    """
    names = options.get(EXTRA_FIELDS) or ()
    if not isinstance(names, (list, tuple, set, frozenset)) or not all(
        isinstance(name, str) and name.isidentifier() for name in names
    ):
        raise ConfigurationError(f"extra_fields is {names!r}; it must be a list of names such as ['user_id'].")
    return frozenset(names)


def result_model_label(options: Mapping[str, Any]) -> str | None:
    """Return ``result_model``, None if it is unset.

    Raises:
        ConfigurationError: the value is not the label of a model.
    """
    label = options.get(RESULT_MODEL)
    if label is None:
        return None
    if not isinstance(label, str) or label.count(".") != 1:
        raise ConfigurationError(
            f"result_model is {label!r}; it must be the label of a model, such as 'streamtasks_database.TaskResult'."
        )
    return label
