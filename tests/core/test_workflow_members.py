"""However a member of a chord ends, the chord ends."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from streamtasks import TaskRevoked, chord, group
from streamtasks.exceptions import ParentFailed
from streamtasks.stores.factory import open_supervisor_store
from streamtasks.stores.types import SUBSCRIBED, Settled
from streamtasks_workers.roles.workflow_expander import WorkflowExpander
from tests.support.workflow_site import WorkflowSite


class TestHowMembersEnd:
    """However a member ends, its chord does."""

    def started(self, site: WorkflowSite) -> Any:
        return chord([site.add.s(1), site.add.s(2)], site.same.s()).apply_async()

    def test_revoked_while_it_waits(self, site: WorkflowSite) -> None:
        result = self.started(site)
        assert result.parent.results[0].revoke()
        site.run()
        with pytest.raises(ParentFailed, match="TaskRevoked"):
            result.get(timeout=0)

    def test_revoked_while_it_runs(self, site: WorkflowSite) -> None:
        result = self.started(site)
        [claimed] = site.worker.claim()
        outcome = site.worker.run(claimed)
        assert site.app.get_result(claimed.id).revoke()
        site.worker.settle(outcome)
        site.run()
        with pytest.raises(ParentFailed):
            result.get(timeout=0)
        assert site.app.get_result(claimed.id).state == "REVOKED"

    def test_expired(self, site: WorkflowSite) -> None:
        result = chord([site.add.s(1).set(expires=0.001), site.add.s(2)], site.same.s()).apply_async()
        time.sleep(0.01)
        site.run()
        with pytest.raises(ParentFailed):
            result.get(timeout=0)

    def test_a_dead_letter(self, site: WorkflowSite) -> None:
        result = self.started(site)
        [claimed] = site.worker.claim()
        outcome = site.worker.run(claimed)._replace(state="DEAD", note="crashed", result=b'{"e":{"message":"died"}}')
        assert site.worker.settle(outcome) == [Settled.DONE]
        site.run()
        with pytest.raises(ParentFailed, match="died"):
            result.get(timeout=0)

    def test_the_body_itself_is_revoked_before_its_header_has_finished(self, site: WorkflowSite) -> None:
        result = self.started(site)
        assert result.revoke()
        site.run()
        with pytest.raises(TaskRevoked):
            result.get(timeout=0)
        assert result.workflow.ready()

    def test_settled_twice_it_counts_once(self, site: WorkflowSite) -> None:
        result = chord([site.add.s(1), site.add.s(2), site.add.s(3)], site.same.s()).apply_async()
        [claimed] = site.worker.claim()
        outcome = site.worker.run(claimed)
        assert site.worker.settle(outcome) == [Settled.DONE]
        assert site.worker.settle(outcome) == [Settled.ALREADY]
        assert result.parent.completed_count() == 1
        site.run()
        assert result.get() == [1, 2, 3]


async def test_what_a_failure_leaves_to_be_revoked_wakes_keepers(site: WorkflowSite) -> None:
    """By the word for which their role waits, so that it does not last until they look by themselves."""
    keeper: Any = open_supervisor_store(site.app.settings)
    heard = keeper.listen()
    assert await anext(heard) == ("", SUBSCRIBED)
    group(site.boom.s(), site.add.s(1), fail_fast=True).apply_async()
    [first, *_] = site.worker.claim()
    site.worker.settle(site.worker.run(first))
    words: set[str] = set()
    async with asyncio.timeout(60):
        while WorkflowExpander.wake_on not in words:
            _, text = await anext(heard)
            words.add(text.partition(" ")[0])
    await heard.aclose()
