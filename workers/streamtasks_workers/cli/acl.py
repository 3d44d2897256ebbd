"""The command ``streamtasks acl``: print what the users of a server, or of Sentinels, must be allowed to do."""

from __future__ import annotations

import hashlib
import re
import sys

import click

__all__ = ["acl_command"]

_VERSION = re.compile(r"(\d+)\.(\d+)(?:\.\d+)?")
_NEEDS_QUOTES = re.compile(r"[\"'\\]")


@click.command("acl", context_settings={"show_default": True})
@click.option("--role", type=click.Choice(["producer", "worker", "monitor"]), required=True, help="What the user does.")
@click.option("--prefix", default="streamtasks:", help="key_prefix of the settings.")
@click.option("--server", default="7.2", help="Version of Redis; Valkey, and later ones: 7.2.")
@click.option("--sentinel", is_flag=True, help="The rules for the Sentinels instead, which are the same for all roles.")
@click.option("--user", help="Name of the user; default: streamtasks-ROLE.")
@click.option(
    "--password-file",
    type=click.Path(exists=True, dir_okay=False),
    help="File with the user's password; its SHA-256 is printed. Else the user's passwords stay as they are.",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["setuser", "aclfile"]),
    default="setuser",
    help="A command for redis-cli, or a line of users.acl.",
)
def acl_command(
    role: str, prefix: str, server: str, sentinel: bool, user: str | None, password_file: str | None, form: str
) -> None:
    """Print the ACL rules of a user that enqueues (producer), runs tasks (worker) or only reads (monitor).

    Keys and channels of other prefixes are refused, and each command that the role does not need.

    Example: streamtasks acl --role worker --password-file secret | redis-cli
    """
    from streamtasks.exceptions import ConfigurationError
    from streamtasks.stores.redis.access import UserRole, rules, sentinel_rules
    from streamtasks.stores.redis.credentials import read_password

    version = _VERSION.fullmatch(server)
    if version is None or (number := (int(version[1]), int(version[2]))) < (7, 0):
        raise click.UsageError(f"--server is {server!r}; give the version of a Redis from 7.0 on, as 7.0.")
    name = user or f"streamtasks-{role}"
    if not re.fullmatch(r"[^\s\"'\\]+", name):
        raise click.UsageError(f"--user is {name!r}; a name has no spaces and no quotes.")
    try:
        words = sentinel_rules(number) if sentinel else rules(UserRole[role.upper()], prefix, number)
        if password_file is not None:
            digest = hashlib.sha256(read_password(password_file).encode()).hexdigest()
            words = ["resetpass", f"#{digest}", *words]
    except ConfigurationError as error:
        click.echo(f"streamtasks acl: {error}", err=True)
        sys.exit(2)
    if form == "aclfile":
        click.echo(" ".join(["user", name, "on", *words]))
    else:
        click.echo(" ".join(["ACL", "SETUSER", name, "on", *map(_quoted, words)]))
    if password_file is None:
        click.echo(
            f"# {name} can log in as soon as it has a password: give --password-file, or add >PASSWORD to the rules.",
            err=True,
        )


def _quoted(word: str) -> str:
    """Return a word as redis-cli reads it."""
    if not _NEEDS_QUOTES.search(word):
        return word
    return '"' + word.replace("\\", "\\\\").replace('"', '\\"') + '"'
