"""A process of the project that does what it is told: one JSON object a line comes in, one goes out.

``{"run": code}`` runs Python code and answers with what it left in ``answer``. ``{"request": [method, path, fields,
user]}`` sends a request through Django's test client and answers with status and content.
"""

import importlib
import io
import json
import os
import sys
import traceback
from typing import Any

import django


def main() -> None:
    """Answer until the input ends."""
    replies = os.fdopen(os.dup(1), "w", buffering=1)
    sys.stdout = sys.stderr  # what the project prints is no answer
    django.setup()
    from django.core.management import call_command

    call_command("migrate", run_syncdb=True, verbosity=0)
    print(json.dumps({"ok": "ready"}), file=replies)
    for line in sys.stdin:
        asked = json.loads(line)
        try:
            answer = {"ok": _run(asked["run"]) if "run" in asked else _request(*asked["request"])}
        except Exception:
            answer = {"error": traceback.format_exc()}
        print(json.dumps(answer), file=replies)


class _Modules(dict[str, Any]):
    """Names of packages import themselves."""

    def __missing__(self, name: str) -> Any:
        try:
            return importlib.import_module(name)
        except ImportError:
            raise KeyError(name) from None


def _run(code: str) -> Any:
    names = _Modules()
    exec(code, {}, names)
    return names["answer"]


def _request(method: str, path: str, fields: dict[str, Any], user: str | None) -> Any:
    from django.contrib.auth import get_user_model
    from django.test import Client

    client = Client()
    if user is not None:
        client.force_login(get_user_model().objects.get(username=user))
    data = fields.get("data") or {}
    if "file" in fields:
        content = io.BytesIO(bytes.fromhex(fields["file"]["content"]))
        content.name = fields["file"]["name"]
        data = {**data, "file": content}
    if "json" in fields:
        response = client.generic(method, path, json.dumps(fields["json"]), content_type="application/json")
    else:
        response = getattr(client, method.lower())(path, data)
    text = response.content.decode()
    return [response.status_code, json.loads(text) if response["Content-Type"] == "application/json" else text]


if __name__ == "__main__":
    main()
