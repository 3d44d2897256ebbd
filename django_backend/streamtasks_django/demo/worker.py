"""Run ``streamtasks-worker`` so that it ends with the demo, even if the demo is killed (Linux)."""

from __future__ import annotations

import sys

from streamtasks_workers.cli.worker import main
from streamtasks_workers.process.lifeline import die_with_parent

if __name__ == "__main__":
    die_with_parent(int(sys.argv.pop(1)))
    main()
