"""The role of schedules declares those of the code, on a store in memory whose clock stands still."""

# pyright: reportPrivateUsage=false

from __future__ import annotations

from array import array
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from streamtasks import StoreSettings
from streamtasks.protocol.shards import ALL_TAGS, schedule_tag
from streamtasks.schedules.definition import Definition
from streamtasks.stores.memory import AsyncMemoryStore, Clock, MemoryServer
from streamtasks_workers.process.options import WorkerOptions
from streamtasks_workers.roles.base import ServedApp
from streamtasks_workers.roles.scheduler import Scheduler
from tests.support.scheduler_role import NOW_MS, SETTINGS, Away, definition, names, scheduler, scheduler_of

if TYPE_CHECKING:
    from collections.abc import Sequence


TAGS = ALL_TAGS[:16]


@pytest.fixture
def store() -> AsyncMemoryStore:
    return AsyncMemoryStore(SETTINGS, MemoryServer(Clock(NOW_MS)))


class TestDeclaring:
    async def test_again_and_again_so_that_a_server_may_lose_them(
        self, store: AsyncMemoryStore, caplog: pytest.LogCaptureFixture
    ) -> None:
        role = scheduler(store, definition("a"), definition("b"))
        await role.run_once()
        await store.delete_schedule("b")
        await role.run_once()
        assert await names(store) == ["a"], "not at once"
        role._declare_at = 0.0
        await role.run_once()
        assert await names(store) == ["a", "b"]
        assert caplog.text.count("'b' of shop is stored anew") == 1

    async def test_what_no_worker_has_declared_for_minutes_goes(
        self, store: AsyncMemoryStore, caplog: pytest.LogCaptureFixture
    ) -> None:
        old, new = scheduler(store, definition("a"), definition("b")), scheduler(store, definition("b"))
        await old.run_once()
        await scheduler(store, definition("theirs"), label="other").run_once()
        for role in (old, new, new, new):
            store.server.clock.advance(400)
            role._declare_at = 0.0
            await role.run_once()
            assert "a" in await names(store), "a worker that has just started does not know who lives"
        new._born -= 601
        new._declare_at = 0.0
        await new.run_once()
        assert await names(store) == ["b", "theirs"]
        assert caplog.text.count("'a' of shop is deleted: no worker has declared it lately") == 1

    async def test_it_stays_while_an_older_release_declares_it(self, store: AsyncMemoryStore) -> None:
        old, new = scheduler(store, definition("a"), loaded_ms=1), scheduler(store)
        new._born -= 601
        for _ in range(4):
            store.server.clock.advance(400)
            for role in (old, new):
                role._declare_at = 0.0
                await role.run_once()
        assert await names(store) == ["a"]

    async def test_an_old_release_that_restarts_during_a_roll_out_changes_nothing(
        self, store: AsyncMemoryStore, caplog: pytest.LogCaptureFixture
    ) -> None:
        def of(release: str, *schedules: Definition) -> Scheduler:
            role = scheduler(store, *schedules)
            role.app.release = release
            return role

        await of("r1", definition("a")).run_once()
        store.server.clock.advance(1)
        await of("r2", definition("a", 120)).run_once()
        store.server.clock.advance(1)
        await of("r1", definition("a")).run_once()
        [found] = await store.list_schedules()
        assert found.definition == definition("a", 120).encode()
        assert caplog.text.count("'a' of shop is left out: a later release counts") == 1

    async def test_projects_with_one_label_share_nothing(
        self, store: AsyncMemoryStore, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Two Django projects with the alias "default" on one server and prefix."""

        def of(project: str, *schedules: Definition) -> Scheduler:
            role = scheduler(store, *schedules, label="default")
            role.app.project = project
            role._born -= 601
            return role

        await of("shop.settings:default", definition("a")).run_once()
        store.server.clock.advance(1000)
        await of("blog.settings:default", definition("b")).run_once()
        assert await names(store) == ["a", "b"]
        await of("blog.settings:default").run_once()
        assert await names(store) == ["a", "b"]

    @pytest.mark.parametrize("fails", ["due_schedules", "declare_schedules", "undeclare_schedules"])
    async def test_again_until_it_has_succeeded(self, store: AsyncMemoryStore, fails: str) -> None:
        await scheduler(store, definition("old"), loaded_ms=1).run_once()
        away = Away(store, fails)
        store.server.clock.advance(601)
        role = scheduler(away, definition("a"))
        role._born -= 601
        for _ in range(2):
            with pytest.raises(ConnectionError):
                await role.run_once()
        away.fails = ""
        await role.run_once()
        assert await names(store) == ["a"]

    async def test_one_that_cannot_be_stored_holds_nobody_up(
        self, store: AsyncMemoryStore, caplog: pytest.LogCaptureFixture
    ) -> None:
        role = scheduler(store, replace(definition("set"), call={"args": {1, 2}}), definition("a"))
        await role.run_once()
        await role.run_once()
        assert await names(store) == ["a"]
        assert caplog.text.count("'set' of shop is left out") == 1

    async def test_a_keeper_that_is_restarted_brings_nothing_old_back(
        self, store: AsyncMemoryStore, caplog: pytest.LogCaptureFixture
    ) -> None:
        old, new = definition("a"), definition("a", 120)
        loaded = memoryview(array("Q", [0]))
        await scheduler_of(store, loaded, old, definition("gone")).run_once()
        assert 0 < loaded[0] <= NOW_MS, "the supervisor keeps it for the next keeper"
        store.server.clock.advance(1)
        await scheduler(store, new).run_once()
        store.server.clock.advance(1)
        await scheduler_of(store, loaded, old, definition("gone")).run_once()
        [found, _] = await store.list_schedules()
        assert found.definition == new.encode()
        assert "'a' of shop is left out: a later release counts" in caplog.text

    async def test_a_taken_name_is_asked_for_until_it_is_free(
        self, store: AsyncMemoryStore, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await store.put_schedule(definition("a").new_schedule(NOW_MS), 0)
        role = scheduler(store, definition("a"), definition("b"))
        await role.run_once()
        await role.run_once()
        assert caplog.text.count("'a' of shop is not declared") == 1
        assert [found.declared for found in await store.list_schedules()] == ["", "shop"]
        await store.delete_schedule("a")
        monkeypatch.setattr(role, "_declare_at", 0.0)
        await role.run_once()
        assert [found.declared for found in await store.list_schedules()] == ["shop", "shop"]

    def test_each_shard_declares_its_own(self) -> None:
        schedules: Sequence[Definition] = [definition(f"t{number}") for number in range(40)]
        loaded = memoryview(array("Q", range(len(TAGS))))
        store: Any = None
        settings = StoreSettings(tags=TAGS)
        app = ServedApp("shop", settings, store, WorkerOptions(), schedules=schedules, loaded_ms=loaded)
        parts = [Scheduler(app, tag) for tag in TAGS]
        assert sorted(one.name for part in parts for one in part._to_declare()) == sorted(one.name for one in schedules)
        for place, (tag, part) in enumerate(zip(TAGS, parts, strict=True)):
            assert {schedule_tag(one.name, TAGS) for one in part._to_declare()} <= {tag}
            assert part._loaded_ms.tolist() == [place]
