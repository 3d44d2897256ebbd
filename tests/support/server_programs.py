"""The programs that a container of a server has, on this machine: in a folder for the search path."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from pathlib import Path

from streamtasks_workers.testing.embedded import find_binary
from tests.support import redis_cli
from tests.support.servers import find_redis


def find_redis_cli() -> list[str] | None:
    """Return how to call a redis-cli: from the path, or beside the redis-server of the tests; None: there is none."""
    if found := shutil.which("redis-cli"):
        return [found]
    server = find_redis()
    beside = sorted(Path(server).resolve().parent.glob("redis/usr/bin/redis-cli")) if server else []
    if not beside:
        return None
    # It was only unpacked, with the libraries that it needs.
    libraries = {str(path.parent) for path in beside[0].parents[1].rglob("*.so.*")}
    return ["env", f"LD_LIBRARY_PATH={os.pathsep.join(sorted(libraries))}", str(beside[0])]


def write_programs(folder: Path) -> Path:
    """Write redis-server, redis-cli and their Valkey twins into a folder; servers listen on the loopback only."""
    folder.mkdir()
    valkey = find_binary()
    cli = find_redis_cli() or [sys.executable, str(Path(redis_cli.__file__))]
    for name, command in {
        "valkey-server": [valkey],
        "valkey-cli": cli,
        "redis-server": [find_redis() or valkey],
        "redis-cli": cli,
    }.items():
        more = " --bind 127.0.0.1" if name.endswith("-server") else ""
        path = folder / name
        path.write_text(f'#!/bin/sh\nexec {shlex.join(command)} "$@"{more}\n')
        path.chmod(0o755)
    return folder
