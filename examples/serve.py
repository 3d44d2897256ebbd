"""Start a server for the examples; Ctrl-C stops it, and nothing is kept.

$ python serve.py

It needs the extra: ``pip install "streamtasks[embedded]"``.
"""

from __future__ import annotations

import signal

from streamtasks_workers.testing.embedded import EmbeddedServer

ENDS = {signal.SIGINT, signal.SIGTERM}

if __name__ == "__main__":
    with EmbeddedServer() as server:
        signal.pthread_sigmask(signal.SIG_BLOCK, ENDS)
        print(f"export REDIS_URL={server.url}", flush=True)
        signal.sigwait(ENDS)
