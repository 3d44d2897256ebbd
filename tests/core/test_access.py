"""What each role may do on a server: everything that it needs, and nothing else."""

from __future__ import annotations

import ast
import asyncio
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import redis
from redis.exceptions import NoPermissionError, ResponseError

import streamtasks_lua
from streamtasks import StoreSettings, StreamTasks, group
from streamtasks.exceptions import AccessDenied
from streamtasks.protocol.keys import Keys
from streamtasks.protocol.message import Message
from streamtasks.protocol.state import DeadLetter
from streamtasks.stores.bulk_types import BulkCounts, BulkState, Move
from streamtasks.stores.factory import open_async_store, open_store, open_supervisor_store
from streamtasks.stores.inspection_types import NewLog
from streamtasks.stores.redis import RedisStore, access, scripts
from streamtasks.stores.redis.access import UserRole
from streamtasks.stores.redis.operations.delete_finished import finished_call
from streamtasks.stores.redis.operations.durable import touch_call
from streamtasks.stores.redis.operations.measures import limit_tokens_call
from streamtasks.stores.series_types import NewSeries
from streamtasks.stores.steering_types import AuditEntry
from streamtasks.stores.types import ClaimId, ClaimRequest, Filter, Limit, NewMessage
from tests.support.manual_consumer import Consumer, outcome_of
from tests.support.schedule_samples import declared, firing, schedule
from tests.support.server_dump import dump
from tests.support.users import as_user, create_users

if TYPE_CHECKING:
    from streamtasks.stores.redis.scripts import Call
    from streamtasks.stores.redis.shards import Operation

CODE = Path(access.__file__).parent
TAG = "u0"
KEYS = Keys("streamtasks:", TAG)
PATIENT: dict[str, Any] = {"timeout_s": 60.0, "enqueue_timeout_s": 60.0}
DENIED = r"ACL failure|^The user executing the script can't|not allowed from script"
NOT_COMMANDS = {"faults.py"}
"""Files in which names of commands are codes of errors."""

REFUSED = (
    "KEYS *", "SCAN 0", "RANDOMKEY", "DBSIZE", "FLUSHALL", "FLUSHDB", "SWAPDB 0 1", "CONFIG GET save",
    "CONFIG SET maxmemory 1", "SCRIPT FLUSH", "SCRIPT KILL", "FUNCTION LIST", "DEBUG OBJECT x", "SHUTDOWN NOSAVE",
    "SAVE", "BGSAVE", "BGREWRITEAOF", "REPLICAOF no one", "FAILOVER", "ACL LIST", "ACL WHOAMI", "CLIENT LIST",
    "CLIENT KILL 127.0.0.1:1", "MONITOR", "SLOWLOG GET", "LATENCY RESET", "MODULE LIST", "CLUSTER RESET",
    "EVAL return 0", "SUBSCRIBE a", "PSUBSCRIBE *", "PUBLISH a b", "PUBSUB CHANNELS", "ROLE", "KEYS streamtasks:*",
    "GET other:{u0}:x", "HGET streamtasks:mail:{u0}:state x", "GET streamtasks", "SSUBSCRIBE other:{u0}:done:1",
    "DUMP streamtasks:{u0}:state", "RESTORE streamtasks:{u0}:state 0 x", "COPY streamtasks:{u0}:state other",
    "RENAME streamtasks:{u0}:state other", "SORT streamtasks:{u0}:state STORE other",
)  # fmt: skip


