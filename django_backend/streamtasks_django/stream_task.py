"""The task class of our backends: Django's, with what its documentation promises and its code lacks."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django.tasks.base import Task as DjangoTask
from django.utils import timezone

if TYPE_CHECKING:
    _Base = DjangoTask[..., Any]
else:
    _Base = DjangoTask

__all__ = ["StreamTask"]


class StreamTask(_Base):
    """What ``@task`` makes on a backend of ours.

    ``run_after`` may be a timedelta, as Django documents it: it counts from the call of ``using()``, and
    the attribute then holds the datetime. A priority that Django accepts (5.0, True) is stored as an int.

    Further options of a task are fields of this class. A class with fields of its own needs Django's
    dataclass parameters again: ``frozen`` as `DjangoTask` has it, ``slots=True``, ``kw_only=True``, unhashable
    fields with ``hash=False``, and ``using()`` has to know them.
    """

    __slots__ = ()

    def __post_init__(self) -> None:
        put = object.__setattr__
        if isinstance(self.run_after, timedelta):
            put(self, "run_after", timezone.now() + self.run_after)
        super().__post_init__()
        if type(self.priority) is not int:
            put(self, "priority", int(self.priority))
