"""Tests that cannot pass as a user with the least privilege, whatever its rules: `pytest --acl` leaves them out.

A test whose own hands need rights is none of these: it has a client without a user.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from streamtasks.stores.redis.access import UserRole

if TYPE_CHECKING:
    import pytest

_DOCTOR: Final = (
    "it is about what CONFIG and SCAN tell the doctor, which no role may send; without, that is 'not known'"
)
_WARNING: Final = "it is about what CONFIG says of snapshots, which no role may ask; without, the warning says less"
_EVAL: Final = "it sends EVAL and CONFIG on purpose, to see that a service refuses them"
_WORKER: Final = "forgetting a queue takes the rights of a worker"

ANYBODY: Final = {
    "tests/core/test_call_sizes.py::test_no_call_is_too_large_for_the_strictest_service": _EVAL,
    "tests/core/test_doctor.py::test_a_file_that_the_kernel_writes_when_it_likes": _DOCTOR,
    "tests/core/test_doctor.py::test_a_server_without_a_file": _DOCTOR,
    "tests/core/test_doctor.py::test_too_few_replicas_for_any_write": _DOCTOR,
    "tests/core/test_doctor_services.py::test_a_service_is_told_by_its_answers": _DOCTOR,
    "tests/core/test_doctor_services.py::test_the_less_is_answered_the_more_is_not_known": _DOCTOR,
    "tests/core/test_doctor_work.py::test_another_project_that_declares_schedules": _DOCTOR,
    "tests/core/test_doctor_work.py::test_keys_of_something_else_on_the_prefix": _DOCTOR,
    "tests/core/test_doctor_work.py::test_shards_that_the_settings_do_not_name": _DOCTOR,
    "tests/core/test_doctor_work.py::test_workers_of_another_project": _DOCTOR,
    "tests/core/test_server_checks.py::test_a_server_without_one_is_named": _WARNING,
}
"""By the id without parameters: those that are left out for each role."""

PRODUCER: Final = {
    "tests/django/test_control.py::TestForgetQueue::test_one_that_is_used_no_more": _WORKER,
}
"""And those that are left out for producers only."""


def leave_out(config: pytest.Config, items: list[pytest.Item], role: UserRole) -> None:
    """Deselect the tests that this role cannot pass."""
    reasons = ANYBODY | (PRODUCER if role < UserRole.WORKER else {})
    left_out = [item for item in items if item.nodeid.partition("[")[0] in reasons]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item.nodeid.partition("[")[0] not in reasons]
