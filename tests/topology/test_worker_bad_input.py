"""What can be wrong with Sentinels and Clusters: a worker refuses to start or keeps trying, as docs/servers.md says."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest
import redis

from streamtasks import StoreSettings
from streamtasks.protocol.shards import ALL_TAGS, new_id
from streamtasks.stores.factory import open_store
from streamtasks_workers.testing.embedded import EmbeddedServer
from tests.core.test_store import new
from tests.process.tasks import proc_app
from tests.support.fake_sentinel import FakeSentinel
from tests.support.unreachable import closed_port
from tests.support.waiting import DEADLINE_S
from tests.support.worker_process import Worker

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.servers import Cluster

pytestmark = pytest.mark.topology


def add_user(cluster: Cluster, *, passwords: tuple[str, ...]) -> None:
    """Give each node the user `app`, with a password of its own."""
    for node, password in zip(cluster.nodes, passwords, strict=True):
        with redis.Redis.from_url(node.url) as client:
            client.execute_command("ACL", "SETUSER", "app", "on", f">{password}", "~*", "&*", "+@all")


def remove_user(cluster: Cluster) -> None:
    for node in cluster.nodes:
        with redis.Redis.from_url(node.url) as client:
            client.execute_command("ACL", "DELUSER", "app")


def test_it_refuses_to_start_or_keeps_trying(
    embedded_url: str, cluster: Cluster, cluster_url: str, tmp_path: Path
) -> None:
    def cluster_of(url: str) -> str:
        return url.replace("redis://", "redis+cluster://").removesuffix("/0")

    spread = cluster_of(cluster_url)
    open_store(StoreSettings(url=spread)).enqueue([new(new_id(ALL_TAGS))])
    with ExitStack() as stack:
        add_user(cluster, passwords=("right", "other", "right"))
        stack.callback(remove_user, cluster)
        replica = stack.enter_context(EmbeddedServer())
        client = stack.enter_context(redis.Redis.from_url(replica.url))
        client.execute_command("REPLICAOF", "127.0.0.1", "1")
        port = int(embedded_url.rpartition(":")[2].split("/")[0])
        elsewhere = next(node for node in cluster.nodes if not cluster.tags_at(node, ("u0",)))
        sentinel = stack.enter_context(FakeSentinel(port))
        of_replica = stack.enter_context(FakeSentinel(replica.port))
        nowhere = stack.enter_context(closed_port()).removeprefix("redis://").removesuffix("/0")

        def worker(url: str, **settings: Any) -> Worker:
            made = Worker(url, tmp_path, "--concurrency", "1", settings=settings)
            stack.callback(made.end)
            made.spawn()
            return made

        refused = {
            worker(cluster_of(embedded_url)): ("is no node of a Cluster", f"127.0.0.1:{port}"),
            worker(spread, tags=ALL_TAGS[:4]): ("give these (shards=64)", spread),
            worker(spread.replace("://", "://app:right@")): (
                "refuses us", f"127.0.0.1:{cluster.nodes[1].port}", "Check user, password",
            ),
            worker(f"redis+sentinel://127.0.0.1:{sentinel.port}/mian/0"): (
                "'mian'", "known there: 'main'", f"127.0.0.1:{sentinel.port}",
            ),
            worker(embedded_url, key_prefix="a{b}:"): ("key_prefix", "'a{b}:'", "brace"),
        }  # fmt: skip
        waiting = {
            worker(f"redis+sentinel://{nowhere}/main/0"): (nowhere, "cannot be reached"),
            worker(f"redis+cluster://{nowhere}"): (nowhere, "cannot be reached"),
            worker(f"redis+sentinel://127.0.0.1:{of_replica.port}/main/0"): (
                f"127.0.0.1:{replica.port}", "is a replica",
            ),
            worker(elsewhere.url): (
                f"127.0.0.1:{elsewhere.port} is a node of a Cluster", "begin the URL with redis+cluster://",
            ),
            worker(replica.url): (f"127.0.0.1:{replica.port}", "is a replica", "name its master in the URL"),
        }  # fmt: skip
        for one, texts in refused.items():
            assert one.wait() == 2, one.log
            assert [text for text in texts if text not in one.log] == [], one.log
            assert "Traceback" not in one.log
            assert "right" not in one.log
        for one, texts in waiting.items():
            for text in texts:
                one.wait_log(text)
            assert one.process.poll() is None, one.log
            assert "Traceback" not in one.log
        client.execute_command("REPLICAOF", "NO", "ONE")
        app = proc_app.make(replica.url, timeout_s=DEADLINE_S, enqueue_timeout_s=DEADLINE_S)
        results = [app.tasks["add"].enqueue(n, 1) for n in range(4)]
        assert [result.get(timeout=DEADLINE_S) for result in results] == [1, 2, 3, 4]
