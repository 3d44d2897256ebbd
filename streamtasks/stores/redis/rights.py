"""Ask a server by a script what our user may do; that needs no right but the one to run scripts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from ...protocol.keys import Keys
from ..survey_types import Refused
from .access import patterns
from .commands import SENT, examples, script_commands
from .inquiry import Inquiry

__all__ = ["denied_by_script", "missing_of_worker"]

SHOWN: Final = 6
"""So many commands are named in a warning."""

_RIGHTS: Final = """#!lua flags=no-writes
local denied = {}
for _, line in ipairs(ARGV) do
  local words = {}
  for word in line:gmatch('%S+') do words[#words + 1] = word == '@key' and KEYS[1] or word end
  local is_known, allowed = pcall(redis.acl_check_cmd, unpack(words))
  if is_known and not allowed then denied[#denied + 1] = line end
end
return denied
"""


def denied_by_script(inquiry: Inquiry, keys: Keys, commands: Sequence[str]) -> dict[str, str] | Refused:
    """Return which of these commands the user may not send on our keys, and why; `Refused`: it may not even ask."""
    lines = {" ".join(examples(command, "@key", keys.done_channel("0"))): command for command in commands}
    sha = inquiry.ask("SCRIPT", "LOAD", _RIGHTS)  # and not EVAL, which the least privileged users may not say
    reply: Any = sha if isinstance(sha, Refused) else inquiry.ask("EVALSHA", sha, "1", keys.messages, *lines)
    if isinstance(reply, list):
        return {lines[line]: "the ACL of this user does not allow it" for line in reply}
    return reply if isinstance(reply, Refused) else Refused("the server does not tell")


def missing_of_worker(inquiry: Inquiry, keys: Keys, where: str, prefix: str) -> list[str]:
    """Return a warning if the user may not do what a worker does, with what to do about it."""
    denied = denied_by_script(inquiry, keys, (*SENT, *script_commands()))
    if isinstance(denied, Refused):
        if not denied.by_acl:
            return []
        lacks = denied.text
    elif not denied:
        return []
    else:
        names = sorted(denied)
        more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
        lacks = f"on keys {patterns(prefix)[0]} it may not {', '.join(names[:SHOWN])}{more}"
    warning = (
        f"the user of {where} may not do what a worker does, so no task runs: {lacks}. Give it the rules that "
        f"`streamtasks acl --role worker --prefix {prefix!r}` prints, or name another user; the worker tries until then"
    )
    return [warning]
