"""A MariaDB server of one's own: in a temporary folder, on a Unix socket, as a user without privileges."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from importlib import import_module
from pathlib import Path
from typing import Any, Self, cast

from tests.support.failure_logs import show_log
from tests.support.waiting import DEADLINE_S, wait_until

MARIADB_VARIABLE = "STREAMTASKS_MARIADB"
"""The folder in which Debian's packages of mariadb-server were unpacked with ``dpkg -x``; ``/``: they are installed."""


def find_mariadb() -> Path | None:
    """Return that folder, if it is named."""
    named = os.environ.get(MARIADB_VARIABLE)
    if not named:
        return None
    if not (Path(named) / "usr/sbin/mariadbd").exists():
        raise FileNotFoundError(f"{MARIADB_VARIABLE} names {named!r}, where no usr/sbin/mariadbd is")
    return Path(named)


class MariaDb:
    """A running server; a context manager. Its driver is PyMySQL, which calls itself mysqlclient for Django."""

    def __init__(self) -> None:
        root = find_mariadb()
        if root is None:
            raise FileNotFoundError(f"name the unpacked packages of mariadb-server in {MARIADB_VARIABLE}")
        self.root = root
        self.folder = Path(tempfile.mkdtemp(prefix="mariadb"))
        self._process: subprocess.Popen[bytes] | None = None
        self._driver = cast("Any", import_module("pymysql"))  # not installed for the tests of every run
        self._driver.version_info = (2, 2, 1, "final", 0)  # the oldest mysqlclient that Django accepts
        self._driver.install_as_MySQLdb()

    def __enter__(self) -> Self:
        if os.getuid() == 0:
            shutil.chown(self.folder, "nobody", "nogroup")
        log = self.folder / "server.log"
        show_log("mariadb", log, lasting=True)
        base = self.root / "usr"
        install = [
            base / "bin/mariadb-install-db", "--no-defaults", f"--basedir={base}", f"--datadir={self.folder}/data",
            "--auth-root-authentication-method=normal", "--skip-test-db",
        ]  # fmt: skip
        socket = self.folder / "socket"
        server = [
            base / "sbin/mariadbd", "--no-defaults", f"--basedir={base}", f"--datadir={self.folder}/data",
            f"--lc-messages-dir={base}/share/mysql", f"--socket={socket}", "--skip-networking",
            "--innodb-flush-log-at-trx-commit=0", "--max-connections=300",
        ]  # fmt: skip
        with log.open("ab") as output:
            self._start(install, output).wait(DEADLINE_S)
            self._process = self._start(server, output)
        wait_until(socket.exists, "the server listens")
        self.create_database("tests")
        return self

    def _start(self, command: list[Any], output: Any) -> subprocess.Popen[bytes]:
        libraries = sorted({str(path.parent) for path in (self.root / "usr/lib").rglob("*.so.*")})
        environment = {**os.environ, "LD_LIBRARY_PATH": ":".join(libraries)} if str(self.root) != "/" else None
        nobody = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"] if os.getuid() == 0 else []
        words = [*nobody, *map(str, command)]
        return subprocess.Popen(words, stdout=output, stderr=output, cwd=self.folder, env=environment)

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(DEADLINE_S)
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def database(self) -> dict[str, Any]:
        """An entry of DATABASES."""
        return {
            "ENGINE": "django.db.backends.mysql",
            "HOST": str(self.folder / "socket"),
            "USER": "root",
            "NAME": "tests",
            "OPTIONS": {"charset": "utf8mb4"},
        }

    def create_database(self, name: str) -> None:
        """Create an empty database."""
        with self._driver.connect(unix_socket=str(self.folder / "socket"), user="root") as connection:
            connection.cursor().execute(f"CREATE DATABASE {name}")
