"""Run the services of docker-compose.yml without containers: the same command lines, each as a process of this machine.

What a container has of its own is put in: addresses of services become ports of the loopback, folders those of a
temporary directory, the programs of images those that the tests have. Nothing else is changed.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Final, Self

import yaml

from tests.support.child_path import python_path
from tests.support.failure_logs import show_log
from tests.support.server_programs import write_programs
from tests.support.waiting import DEADLINE_S, wait_until

ROOT: Final = Path(__file__).parent.parent.parent
FILE: Final = ROOT / "docker-compose.yml"
_LISTENS: Final = re.compile(r"(?:\bport |-port[ =]|--bind 0\.0\.0\.0:)(\d+)")
_PORTS: Final = range(12_000, 14_800)
_SHARE: Final = 100
"""Ports of one process of the tests, which no other test uses: all are chosen before the first server has one."""


def load() -> dict[str, Any]:
    """Return the file, with `$$` as containers see it."""
    return dict(yaml.safe_load(FILE.read_text("utf-8").replace("$$", "$")))


def duration_s(text: str) -> float:
    """Return a duration such as ``40s`` or ``1m30s``, s."""
    units = {"h": 3600, "m": 60, "s": 1}
    return sum(float(number) * units[unit] for number, unit in re.findall(r"([\d.]+)([hms])", text))


def _free_ports() -> list[int]:
    number = int(re.sub(r"\D", "", os.environ.get("PYTEST_XDIST_WORKER", "0")) or 0) % (len(_PORTS) // _SHARE)
    free = []
    for port in _PORTS[number * _SHARE : (number + 1) * _SHARE]:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if probe.connect_ex(("127.0.0.1", port)):
                free.append(port)
    return free


class Compose:
    """The services that a test starts; a context manager.

    Args:
        directory: for their files.
    """

    def __init__(self, directory: Path) -> None:
        self.services: dict[str, Any] = load()["services"]
        self.directory = directory
        self.started: dict[str, subprocess.Popen[bytes]] = {}
        free = iter(_free_ports())
        self._ports = {
            (name, int(port)): next(free)
            for name, service in self.services.items()
            for port in dict.fromkeys(_LISTENS.findall(" ".join(service["command"])))
        }
        # Longer names first: some begin with another one.
        self._by_address = {name: name for name in sorted(self.services, key=len, reverse=True)} | {
            network["ipv4_address"]: name
            for name, service in self.services.items()
            for network in service.get("networks", {}).values()
            if network
        }
        self._programs = write_programs(directory / "bin")
        self.secrets = directory / "secrets"
        self.secrets.mkdir()
        (self.secrets / "redis_password").write_text("a-word-that-is-a-secret\n")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for process in self.started.values():
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait(DEADLINE_S)

    def here(self, name: str, text: str) -> str:
        """Return a text of a service with what its container would have, as it is on this machine."""

        def put(match: re.Match[str]) -> str:
            service = self._by_address[match[1]]
            ports = (str(self._ports[service, int(port)]) for port in match.group(3, 4) if port)
            return f"127.0.0.1{match[2]}{'@'.join(ports)}"

        text = re.sub(rf"(?<![\w.-])({'|'.join(self._by_address)})(:| | -p )(\d+)(?:@(\d+))?\b", put, text)
        for (service, port), ours in self._ports.items():
            if service == name:
                own = rf"(port[ =]|-p |\b127\.0\.0\.1:|\b0\.0\.0\.0:){port}\b"
                text = re.sub(own, rf"\g<1>{ours}", text).replace("0.0.0.0", "127.0.0.1")
        if text in self.services:
            text = "127.0.0.1"
        data = self.directory / name
        return re.sub(r"(?<![\w/])/data\b", str(data), text).replace("/run/secrets", str(self.secrets))

    def environment(self, name: str) -> dict[str, str]:
        """Return the environment of a service's process."""
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("STREAMTASKS_", "DJANGO_"))}
        kept["PYTHONPATH"] = python_path(sys.path)
        kept["PATH"] = os.pathsep.join((str(self._programs), str(Path(sys.executable).parent), kept["PATH"]))
        given = self.services[name].get("environment", {})
        return kept | {key: self.here(name, value) for key, value in given.items()}

    def port(self, name: str) -> int:
        """The port on which a service listens here."""
        return next(ours for (service, _), ours in self._ports.items() if service == name)

    def up(self, *names: str) -> None:
        """Start services after those that they depend on, each when it is healthy."""
        new = [name for name in names if name not in self.started]
        if not new:
            return
        for name in new:
            self.up(*self.services[name].get("depends_on", ()))
        new = [name for name in new if name not in self.started]
        for name in new:
            self._start(name)
        for name in new:
            wait_until(lambda name=name: self.is_healthy(name), f"{name} is healthy")  # type: ignore[misc]

    def _start(self, name: str) -> None:
        folder = self.directory / name
        folder.mkdir()
        log = folder / "log"
        show_log(name, log)
        with log.open("wb") as stream:
            self.started[name] = subprocess.Popen(
                [self.here(name, word) for word in self.services[name]["command"]],
                cwd=folder,
                env=self.environment(name),
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=stream,
                start_new_session=True,
            )

    def log(self, name: str) -> str:
        """The log of a service so far."""
        return (self.directory / name / "log").read_text("utf-8", "replace")

    def is_healthy(self, name: str) -> bool:
        """Run the health check of a service once; fail if the service has ended."""
        assert self.started[name].poll() is None, f"{name} ended with {self.started[name].returncode}: {self.log(name)}"
        kind, *words = [self.here(name, word) for word in self.services[name]["healthcheck"]["test"]]
        done = subprocess.run(
            ["sh", "-c", *words] if kind == "CMD-SHELL" else words,
            cwd=self.directory / name,
            env=self.environment(name),
            capture_output=True,
            timeout=DEADLINE_S,
            check=False,
        )
        return done.returncode == 0

    def stop(self, name: str) -> tuple[int, float]:
        """Stop a service as Docker does; return its exit status and how long it took, s."""
        process, began = self.started[name], time.monotonic()
        process.send_signal(signal.SIGTERM)
        return process.wait(DEADLINE_S), time.monotonic() - began
