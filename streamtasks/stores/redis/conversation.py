"""One exchange with a server, whatever carries it: what is sent, what is made of the replies, what is sent again.

A conversation is a generator. It yields commands, which a driver sends in one packet, and is sent the list of their
replies, errors of the server among them as values; what it returns are the replies to the calls.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Iterator, Sequence
from typing import Any, Final

from hiredis import pack_command
from redis.exceptions import NoScriptError, RedisError

from .faults import Course, fault_of
from .replies import aread_replies, read_replies
from .scripts import Behind, Call

__all__ = ["Conversation", "aexchange", "command", "conversation", "exchange", "exchange_each", "finish", "passing"]

PIECE_BYTES: Final = 16 * 1024
"""What is sent together is sent in pieces that are a little larger."""

type Conversation = Generator[list[tuple[Any, ...]], list[Any], list[Any]]


def command(call: Call) -> tuple[Any, ...]:
    """Return the words of a call's command."""
    return ("EVALSHA", call.script.sha, len(call.keys), *call.keys, *call.args)


def conversation(
    requests: Sequence[Call], *, are_sent: bool = False, behind: Behind | None = None, raises: bool = True
) -> Conversation:
    """Send calls, and again with their scripts those whose script the server does not know.

    A script that several of the calls use is sent ahead: if another client brought it between two of them, the first
    would be sent again after the second had taken effect, and messages would change their order.

    Args:
        requests: the calls.
        are_sent: they are on their way already.
        behind: is sent behind the calls, and again behind those that are sent again. Its replies follow theirs.
        raises: whether errors are raised; else they are among the replies.

    Raises:
        ResponseError: a call was answered with an error, or what is behind with one that passes; all replies have been
            read by then.
    """
    ahead = [] if are_sent else _repeated(requests)
    # Whether the server lets us load scripts only counts if it does not know them.
    last = behind.commands if behind is not None else []
    replies = (yield ahead + [command(call) for call in requests] + last)[len(ahead) :]
    late = replies[len(requests) :]
    del replies[len(requests) :]
    unknown = [place for place, reply in enumerate(replies) if isinstance(reply, NoScriptError)]
    if unknown:
        # The other calls of the packet took effect: only these are sent again, in their order.
        sources = {requests[place].script.source: None for place in unknown}
        commands: list[tuple[Any, ...]] = [("SCRIPT", "LOAD", source) for source in sources]
        again = yield commands + [command(requests[place]) for place in unknown] + last
        late = again[len(sources) + len(unknown) :]
        del again[len(sources) + len(unknown) :]
        if raises:
            _raise_errors(again)
        for place, reply in zip(unknown, again[len(sources) :], strict=True):
            replies[place] = reply
    if raises:
        _raise_errors(replies)
        _raise_errors(passing(late))
    return replies + late


def passing(replies: Sequence[Any]) -> list[Exception]:
    """Return the errors among replies that may pass when all is sent again."""
    errors = (reply for reply in replies if isinstance(reply, Exception))
    return [error for error in errors if fault_of(error).course is not Course.LASTS]


def exchange(connection: Any, requests: Sequence[Call], behind: Behind | None = None) -> list[Any]:
    """Have a conversation about these calls; return their replies, and those to what is behind.

    Raises:
        RedisError: the connection broke, or a call was answered with an error.
    """
    if behind is not None:
        return _converse(connection, conversation(requests, behind=behind), slow_s=behind.slow_s)
    if len(requests) > 1:
        return _converse(connection, conversation(requests))
    _send(connection, [command(call) for call in requests])
    return finish(connection, requests)


def exchange_each(each: Sequence[tuple[Any, Sequence[Call], Behind | None]]) -> list[list[Any]]:
    """Have a conversation on each connection, all at once; return the replies of each, errors among them.

    A connection that broke is closed; its error is the reply to all of its calls, and to what is behind.
    """
    talks = [conversation(requests, behind=behind, raises=False) for _, requests, behind in each]
    found: list[list[Any] | None] = [None] * len(each)
    commands = {place: next(talk) for place, talk in enumerate(talks)}
    while commands:
        for place, some in list(commands.items()):
            try:
                _send(each[place][0], some)
            except (RedisError, OSError) as error:
                found[place] = _broken(*each[place], error)
                del commands[place]
        sent, commands = commands, {}
        for place, some in sent.items():
            connection, _, behind = each[place]
            try:
                replies, _ = read_replies(connection, len(some), behind.slow_s if behind is not None else 0.0)
                commands[place] = talks[place].send(replies)
            except StopIteration as stop:
                found[place] = stop.value
            except (RedisError, OSError) as error:
                found[place] = _broken(*each[place], error)
    return [replies for replies in found if replies is not None]


def _broken(connection: Any, requests: Sequence[Call], behind: Behind | None, error: Exception) -> list[Any]:
    connection.disconnect()
    return [error] * (len(requests) + (len(behind.commands) if behind is not None else 0))


def _repeated(requests: Sequence[Call]) -> list[tuple[Any, ...]]:
    """Return commands that load the scripts that more than one call uses."""
    if len(requests) < 2:
        return []
    uses = Counter(call.script.source for call in requests)
    return [("SCRIPT", "LOAD", source) for source, count in uses.items() if count > 1]


def finish(connection: Any, requests: Sequence[Call], *, raises: bool = True) -> list[Any]:
    """Do the same with calls that are sent already. ``raises``: see `conversation`.

    Raises:
        RedisError: as `exchange`.
    """
    replies, failed = read_replies(connection, len(requests))
    if not failed:
        return replies
    talk = conversation(requests, are_sent=True, raises=raises)
    next(talk)
    return _converse(connection, talk, replies)


def _converse(
    connection: Any, talk: Conversation, replies: list[Any] | None = None, *, slow_s: float = 0.0
) -> list[Any]:
    """Have a conversation; ``replies``: to the commands that are sent already; ``slow_s``: see `Behind`."""
    try:
        while True:
            commands = next(talk) if replies is None else talk.send(replies)
            _send(connection, commands)
            replies, _ = read_replies(connection, len(commands), slow_s)
    except StopIteration as stop:
        return stop.value  # type: ignore[no-any-return]


def _send(connection: Any, commands: Sequence[tuple[Any, ...]]) -> None:
    connection.send_packed_command(_packed(commands), check_health=False)


def _packed(commands: Sequence[tuple[Any, ...]]) -> Iterator[bytes]:
    """Yield the bytes of commands, in pieces: a server begins with the first while the others are packed."""
    some: list[bytes] = []
    size = 0
    for one in commands:
        packed = pack_command(one)
        some.append(packed)
        size += len(packed)
        if size >= PIECE_BYTES:
            yield b"".join(some)
            some.clear()
            size = 0
    if some:
        yield b"".join(some)


async def aexchange(
    connection: Any, requests: Sequence[Call], behind: Behind | None = None, *, raises: bool = True
) -> list[Any]:
    """Do what `exchange` does, on an event loop. ``raises``: see `conversation`.

    Raises:
        RedisError: as `exchange`.
    """
    talk = conversation(requests, behind=behind, raises=raises)
    commands = next(talk)
    slow_s = behind.slow_s if behind is not None else 0.0
    try:
        while True:
            await connection.send_packed_command(connection.pack_commands(commands), check_health=False)
            commands = talk.send(await aread_replies(connection, len(commands), slow_s))
    except StopIteration as stop:
        return stop.value  # type: ignore[no-any-return]


def _raise_errors(replies: list[Any]) -> None:
    for reply in replies:
        if isinstance(reply, Exception):
            raise reply
