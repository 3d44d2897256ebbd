"""A credential provider as applications have one, which says until when its credentials hold."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

from redis.credentials import CredentialProvider

FILE_VARIABLE = "SHORT_TOKENS"


class Tokens(CredentialProvider):
    """Reads a file with user, password and how many seconds they hold."""

    def __init__(self, path: str | None = None) -> None:
        self._path = path or os.environ[FILE_VARIABLE]
        self._end = 0.0

    def get_credentials(self) -> tuple[str, str]:
        found: dict[str, Any] = json.loads(Path(self._path).read_text())
        self._end = time.time() + found["holds_s"]
        return found["user"], found["password"]

    def expires_at(self) -> float:
        return self._end
