"""A Sentinel that says what a test wants: out of date, cut off, with a password, without a word."""

from __future__ import annotations

import socket
import threading
from contextlib import closing, suppress
from typing import Self

import hiredis


class FakeSentinel:
    """Answers as a Sentinel does; a context manager.

    Attributes:
        service: the only one that it knows.
        master: the port that it names as that of the master, on the loopback interface.
        epoch: of its configuration.
        password: what it asks for; empty: nothing.
        is_silent: whether it accepts connections and never answers.
        may_tell_epoch: whether clients may ask for more than the address.
        asked: how often it was asked for the master.
    """

    def __init__(self, master: int, *, epoch: int = 1, service: str = "main", password: str = "") -> None:
        self.service, self.master, self.epoch, self.password = service, master, epoch, password
        self.is_silent = False
        self.may_tell_epoch = True
        self.asked = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._clients: set[socket.socket] = set()
        self._listening: set[socket.socket] = set()
        self._accepting = threading.Thread(target=self._accept, daemon=True)

    def __enter__(self) -> Self:
        self._accepting.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for client in list(self._clients):
            with suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)

    @property
    def port(self) -> int:
        return int(self._listener.getsockname()[1])

    @property
    def listeners(self) -> int:
        """How many clients are subscribed."""
        return len(self._listening)

    def announce(self, port: int) -> None:
        """Say to those who listen that another server has become the master, and name it from now on."""
        old, self.master = self.master, port
        self.epoch += 1
        text = f"{self.service} 127.0.0.1 {old} 127.0.0.1 {port}"
        for client in list(self._listening):
            client.sendall(_array("message", "+switch-master", text))

    def _accept(self) -> None:
        while True:
            try:
                client = self._listener.accept()[0]
            except OSError:
                return
            self._clients.add(client)
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        reader, is_in = hiredis.Reader(), not self.password
        with closing(client), suppress(OSError):
            while data := client.recv(65_536):
                reader.feed(data)
                while (command := reader.gets()) is not False:
                    words = [word.decode() for word in command]
                    if self.is_silent:
                        continue
                    if words[0] == "AUTH":
                        is_in = words[-1] == self.password
                        client.sendall(b"+OK\r\n" if is_in else b"-WRONGPASS invalid username-password pair\r\n")
                    elif not is_in:
                        client.sendall(b"-NOAUTH Authentication required.\r\n")
                    else:
                        client.sendall(self._answer(client, words))
        self._clients.discard(client)
        self._listening.discard(client)

    def _answer(self, client: socket.socket, words: list[str]) -> bytes:
        match [word.upper() for word in words[:2]]:
            case ["SENTINEL", "GET-MASTER-ADDR-BY-NAME"]:
                self.asked += 1
                return _array("127.0.0.1", str(self.master)) if words[2] == self.service else b"*-1\r\n"
            case ["SENTINEL", "MASTER"] if not self.may_tell_epoch:
                return b"-NOPERM this user has no permissions to run the 'sentinel|master' command\r\n"
            case ["SENTINEL", "MASTER"] if words[2] == self.service:
                return _array("name", self.service, "config-epoch", str(self.epoch))
            case ["SENTINEL", "MASTER"]:
                return b"-ERR No such master with that name\r\n"
            case ["SENTINEL", "MASTERS"]:
                return b"*1\r\n" + _array("name", self.service)
            case ["SUBSCRIBE", _]:
                self._listening.add(client)
                return b"*3\r\n$9\r\nsubscribe\r\n$14\r\n+switch-master\r\n:1\r\n"
            case _:
                return b"-ERR unknown subcommand\r\n"


def _array(*words: str) -> bytes:
    return f"*{len(words)}\r\n".encode() + b"".join(f"${len(word)}\r\n{word}\r\n".encode() for word in words)
