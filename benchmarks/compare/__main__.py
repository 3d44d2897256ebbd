"""Compare streamtasks with other task systems and with a hand-written loop, on one server in one run.

    uv run python benchmarks/compare --environments FOLDER [--server redis-server] [--only celery,floor] [--quick]

Each system runs in an environment of its own, which uv makes once in the folder, from the ranges in ``catalog.py``.
A full run takes about ten minutes, ``--quick`` one round of less work; the machine must do nothing else meanwhile.
Everything that was found goes to a JSON file, the tables to a Markdown file and the standard output, the pictures to
two SVG files. A system that fails is left out of the tables, and the exit status is then 1.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import redis

# As a folder that is run: neither its modules nor those beside it may hide those of others.
sys.path[:] = [path for path in sys.path if Path(path) != Path(__file__).parent]
sys.path.insert(0, str(Path(__file__).parent.parent))

from compare import environments, noise, report
from compare.catalog import SYSTEMS
from compare.plot import plot
from compare.session import FULL, QUICK, Failed, Session
from compare.summary import FLOOR, summarize


def compare(given: argparse.Namespace) -> dict[str, Any]:
    """Run the rounds, each in another order, and return everything that was found."""
    from streamtasks_workers.testing.embedded import EmbeddedServer

    begun = time.monotonic()
    run: dict[str, Any] = {"made": datetime.now(UTC).isoformat(timespec="seconds"), "quick": given.quick}
    run |= {"python": platform.python_version(), "cores": os.cpu_count(), "failures": {}, "versions": {}, "rounds": []}
    pythons: dict[str, str] = {}
    for name in given.only:
        try:
            pythons[name] = environments.prepare(SYSTEMS[name], given.environments)
            run["versions"][name] = environments.versions(pythons[name], SYSTEMS[name])
        except Exception as error:  # noqa: BLE001 - the others go on
            _failed(run, name, error)
    if given.prepare:
        return run
    run["noise"] = {"before": noise.measure()}
    with EmbeddedServer(binary=given.server) as server:
        run["server"] = _version(server.url)
        for number in range(given.rounds):
            names = [name for name in pythons if name not in run["failures"]]
            order = names if number % 2 == 0 else names[::-1]
            found: dict[str, Any] = {"order": order, "systems": {}, "noise": noise.measure(5)}
            run["rounds"].append(found)
            for name in order:
                since = time.monotonic()
                amount = QUICK if given.quick else FULL
                try:
                    session = Session(SYSTEMS[name], pythons[name], server.url, amount, given.tasks)
                    found["systems"][name] = session.measure(first=number == 0)
                except Exception as error:  # noqa: BLE001 - the others go on
                    _failed(run, name, error)
                print(f"round {number + 1}: {name}, {time.monotonic() - since:.1f} s", file=sys.stderr, flush=True)
    run["noise"]["after"] = noise.measure()
    run["took_s"] = time.monotonic() - begun
    run["summary"] = summarize(run["rounds"])
    return run


def _failed(run: dict[str, Any], name: str, error: Exception) -> None:
    run["failures"][name] = str(error) if isinstance(error, Failed) else f"{type(error).__name__}: {error}"
    print(f"{name} failed: {run['failures'][name]}", file=sys.stderr, flush=True)


def _version(url: str) -> str:
    with redis.Redis.from_url(url, decode_responses=True) as client:
        info: Any = client.info("server")
    name = "Valkey" if "valkey_version" in info else "Redis"
    return f"{name} {info.get('valkey_version') or info['redis_version']}"


def _names(text: str) -> list[str]:
    names = list(SYSTEMS) if text == "all" else text.split(",")
    if unknown := sorted(set(names) - set(SYSTEMS)):
        raise argparse.ArgumentTypeError(f"{', '.join(unknown)}: unknown; there are {', '.join(SYSTEMS)}")
    return sorted(set(names), key=lambda name: (name != FLOOR, list(SYSTEMS).index(name)))


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--environments", type=Path, help="the folder of the environments; not needed for our own")
    parser.add_argument("--server", help="a redis-server or valkey-server binary; default: the embedded one")
    parser.add_argument("--only", type=_names, default=list(SYSTEMS), help=f"some of: {', '.join(SYSTEMS)}")
    parser.add_argument("--rounds", type=int, help="default: 3, with --quick 1")
    parser.add_argument("--quick", action="store_true", help="less work, to see that everything runs")
    parser.add_argument("--tasks", type=int, help="exactly so many tasks in each drain and enqueueing")
    parser.add_argument("--out", type=Path, default=Path("build/compare"), help="where the files go: %(default)s")
    parser.add_argument("--prepare", action="store_true", help="only make the environments")
    parser.add_argument("--write-docs", action="store_true", help="write tables and pictures into docs/performance.md")
    parser.add_argument("--from", dest="source", type=Path, help="measure nothing: take this JSON file of a run")
    given = parser.parse_args()
    given.rounds = given.rounds or (1 if given.quick else 3)
    if not given.source and given.environments is None and any(SYSTEMS[name].requires for name in given.only):
        parser.error("--environments is missing: name a folder in which environments may be made, and stay")
    return given


def main() -> int:
    """Measure, write, print."""
    given = arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that workers and server are stopped
    run = json.loads(given.source.read_text("utf-8")) if given.source else compare(given)
    if not given.prepare:
        if not given.source:
            given.out.mkdir(parents=True, exist_ok=True)
            (given.out / "compare.json").write_text(json.dumps(run, indent=1) + "\n", "utf-8")
            (given.out / "compare.md").write_text(report.tables(run), "utf-8")
            for theme in report.THEMES:
                (given.out / f"compare-{theme}.svg").write_text(plot(run["summary"], theme), "utf-8")
        print(report.tables(run))
        if given.write_docs:
            report.write_docs(run)
    return int(bool(run["failures"]))


if __name__ == "__main__":
    sys.exit(main())
