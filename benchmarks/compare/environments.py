"""An environment for each system, made once by uv from ranges of versions, in a folder of the caller's choice."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from compare.catalog import Listed

_STAMP = "made-of.json"


def base_python() -> str:
    """Return the interpreter under the one that runs this."""
    return getattr(sys, "_base_executable", None) or sys.executable


def prepare(listed: Listed, folder: Path) -> str:
    """Return the interpreter of a system's environment; make it if it is missing or made of other ranges.

    Raises:
        RuntimeError: uv failed; the message ends with its words.
    """
    if not listed.requires:
        return sys.executable
    home = folder / listed.name
    python = home / "bin" / "python"
    stamp = home / _STAMP
    made_of = json.dumps([base_python(), *listed.requires])
    if python.exists() and stamp.exists() and stamp.read_text("utf-8") == made_of:
        return str(python)
    print(f"making the environment of {listed.name}", file=sys.stderr, flush=True)
    _uv("venv", "--quiet", "--clear", "--python", base_python(), str(home))
    _uv("pip", "install", "--quiet", "--python", str(python), *listed.requires)
    stamp.write_text(made_of, "utf-8")
    return str(python)


def versions(python: str, listed: Listed) -> dict[str, str]:
    """Return the versions of what a system's environment is made of."""
    names = [name.split(">")[0].split("[")[0] for name in listed.requires] or ["streamtasks", "redis", "hiredis"]
    code = "import importlib.metadata as m, json, sys; print(json.dumps({n: m.version(n) for n in sys.argv[1:]}))"
    done = subprocess.run([python, "-c", code, *names], capture_output=True, text=True, check=True)
    found: dict[str, str] = json.loads(done.stdout)
    return found


def _uv(*words: str) -> None:
    done = subprocess.run(["uv", *words], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"uv {' '.join(words[:2])} failed: {done.stderr.strip()[-500:]}")
