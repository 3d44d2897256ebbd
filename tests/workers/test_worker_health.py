"""What probes are told: a worker is not restarted because its server is away."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from http.client import HTTPConnection
from types import SimpleNamespace
from typing import Any

from streamtasks import StoreSettings
from streamtasks_workers.monitor.health import WorkerHealth
from streamtasks_workers.monitor.listener import listen
from streamtasks_workers.monitor.server import MOST_ASKING, few_at_once, start_server
from streamtasks_workers.process.board import Board
from tests.support.boards import message, new_board, place
from tests.support.waiting import DEADLINE_S, wait_until


def app(*, answered_s: float, child_silent_s: float, beat_s: float, board: Board | None = None) -> Any:
    """Return an app of one child: all of its times are ages."""
    now = time.monotonic()
    board = board or new_board()
    child: Any = SimpleNamespace(board=board, born_ns=round((now - child_silent_s) * 1e9))
    return SimpleNamespace(
        label="shop",
        settings=StoreSettings(),
        table=None,
        store=SimpleNamespace(answered_at=lambda _: now - answered_s),
        children={0: child},
        beats={"u0": now - beat_s},
    )


def health(one: Any, *, stopping: bool = False) -> WorkerHealth:
    return WorkerHealth([one], lambda: stopping)


def test_well() -> None:
    one = health(app(answered_s=0.1, child_silent_s=1, beat_s=3))
    assert one.live()[0] is True
    assert one.ready()[0] is True


def test_the_server_is_away() -> None:
    """Nobody reaches it: the worker is not ready, and not stuck."""
    one = health(app(answered_s=300, child_silent_s=300, beat_s=300))
    assert one.live()[0] is True
    is_ready, state = one.ready()
    assert (is_ready, state["status"]) == (False, "not ready")
    assert state["last_sign_of_life_s"]["shop"] >= 300.0


def test_a_child_is_stuck() -> None:
    is_well, state = health(app(answered_s=0.1, child_silent_s=300, beat_s=3)).live()
    assert (is_well, state["status"], state["children"][0]["stuck"]) == (False, "stuck", True)


def test_a_busy_child_may_be_silent() -> None:
    board = new_board()
    [slot] = place(board, message())
    assert board.start(slot)
    assert health(app(answered_s=0.1, child_silent_s=3000, beat_s=3, board=board)).live()[0] is True


def test_stopping() -> None:
    ready, state = health(app(answered_s=0.1, child_silent_s=1, beat_s=3), stopping=True).ready()
    assert (ready, state["status"]) == (False, "stopping")


def test_requests_that_wait_for_a_store_leave_room_for_probes() -> None:
    goes_on, waiting = threading.Event(), threading.Semaphore(0)

    def ask_store(_accept: str, _query: str) -> tuple[HTTPStatus, str, bytes]:
        waiting.release()
        goes_on.wait(DEADLINE_S)
        return HTTPStatus.OK, "text/plain", b"answer"

    def status(path: str) -> int:
        connection = HTTPConnection("127.0.0.1", port, timeout=DEADLINE_S)
        try:
            connection.request("GET", path)
            return connection.getresponse().status
        finally:
            connection.close()

    listener = listen("127.0.0.1", 0)
    port = listener.getsockname()[1]
    probe: Any = lambda *_: (HTTPStatus.OK, "text/plain", b"ok")  # noqa: E731
    start_server(listener, {"/healthz": probe, **few_at_once({"/metrics/store": ask_store, "/scale": ask_store})})
    with ThreadPoolExecutor(MOST_ASKING) as pool:
        try:
            asked = [pool.submit(status, path) for path in ("/metrics/store", "/scale") * (MOST_ASKING // 2)]
            for _ in asked:
                assert waiting.acquire(timeout=DEADLINE_S)
            assert [status(path) for path in ("/metrics/store", "/scale", "/healthz")] == [503, 503, 200]
        finally:
            goes_on.set()
        assert [one.result(DEADLINE_S) for one in asked] == [200] * MOST_ASKING
    wait_until(lambda: status("/scale") == 200, "there is room again")
