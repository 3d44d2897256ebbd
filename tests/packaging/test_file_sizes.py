"""A source file has one job, so it is short: at most 350 lines."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
MOST = 350
FOLDERS = ("streamtasks", "lua", "workers", "django_backend", "benchmarks", "examples", "tests")

LONGER = {
    "tests/guide/site/myapp/tasks.py": "the guide's code as it is written there",
    "tests/process/tasks/proc_app.py": "one app, whose tasks a worker imports together",
}


def test_no_file_is_longer() -> None:
    paths = [path for folder in FOLDERS for kind in ("py", "lua") for path in (ROOT / folder).rglob(f"*.{kind}")]
    lines = {str(path.relative_to(ROOT)): path.read_bytes().count(b"\n") for path in paths}
    assert len(lines) > 1000
    assert {name: count for name, count in lines.items() if count > MOST and name not in LONGER} == {}
    assert all(lines[name] > MOST for name in LONGER), "take it off the list"
