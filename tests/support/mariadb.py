"""A MariaDB server of one's own: in a temporary folder, on a Unix socket, as a user without privileges."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from importlib import import_module
from pathlib import Path
from typing import Any, Self

import pymysql

from tests.support.failure_logs import show_log
from tests.support.waiting import DEADLINE_S, wait_until

MARIADB_VARIABLE = "STREAMTASKS_MARIADB"
"""The folder in which Debian's packages of mariadb-server were unpacked with ``dpkg -x``, if they are not installed."""

DRIVER = "tests.support.pymysql_driver"
"""What a project's settings import first."""


def find_mariadb() -> Path | None:
    """Return the folder that has ``usr/sbin/mariadbd``: the one that is named, or ``/``; None: there is no server."""
    named = os.environ.get(MARIADB_VARIABLE)
    if named and not (Path(named) / "usr/sbin/mariadbd").exists():
        raise FileNotFoundError(f"{MARIADB_VARIABLE} names {named!r}, where no usr/sbin/mariadbd is")
    root = Path(named or "/")
    return root if (root / "usr/sbin/mariadbd").exists() else None


class MariaDb:
    """A running server; a context manager. Its driver is PyMySQL.

    Args:
        settings: of the server, besides those that make it quick and forgetful.
        durable: leave those out.
    """

    def __init__(self, *settings: str, durable: bool = False) -> None:
        root = find_mariadb()
        if root is None:
            raise FileNotFoundError(f"name the unpacked packages of mariadb-server in {MARIADB_VARIABLE}")
        self.root = root
        forgetful = () if durable else ("--innodb-flush-log-at-trx-commit=0",)
        self.settings = (*forgetful, *settings)
        self.folder = Path(tempfile.mkdtemp(prefix="mariadb"))
        self._process: subprocess.Popen[bytes] | None = None
        import_module(DRIVER)

    def __enter__(self) -> Self:
        if os.getuid() == 0:
            shutil.chown(self.folder, "nobody", "nogroup")
        show_log("mariadb", self._log, lasting=True)
        base = self.root / "usr"
        install = [
            base / "bin/mariadb-install-db", "--no-defaults", f"--basedir={base}", f"--datadir={self.folder}/data",
            "--auth-root-authentication-method=normal", "--skip-test-db",
        ]  # fmt: skip
        with self._log.open("ab") as output:
            self._run(install, output).wait(DEADLINE_S)
        self.start()
        self.create_database("tests")
        return self

    @property
    def _log(self) -> Path:
        return self.folder / "server.log"

    @property
    def _socket(self) -> Path:
        return self.folder / "socket"

    def start(self) -> None:
        """Start the server and wait until it listens."""
        base = self.root / "usr"
        server = [
            base / "sbin/mariadbd", "--no-defaults", f"--basedir={base}", f"--datadir={self.folder}/data",
            f"--lc-messages-dir={base}/share/mysql", f"--socket={self._socket}", "--skip-networking",
            "--max-connections=300", *self.settings,
        ]  # fmt: skip
        self._socket.unlink(missing_ok=True)
        with self._log.open("ab") as output:
            self._process = self._run(server, output)
        wait_until(self._socket.exists, "the server listens")

    def stop(self) -> None:
        """Kill the server."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(DEADLINE_S)
            self._process = None

    def _run(self, command: list[Any], output: Any) -> subprocess.Popen[bytes]:
        environment = dict(os.environ)
        if self.root != Path("/"):
            libraries = sorted({str(path.parent) for path in (self.root / "usr/lib").rglob("*.so.*")})
            environment["LD_LIBRARY_PATH"] = ":".join(libraries)
        nobody = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"] if os.getuid() == 0 else []
        words = [*nobody, *map(str, command)]
        return subprocess.Popen(words, stdout=output, stderr=output, cwd=self.folder, env=environment)

    def __exit__(self, *_: object) -> None:
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def database(self) -> dict[str, Any]:
        """An entry of DATABASES."""
        return {
            "ENGINE": "django.db.backends.mysql",
            "HOST": str(self._socket),
            "USER": "root",
            "NAME": "tests",
            "OPTIONS": {"charset": "utf8mb4"},
        }

    def create_database(self, name: str) -> None:
        """Create an empty database."""
        with pymysql.connect(unix_socket=str(self._socket), user="root") as connection:
            connection.cursor().execute(f"CREATE DATABASE {name}")
