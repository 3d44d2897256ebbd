"""Certificates for tests of TLS, and a proxy that speaks TLS for a server that does not."""

from __future__ import annotations

import select
import socket
import ssl
import threading
from contextlib import ExitStack, suppress
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


class Authority:
    """Issues certificates; ``path`` is the file with its own."""

    def __init__(self, directory: Path, name: str = "tests") -> None:
        self._directory = directory
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self._key = ec.generate_private_key(ec.SECP256R1())
        self.path = directory / f"{name}.pem"
        own = self._builder(self._name, self._key.public_key(), days=(-1, 10))
        own = own.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        own = own.add_extension(_SIGNS_CERTIFICATES, critical=True)
        own = own.add_extension(x509.SubjectKeyIdentifier.from_public_key(self._key.public_key()), critical=False)
        self.path.write_bytes(own.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))

    def context(
        self, *, days: tuple[int, int] = (-1, 10), host: str = "127.0.0.1", asks: Authority | None = None
    ) -> ssl.SSLContext:
        """Return the TLS context of a server with a certificate for this host, valid between these days from now.

        ``asks``: it wants a certificate of the client from this authority.
        """
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(self.issue(days=days, host=host))
        if asks is not None:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(asks.path)
        return context

    def issue(self, *, days: tuple[int, int] = (-1, 10), host: str = "127.0.0.1", password: str = "") -> Path:
        """Return a file with a key and a certificate for a host, valid between these days from now."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "server")])
        name = x509.SubjectAlternativeName([x509.IPAddress(ip_address(host))])
        made = self._builder(subject, key.public_key(), days).add_extension(name, critical=False)
        path = self._directory / f"{self.path.stem}-{host}-{days[1]}{password}.pem"
        hidden: serialization.KeySerializationEncryption = serialization.NoEncryption()
        if password:
            hidden = serialization.BestAvailableEncryption(password.encode())
        path.write_bytes(
            key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, hidden)
            + made.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
        )
        return path

    def _builder(
        self, subject: x509.Name, key: ec.EllipticCurvePublicKey, days: tuple[int, int]
    ) -> x509.CertificateBuilder:
        now = datetime.now(UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + timedelta(days=days[0]))
            .not_valid_after(now + timedelta(days=days[1]))
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
        )


_SIGNS_CERTIFICATES = x509.KeyUsage(
    digital_signature=False,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=True,
    crl_sign=True,
    encipher_only=False,
    decipher_only=False,
)


def _wait_for_end(client: ssl.SSLSocket) -> None:
    """Wait until the other end has closed: else what was refused to it might get lost."""
    with socket.socket(fileno=client.detach()) as plain:
        plain.shutdown(socket.SHUT_WR)
        while plain.recv(65_536):
            pass


class TLSProxy:
    """Speaks TLS with clients and none with a server; a context manager."""

    def __init__(self, port: int, context: ssl.SSLContext) -> None:
        self._server, self._context = port, context
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._stopping = False
        self._threads = [threading.Thread(target=self._accept, daemon=True)]

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping = True
        for thread in self._threads:
            thread.join(60)
        self._listener.close()

    @property
    def port(self) -> int:
        return int(self._listener.getsockname()[1])

    def _accept(self) -> None:
        while not self._stopping:
            if select.select([self._listener], [], [], 0.02)[0]:
                thread = threading.Thread(target=self._serve, args=(self._listener.accept()[0],), daemon=True)
                self._threads.append(thread)
                thread.start()

    def _serve(self, plain: socket.socket) -> None:
        plain.settimeout(60)
        with ExitStack() as stack, suppress(OSError):
            stack.enter_context(plain)
            client = self._context.wrap_socket(plain, server_side=True, do_handshake_on_connect=False)
            stack.enter_context(client)
            try:
                client.do_handshake()
            except ssl.SSLError:
                _wait_for_end(client)
                return
            server = stack.enter_context(socket.create_connection(("127.0.0.1", self._server)))
            while not self._stopping:
                ready = [client] if client.pending() else select.select([client, server], [], [], 0.02)[0]
                for source in ready:
                    data = source.recv(65_536)
                    if not data:
                        return
                    (server if source is client else client).sendall(data)