@pytest.fixture
def called(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """The names of the scripts that were called."""
    names: set[str] = set()
    build = scripts.Script.call

    def record(self: scripts.Script, *args: Any, **kwargs: Any) -> Call:
        names.add(self.name)
        return build(self, *args, **kwargs)

    monkeypatch.setattr(scripts.Script, "call", record)
    return names


def of_role(least: UserRole) -> set[str]:
    return {name for name in streamtasks_lua.names() if access.role_of(name) is least}


def settings_of(url: str, role: UserRole) -> StoreSettings:
    return StoreSettings(url=as_user(url, role), **PATIENT)


def new(task_id: str, **options: Any) -> NewMessage:
    return NewMessage(task_id, "default", 0, Message(id=task_id, task="t").encode(1 << 20), **options)


def run(settings: StoreSettings, call: Call) -> Any:
    """Send one call."""

    def operation() -> Operation[Any]:
        return (yield [call])

    return RedisStore(settings).run(operation())


class TestTable:
    @pytest.mark.parametrize("name", streamtasks_lua.names())
    def test_what_scripts_call_is_read_from_them(self, name: str, server_url: str) -> None:
        commands = streamtasks_lua.commands(name)
        assert commands
        assert not commands - set(known_commands(server_url))

    def test_it_has_every_command_of_the_code(self, server_url: str) -> None:
        known = known_commands(server_url)
        table = {*access.UNPRIVILEGED, *access.allowed_commands(UserRole.WORKER)}
        table |= {one.name for one in access.SENTINEL}
        found = {
            name: path.name
            for path in CODE.rglob("*.py")
            if path.name not in NOT_COMMANDS and path.name != Path(access.__file__).name
            for name in sent_commands(path.read_text("utf-8"), known)
        }
        assert len(found) > 10
        assert {name: file for name, file in found.items() if name not in table} == {}

    def test_the_rules_have_no_more_of_the_dangerous_commands_than_info(self, admin: redis.Redis) -> None:
        dangerous: Any = admin.execute_command("ACL", "CAT", "dangerous")
        for role in UserRole:
            allowed = access.allowed_commands(role)
            assert set(allowed) & set(dangerous) == {"info"}
            assert not [word for word in access.rules(role, "p:") if word.startswith(("+@", "allkeys", "~*", "&*"))]

    def test_a_monitor_has_no_command_that_writes(self, admin: redis.Redis) -> None:
        writes: Any = admin.execute_command("ACL", "CAT", "write")
        assert not set(access.allowed_commands(UserRole.MONITOR)) & set(writes)

    def test_rules_for_an_old_server_have_only_what_it_knows(self) -> None:
        old, later = (set(access.rules(UserRole.WORKER, "p:", version)) for version in ((7, 0), (7, 2)))
        assert later - old == {"+client|setinfo", "+waitaof"}


@cache
def known_commands(url: str) -> dict[str, bool]:
    """The commands of a server, and whether each has subcommands, which are named as in ACL rules."""
    with redis.Redis.from_url(url, decode_responses=True) as client:
        ask: Any = client.execute_command
        names = {name for category in ask("ACL", "CAT") for name in ask("ACL", "CAT", category)}
    containers = {"sentinel"} | {name.partition("|")[0] for name in names if "|" in name}
    return dict.fromkeys(names, False) | dict.fromkeys(containers, True)


def sent_commands(source: str, known: dict[str, bool]) -> Iterator[str]:
    """Yield what stands in a tuple or a call as the words of a command."""
    for node in ast.walk(ast.parse(source)):
        parts = node.args if isinstance(node, ast.Call) else node.elts if isinstance(node, ast.Tuple) else []
        words = [part.value if isinstance(part, ast.Constant) and isinstance(part.value, str) else "" for part in parts]
        words = [word for text in words for word in (text.split(" ") or [""])]
        for place, word in enumerate(words):
            if word.isupper() and word.lower() in known:
                has_more = known[word.lower()]
                yield f"{word}|{words[place + 1]}".lower() if has_more else word.lower()
                break


class TestRoles:
    """Each runs all that its role needs, as its user."""

    def test_monitor(self, server_url: str, admin: redis.Redis, called: set[str]) -> None:
        app = StreamTasks(server_url, **PATIENT)
        flow = group([app.task(name="t")(print).s()]).apply_async()
        app.store.enqueue([new("a")])
        called.clear()
        settings = settings_of(server_url, UserRole.MONITOR)
        store = open_store(settings)
        assert store.check() is not None
        assert [one and one.id for one in store.read(["a"])] == ["a"]
        assert store.active() == []
        store.statistics()
        store.measures()
        store.standing("a")
        store.workers()
        store.events()
        store.dead_letters()
        store.list_schedules()
        store.pauses()
        store.logs("a")
        store.queue_counts("default", 5)
        store.series(["*"], by_hour=False)
        store.audit_entries()
        store.bulks()
        store.bulk_counts("b")
        store.waiting_ids("queued")
        store.finished_ids(["SUCCESS"])
        assert store.workflow(flow.id) is not None
        store.gather(flow.id, "r0")
        store.wait_finished(["a"], 0.01)
        run(settings, finished_call(KEYS, 1, [3]))
        run(settings, limit_tokens_call(KEYS, {"mail": (1000, 1)}))
        assert called - {"tags"} == of_role(UserRole.MONITOR)
        before = dump(admin)
        with pytest.raises(AccessDenied, match="Check user, password and ACL"):
            store.enqueue([new("b")])
        with pytest.raises(AccessDenied):
            store.revoke("a")
        assert dump(admin) == before

    async def test_monitor_on_an_event_loop(self, server_url: str, admin: redis.Redis) -> None:
        open_store(StoreSettings(url=server_url)).enqueue([new("a")])
        store = open_async_store(settings_of(server_url, UserRole.MONITOR))
        watch = store.watch("a")
        assert (await anext(watch)).id == "a"
        await watch.aclose()  # type: ignore[attr-defined]

    def test_producer(self, server_url: str, admin: redis.Redis, called: set[str]) -> None:
        settings = settings_of(server_url, UserRole.PRODUCER)
        store = open_store(settings)
        assert store.check() is not None
        app = StreamTasks(settings.url, **PATIENT)
        assert store.enqueue([new("a"), new("b"), new("l", limit=Limit("x", 1_000_000, 1))]) == [True] * 3
        run(settings, touch_call(KEYS, "a"))
        store.revoke("b")
        store.revoke_many(["a", "c"])
        store.wait_finished(["a"], 60)
        assert store.delete_result("a")
        store.delete_finished(1)
        flow = group([app.task(name="t")(print).s()]).apply_async()
        store.revoke_workflow(flow.id)
        store.put_schedule(schedule(), 0)
        store.pause_schedule("tick", None)
        store.delete_schedule("tick")
        store.record_audit(AuditEntry("pause", "default", "ann", nonce="1"))
        store.pause("default", "ann", "")
        assert store.stack("a", "n", ask=True) is None
        store.watch_events()
        store.resume("default")
        store.request_worker("w", "drain")
        store.resume("", "mail")
        letter = DeadLetter("1-1", "crashed", "a", "0:default", 0, b"")
        store.discard_dead_letters([letter])
        store.put_bulk("b", BulkState.APPLYING)
        store.put_bulk_members("b", TAG, -1, ())
        store.put_bulk_members("b", TAG, 0, ["1-1,a"])
        assert store.take_bulk(1000).bulk is not None
        assert store.replay_dead_letters([(letter, new("again"))]) == [0]
        assert store.move(TAG, [Move(new("gone"), "0:default", "1-1")]) == [False]
        store.restore_dead_letters("b", TAG)
        assert store.advance_bulk("b", TAG, 0, BulkCounts(0, 1, 0, 1))
        assert called - of_role(UserRole.MONITOR) == of_role(UserRole.PRODUCER)
        store.enqueue([new("d")])
        with Consumer(store) as child, pytest.raises(AccessDenied):
            child.claim()

    def test_worker(self, server_url: str, admin: redis.Redis, called: set[str]) -> None:
        settings = settings_of(server_url, UserRole.WORKER)
        store = open_store(settings)
        assert store.check() is not None
        store.enqueue([new(f"{n}") for n in range(6)] + [new("later", due_ms=1), new("l", limit=Limit("x", 1, 1))])
        with Consumer(store) as child:
            child.channel.start_wait()  # BLPOP, with pass_wake behind it
            child.channel.finish_wait()
            claimed = child.claim()
            assert child.settle(outcome_of(claimed[0], "SUCCESS", b"{}"))
            asyncio.run(self.keep(settings, claimed[1:]))
            store.forget_queue("nothing")
            store.rewrite(claimed[1], b"{}")
            waiting = child.channel.start_wait(ClaimRequest(child.sequence + 1, 1, True))
            assert waiting >= 0
        lower = of_role(UserRole.MONITOR) | of_role(UserRole.PRODUCER)
        assert called - lower == of_role(UserRole.WORKER)

    async def keep(self, settings: StoreSettings, claimed: list[Any]) -> None:
        keeper = open_supervisor_store(settings)
        await keeper.beat(TAG, "w", {})
        await keeper.mark_running(TAG, [(claimed[0], 5)])
        await keeper.renew(TAG, [claimed[0].token])
        await keeper.progress(TAG, [(claimed[0], b"1")])
        await keeper.revocations(TAG, claimed)
        await keeper.holdings(TAG, ["w-1"])
        await keeper.charge(TAG, [(claimed[0], 1, "{}")])
        await keeper.hand_back(TAG, claimed[1:], invalidate=ClaimId("hand", 9))
        await keeper.settle(TAG, [outcome_of(claimed[1], "SUCCESS", b"{}")])
        await keeper.append_logs([NewLog("a")], "nonce")
        await keeper.add_series(NewSeries("w", 1, 0, [("*", "a1")]))
        await keeper.note_release("shop", "1")
        await keeper.answer_stack("a", "nonce", b"{}")
        await keeper.promote(TAG)
        await keeper.admit(TAG)
        await keeper.reclaim(TAG)
        await keeper.unfold(TAG)
        await keeper.expire_results(TAG, True)
        await keeper.declare_schedules(TAG, [declared("d", next_ms=1)])
        await keeper.undeclare_schedules(TAG, "shop")
        await keeper.shard_schedules(TAG)
        due = await keeper.due_schedules(TAG)
        await keeper.fire(TAG, [firing(due.due[0])])
        await keeper.sweep(TAG, 0)
        await keeper.ready(Filter(), settings.tags)
        listening = keeper.listen()
        assert await anext(listening) == ("", "subscribed")
        await listening.aclose()  # type: ignore[attr-defined]


class TestRefusals:
    @pytest.mark.parametrize("role", UserRole)
    def test_what_nobody_may(self, server_url: str, admin: redis.Redis, role: UserRole) -> None:
        admin.set("other:{u0}:x", "theirs")
        with redis.Redis.from_url(as_user(server_url, role)) as client:
            for line in REFUSED:
                try:
                    client.execute_command(*line.split(" "))
                except NoPermissionError:
                    continue
                except ResponseError as error:
                    if "DEBUG command not allowed" in str(error):  # nor is it to anybody else
                        continue
                pytest.fail(f"{role.name} may say {line}")
        assert admin.get("other:{u0}:x") == "theirs"

    @pytest.mark.parametrize(
        "body",
        [
            "redis.call('FLUSHALL')",
            "return redis.call('GET', 'other:{u0}:x')",
            "return redis.call('GET', 'streamtasks:mail:{u0}:x')",
            "redis.call('SPUBLISH', 'other:{u0}:done:1', 'a')",
            "return redis.call('CONFIG', 'GET', 'save')",
            "return redis.call('KEYS', '*')",
        ],
    )
    @pytest.mark.parametrize("role", UserRole)
    def test_nor_in_a_script(self, server_url: str, admin: redis.Redis, role: UserRole, body: str) -> None:
        admin.set("other:{u0}:x", "theirs")
        sha: Any = admin.script_load(body)
        with redis.Redis.from_url(as_user(server_url, role)) as client, pytest.raises(ResponseError, match=DENIED):
            client.evalsha(sha, 1, KEYS.state)
        assert admin.get("other:{u0}:x") == "theirs"

    def test_marks_in_a_prefix_are_no_patterns(self, server_url: str, admin: redis.Redis) -> None:
        prefix = "a*b?[c]\\:"
        create_users(server_url, prefix)
        with redis.Redis.from_url(as_user(server_url, UserRole.WORKER)) as client:
            client.get(Keys(prefix, TAG).beat)
            for other in ("axb?[c]\\:", "a*bx[c]\\:", "a*b?c\\:", "a*b?[c]:", "a*b?[c]\\:x:"):
                with pytest.raises(NoPermissionError):
                    client.get(Keys(other, TAG).beat)
