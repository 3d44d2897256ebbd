"""Servers for every test. Each is started once per test process and emptied before each test that uses it."""

from __future__ import annotations

import gc
import os
import random
import sys
import warnings
from typing import TYPE_CHECKING

import pytest

from streamtasks.stores.redis.access import UserRole
from tests.support import failure_logs, tiers
from tests.support.bounds import Bound
from tests.support.bytecode import compile_share
from tests.support.full_rights import leave_out
from tests.support.machine_noise import NoiseProbe
from tests.support.servers import Cluster, flush, server_kinds, start_server
from tests.support.sql_stores import SqlStores, is_left_out, sql_kinds, sql_stores
from tests.support.users import connect_as

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator
    from pathlib import Path

    from streamtasks_workers.testing.embedded import EmbeddedServer

TIMING = tiers.TIMING
TIERS = (*tiers.NAMED, TIMING)
OTHER_TIERS = (tiers.FAST, *tiers.NAMED)
SEED_VARIABLE = "STREAMTASKS_TEST_SEED"
FIGURE = "figure"
"""The user property in which a test reports what it measured."""


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int | None:
    """Run in more processes than there are processors, for most tests wait; one file or named tests run in this one.

    The plugin itself returns to this process for ``--pdb``.
    """
    if os.environ.get("PYTEST_XDIST_AUTO_NUM_WORKERS"):
        return None
    if _is_timing(config):
        return 0
    is_small = len(config.args) == 1 and config.args[0].endswith(".py")
    if is_small or all("::" in argument for argument in config.args):
        return 0
    # Tests of the slow tier wait longest.
    waiting = 8 if "slow" in str(config.option.markexpr) else 4
    return (os.cpu_count() or 1) + waiting


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let all of the package connect as a user with the least privilege."""
    parser.addoption(
        "--acl", choices=[role.name.lower() for role in UserRole], help="the user: see tests.support.users"
    )


def pytest_configure(config: pytest.Config) -> None:
    """Keep compiled modules, also where the environment says not to: in a folder of the tests' own then.

    Tests start hundreds of Python processes; each would compile all that it imports, which takes three times as
    long as the import itself.
    """
    if role := config.getoption("--acl"):
        connect_as(UserRole[str(role).upper()])
    if sys.dont_write_bytecode:
        folder = str(config.rootpath / ".pytest_cache" / "bytecode")
        sys.dont_write_bytecode, sys.pycache_prefix = False, folder
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
        os.environ["PYTHONPYCACHEPREFIX"] = folder
    if given := getattr(config, "workerinput", None):
        compile_share(config, int(given["workerid"].removeprefix("gw")), given["workercount"])


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what the user of this run cannot pass by nature, and what SQL stores are not tested with."""
    if role := config.getoption("--acl"):
        leave_out(config, items, UserRole[str(role).upper()])
    left_out = [item for item in items if is_left_out(item)]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if not is_left_out(item)]


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave out a file that names no mark by which a test of it could be selected: imports take most of a collection.

    Each process of a run collects all tests, also for a tier of a few.
    """
    if not collection_path.name.startswith("test_") or collection_path.suffix != ".py":
        return None
    return None if tiers.may_select(str(config.option.markexpr), collection_path) else True


def _is_timing(config: pytest.Config) -> bool:
    """Whether this is the run of the timing tier, which has the machine to itself."""
    return str(config.option.markexpr).startswith(TIMING)


def pytest_itemcollected(item: pytest.Item) -> None:
    """Mark a test ``fast`` if it is in no other tier, and also ``timing`` if it has a bound on time."""
    if not any(item.get_closest_marker(tier) for tier in TIERS):
        item.add_marker(pytest.mark.fast)
    if "bound" in getattr(item, "fixturenames", ()):
        item.add_marker(TIMING)
    tiers.check_named(item.path, (mark.name for mark in item.iter_markers()))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the figures that tests have measured, in whichever process they ran."""
    reports = [report for outcome in ("passed", "failed") for report in terminalreporter.getreports(outcome)]
    lines = [
        f"{report.nodeid.rpartition('::')[2]}: {text}"
        for report in reports
        if report.when == "call"
        for name, text in report.user_properties
        if name == FIGURE
    ]
    if lines:
        terminalreporter.section("figures")
        for line in sorted(lines):
            terminalreporter.write_line(line)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
    call: pytest.CallInfo[None],
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show the logs of servers and workers where a test failed."""
    report = yield
    if report.failed:
        report.sections += failure_logs.sections()
    if call.when == "teardown":
        failure_logs.forget()
    return report


@pytest.fixture
def seed() -> int:
    """The seed of a random test, shown where it fails; the environment may give it."""
    seed = int(os.environ.get(SEED_VARIABLE, "0")) or random.randrange(1, 1_000_000)
    print(f"{SEED_VARIABLE}={seed}")
    return seed


@pytest.fixture
def figure(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Keep a line for the table of figures at the end of the run."""

    def keep(text: str) -> None:
        request.node.user_properties.append((FIGURE, text))

    return keep


