"""Options of tasks that the settings give."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.tasks import task_backends
from django.tasks.exceptions import InvalidTask
from django.test import override_settings

from contract.app import documented
from contract.app import tasks as contract_tasks
from streamtasks import ConfigurationError
from streamtasks.stores.types import NewMessage

tasks: Any = contract_tasks  # Django's stubs do not know what our task class adds

pytestmark = pytest.mark.usefixtures("site")


class TestSettings:
    def test_retries_come_from_the_settings_where_a_task_says_nothing(self) -> None:
        add: Any = tasks.add
        assert (add.run_options().max_retries, add.run_options().retry_delay_s) == (3, 60)
        with override_settings(TASK_MAX_RETRIES=9, TASK_DEFAULT_RETRY_DELAY=timedelta(seconds=5)):
            assert (add.run_options().max_retries, add.run_options().retry_delay_s) == (9, 5)
            robust: Any = documented.robust
            assert (robust.run_options().max_retries, robust.run_options().retry_delay_s) == (2, 0.05)
        with override_settings(TASK_MAX_RETRIES=None):
            assert add.run_options().max_retries is None
        assert add.run_options().max_retries == 3

    @pytest.mark.parametrize(
        ("route", "options", "expected"),
        [
            ({"contract.app.tasks.mail": {"queue": "bulk", "priority": -5}}, {}, ("default", "bulk", -5)),
            ({"contract.app.tasks.*": {"queue": "bulk"}}, {}, ("default", "bulk", 7)),
            ({"contract.*": {"queue": "a"}, "contract.app.*": {"queue": "b"}}, {}, ("default", "a", 7)),
            (
                {"contract.*": {"queue": "a"}, "contract.app.tasks.mail": {"priority": 1}},
                {},
                ("default", "mail", 1),
            ),
            ({"contract.app.tasks.mail": {"backend": "strict"}}, {}, ("strict", "mail", 7)),
            ({"*.mail": {"queue": "bulk", "priority": 2}}, {"queue": "call"}, ("default", "call", 2)),
            ({"*.mail": {"priority": 2}}, {"priority": 7}, ("default", "mail", 7)),
            ({"*.mail": {"backend": "strict"}}, {"backend": "default"}, ("default", "mail", 7)),
            ({"*.other": {"backend": "strict"}}, {}, ("default", "mail", 7)),
        ],
    )
    def test_routes_are_stronger_than_decorators_and_weaker_than_calls(
        self, sent: list[NewMessage], route: Any, options: dict[str, Any], expected: tuple[str, str, int]
    ) -> None:
        mail: Any = tasks.mail
        with override_settings(TASK_ROUTES=route):
            result = mail.apply_async(["x"], **options)
            assert (result.backend, sent[0].queue, sent[0].priority) == expected
            assert (result.task.backend, result.task.queue_name, result.task.priority) == expected
            if options:
                result = mail.using(**options).enqueue("x")
                assert (result.backend, sent[1].queue, sent[1].priority) == expected

    def test_a_route_that_its_backend_does_not_take_is_refused(self) -> None:
        mail: Any = tasks.mail
        route = override_settings(TASK_ROUTES={"*": {"backend": "strict", "queue": "other"}})
        with route, pytest.raises(InvalidTask, match="not valid for backend"):
            mail.delay("x")

    @pytest.mark.parametrize(
        ("route", "alias", "expected"),
        [
            ({"queue": "bulk", "priority": 2}, "default", ("bulk", 2)),
            ({"queue": "bulk", "backend": "default"}, "default", ("bulk", 7)),
            ({"queue": "mail", "priority": 3, "backend": "strict"}, "strict", ("mail", 3)),
            ({"queue": "default", "priority": 3, "backend": "strict"}, "default", ("mail", 7)),
        ],
    )
    async def test_enqueueing_by_hand_on_a_backend_is_where_it_says(
        self, sent: list[NewMessage], route: dict[str, Any], alias: str, expected: tuple[str, int]
    ) -> None:
        backend = task_backends[alias]
        with override_settings(TASK_ROUTES={"*.mail": route}):
            results: list[Any] = [backend.enqueue(tasks.mail, ["x"], {}), await backend.aenqueue(tasks.mail, ["x"], {})]
        assert [(result.backend, result.task.queue_name, result.task.priority) for result in results] == [
            (alias, *expected)
        ] * 2
        assert {(new.queue, new.priority) for new in sent} == {expected}

    def test_bulk_enqueueing_is_routed_too(self, sent: list[NewMessage]) -> None:
        backend: Any = task_backends["default"]
        with override_settings(TASK_ROUTES={"*.mail": {"queue": "bulk"}}):
            backend.enqueue_many([(tasks.mail, ["x"], {}), (tasks.add, [1, 2], {})])
        assert [new.queue for new in sent] == ["bulk", "default"]

    @pytest.mark.parametrize(
        ("route", "named"),
        [
            ([1], "TASK_ROUTES is"),
            ({"x": "mail"}, r"TASK_ROUTES\['x'\] is 'mail'"),
            ({"x": {"que": "mail"}}, "unknown key 'que'"),
            ({"x": {"queue": "a b"}}, r"TASK_ROUTES\['x'\]: 'a b' cannot be a queue's name"),
            ({"x": {"priority": 1000}}, r"TASK_ROUTES\['x'\]: priority is 1000"),
            ({"x": {"backend": "nowhere"}}, "backend is 'nowhere', which is not an alias"),
        ],
    )
    def test_a_wrong_route_is_named(self, route: Any, named: str) -> None:
        with override_settings(TASK_ROUTES=route), pytest.raises(ConfigurationError, match=named):
            tasks.add.enqueue(1, 2)
