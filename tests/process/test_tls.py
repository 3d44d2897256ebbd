"""A worker that does not trust its server, or is not trusted by it, says what is wrong; see tests/core/test_tls.py."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from tests.core.test_tls import WRONG
from tests.support.certificates import Authority, TLSProxy

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.fleet import Fleet

pytestmark = pytest.mark.slow

KINDS: dict[str, tuple[Any, str]] = WRONG


def test_it_refuses_to_start_or_keeps_trying(
    embedded_url: str, tmp_path: Path, open_fleet: Callable[[str], Fleet]
) -> None:
    authority, port = Authority(tmp_path), urlsplit(embedded_url).port or 0
    trusted = f"?ssl_ca_certs={authority.path}"
    with ExitStack() as stack:

        def tls_port(**options: Any) -> int:
            return stack.enter_context(TLSProxy(port, authority.context(**options))).port

        good = tls_port()
        cases = [
            (good, "", "Name the file of the authority that issued the server's certificate: ssl_ca_certs"),
            (good, "?ssl_ca_certs=/nowhere", "/nowhere"),
            (tls_port(asks=authority), trusted, "does not accept our certificate: check ssl_certfile and ssl_keyfile"),
            *((tls_port(**given), trusted, remedy) for given, remedy in KINDS.values()),
        ]
        refused = [open_fleet(f"rediss://127.0.0.1:{at}/0{query}").worker() for at, query, _ in cases]
        waiting = open_fleet(f"redis://127.0.0.1:{good}/0").worker()
        for worker in (*refused, waiting):  # beside each other: most of their time they import
            worker.spawn()
        for worker, (at, _, remedy) in zip(refused, cases, strict=True):
            assert worker.wait() == 2, worker.log
            assert f"127.0.0.1:{at}: " in worker.log
            assert remedy in worker.log
            assert "Traceback" not in worker.log
        waiting.wait_log(f"127.0.0.1:{good} cannot be reached")
        waiting.wait_log("is it a TLS port? Then the URL must begin with rediss")
        assert waiting.process.poll() is None
        waiting.end()