@pytest.fixture
def bound(request: pytest.FixtureRequest) -> Iterator[Bound]:
    """How many seconds something may take: as promised in the timing tier, else as long as a wait may last.

    A test with this fixture belongs to its own tier, where it must pass on a busy machine, and to the timing tier.
    There a probe measures what the machine itself takes away, and bounds are wider by that.
    """
    properties: list[tuple[str, object]] = request.node.user_properties
    told: list[tuple[str, object]] = []

    def tell(text: str) -> None:
        for line in told:
            properties.remove(line)
        told[:] = [(FIGURE, text)]
        properties.extend(told)

    if _is_timing(request.config) or not any(request.node.get_closest_marker(tier) for tier in OTHER_TIERS):
        with NoiseProbe() as probe:
            yield Bound(probe, tell)
    else:
        yield Bound(None, tell)


@pytest.fixture(scope="session")
def _server_of_kind() -> Iterator[Callable[[str], EmbeddedServer]]:
    started: dict[str, EmbeddedServer] = {}

    def get(kind: str) -> EmbeddedServer:
        if kind not in started:
            started[kind] = start_server(kind)
        return started[kind]

    yield get
    for server in started.values():
        server.stop()


@pytest.fixture(params=server_kinds())
def server_url(request: pytest.FixtureRequest, _server_of_kind: Callable[[str], EmbeddedServer]) -> str:
    """An empty server: the test runs on the embedded Valkey and, where there is one, on a Redis too."""
    url = _server_of_kind(request.param).url
    flush(url)
    return url


@pytest.fixture(scope="session", name="sql_stores")
def _sql_stores() -> Iterator[SqlStores]:
    yield from sql_stores()


@pytest.fixture(params=[*server_kinds(), "memory", *sql_kinds()])
def store_url(
    request: pytest.FixtureRequest, _server_of_kind: Callable[[str], EmbeddedServer], sql_stores: SqlStores
) -> str:
    """An empty store: as `server_url`, in memory, and in SQL. For tests that look at no key."""
    if request.param in sql_kinds():
        return sql_stores.url(request.param)
    url = "memory://tests" if request.param == "memory" else _server_of_kind(request.param).url
    flush(url)
    return url


@pytest.fixture
def embedded_url(_server_of_kind: Callable[[str], EmbeddedServer]) -> str:
    """An empty server: the embedded Valkey only."""
    url = _server_of_kind("valkey").url
    flush(url)
    return url


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """A Cluster of three masters; what earlier tests left is still in it."""
    with Cluster() as started:
        yield started


@pytest.fixture
def cluster_url(cluster: Cluster) -> Iterator[str]:
    """The same Cluster, emptied."""
    cluster.flush()
    yield cluster.url
    # redis-py finds the nodes with clients that it leaves to the garbage collector, connected: collect them here.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()
