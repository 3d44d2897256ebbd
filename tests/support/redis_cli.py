"""A small redis-cli for machines without one: `-h`, `-p`, the password in REDISCLI_AUTH, and one command."""

from __future__ import annotations

import argparse
import os
import sys

import redis


def main() -> int:
    """Send the command and print the reply."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("-h", dest="host", default="127.0.0.1")
    parser.add_argument("-p", dest="port", type=int, default=6379)
    parser.add_argument("words", nargs=argparse.REMAINDER)
    given = parser.parse_args()
    password = os.environ.get("REDISCLI_AUTH")
    with redis.Redis(given.host, given.port, password=password, decode_responses=True, socket_timeout=5) as client:
        try:
            reply = client.execute_command(*given.words)
        except redis.ResponseError as error:
            print(f"(error) {error}")
            return 0
        except redis.RedisError as error:
            print(error, file=sys.stderr)
            return 1
    simple = "PONG" if given.words == ["ping"] else "OK"
    print(simple if reply is True else reply)
    return 0


if __name__ == "__main__":
    sys.exit(main())
