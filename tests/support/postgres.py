"""A PostgreSQL cluster of one's own: in a temporary folder, on a Unix socket, as a user without privileges."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any, Self

from tests.support.failure_logs import show_log
from tests.support.waiting import DEADLINE_S

POSTGRES_VARIABLE = "STREAMTASKS_POSTGRES_BIN"
LIBRARIES_VARIABLE = "STREAMTASKS_POSTGRES_LIBRARIES"
"""Folders of the libraries of programs that are not installed, only unpacked."""

FAST = ("fsync=off", "synchronous_commit=off", "full_page_writes=off")


def find_postgres() -> Path | None:
    """Return the folder of initdb and postgres: named by the environment, Debian's newest, or on the path."""
    named = os.environ.get(POSTGRES_VARIABLE)
    if named:
        if not (Path(named) / "initdb").exists():
            raise FileNotFoundError(f"{POSTGRES_VARIABLE} names {named!r}, where no initdb is")
        return Path(named)
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    if debian:
        return debian[-1].parent
    found = shutil.which("initdb")
    return Path(found).parent if found else None


def _environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    libraries = os.environ.get(LIBRARIES_VARIABLE)
    return {**kept, "LD_LIBRARY_PATH": libraries} if libraries else kept


class Postgres:
    """A running cluster; a context manager.

    Args:
        settings: of the server, besides those that make it quick and forgetful.
        durable: leave those out.
    """

    def __init__(self, *settings: str, durable: bool = False) -> None:
        programs = find_postgres()
        if programs is None:
            raise FileNotFoundError(f"PostgreSQL is not installed; name its programs in {POSTGRES_VARIABLE}")
        self.programs = programs
        self.folder = Path(tempfile.mkdtemp(prefix="pg"))
        self.settings = (*(() if durable else FAST), *settings)
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        if os.getuid() == 0:
            shutil.chown(self.folder, "nobody", "nogroup")
        self._run(
            "initdb", "-D", str(self.folder / "data"), "-U", "tests", "-A", "trust", "-E", "UTF8", "--locale=C", "-N"
        )
        self.start()
        self.create_database("tests")
        return self

    def start(self) -> None:
        """Start the server and wait until it answers."""
        options = ["listen_addresses=", f"unix_socket_directories={self.folder}", "max_connections=200", *self.settings]
        words = [word for option in options for word in ("-c", option)]
        log = self.folder / "server.log"
        show_log("postgres", log, lasting=True)
        with log.open("ab") as output:
            command = [*self._as_nobody(), str(self.programs / "postgres"), "-D", str(self.folder / "data"), *words]
            self._process = subprocess.Popen(command, stdout=output, stderr=output, cwd=self.folder, env=_environment())
        self._run("pg_isready", "-h", str(self.folder), "-U", "tests", "-q", "-d", "postgres", tries=600)

    def stop(self, *, kill: bool = False) -> None:
        """Stop the server, or kill it."""
        if self._process is not None:
            # SIGQUIT: the postmaster ends at once with its children, whoever is connected.
            self._process.send_signal(signal.SIGKILL if kill else signal.SIGQUIT)
            self._process.wait(DEADLINE_S)
            self._process = None

    def __exit__(self, *_: object) -> None:
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def database(self) -> dict[str, Any]:
        """An entry of DATABASES."""
        return {
            "ENGINE": "django.db.backends.postgresql",
            "HOST": str(self.folder),
            "USER": "tests",
            "NAME": "tests",
            "OPTIONS": {},
        }

    def create_database(self, name: str) -> None:
        """Create an empty database."""
        self._sql(f"CREATE DATABASE {name}", "postgres")

    def _sql(self, sql: str, database: str = "tests") -> None:
        self._run("psql", "-h", str(self.folder), "-U", "tests", "-q", "-d", database, "-c", sql)

    def _as_nobody(self) -> list[str]:
        return ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"] if os.getuid() == 0 else []

    def _run(self, program: str, *words: str, tries: int = 1) -> None:
        while True:
            done = subprocess.run(
                [*self._as_nobody(), str(self.programs / program), *words],
                cwd=self.folder, env=_environment(), capture_output=True, text=True, timeout=DEADLINE_S, check=False,
            )  # fmt: skip
            if done.returncode == 0:
                return
            tries -= 1
            if tries <= 0:
                raise RuntimeError(f"{program} failed: {done.stderr}")
            time.sleep(0.05)
