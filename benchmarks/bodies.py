"""Measure how the bodies of a shard's messages may lie: one hash, or many, as raw keys without the product.

    uv run python benchmarks/bodies.py [--fields 1000000] [--server redis-server] [--only one,256,stream]

For each layout, one slot with all of it is moved between two masters of a Cluster. The columns: how long all calls for
the slot are refused, the longest MIGRATE, the longest wait of any client of the source, of the target and of a third
server (what the machine itself takes away), and memory. Then the server time of a task's body: 100 at a time are put,
read and deleted by scripts that have every bucket in KEYS.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path
from typing import Any

import redis

sys.path.insert(0, str(Path(__file__).parent.parent))

from slot_move import Masters, waits

from streamtasks_workers.testing.embedded import BINARY_VARIABLE
from tests.support.servers import REDIS_VARIABLE, Cluster

TAG = "u0"
BODY = b"1764268800000 " + b'{"t":"shop.tasks.send_receipt","a":[' + b"8127364," * 16 + b'0],"k":{"lang":"de"},"h":{}}'
BUCKETS = (1, 16, 64, 256, 1024)

PUT = """#!lua
local n = tonumber(ARGV[1])
for i = 2, #ARGV, 2 do
  redis.call('HSET', KEYS[1 + tonumber(ARGV[i]:sub(-4), 16) % n], ARGV[i], ARGV[i + 1])
end
"""
PUT_ONE = "#!lua\nredis.call('HSET', KEYS[1], unpack(ARGV, 2))"
READ = """#!lua
local n, found = tonumber(ARGV[1]), {}
for i = 2, #ARGV do found[i - 1] = redis.call('HGET', KEYS[1 + tonumber(ARGV[i]:sub(-4), 16) % n], ARGV[i]) end
return found
"""
READ_ONE = "#!lua\nreturn redis.call('HMGET', KEYS[1], unpack(ARGV, 2))"
DELETE = """#!lua
local n = tonumber(ARGV[1])
for i = 2, #ARGV do redis.call('HDEL', KEYS[1 + tonumber(ARGV[i]:sub(-4), 16) % n], ARGV[i]) end
"""
DELETE_ONE = "#!lua\nredis.call('HDEL', KEYS[1], unpack(ARGV, 2))"


def task_id(number: int) -> str:
    """Return an id as ours, whose last digits are spread."""
    return f"019ac4f1{number:016x}{number * 40503 % 65536:08x}"


def fill(client: Any, layout: str, fields: int) -> None:
    """Put everything into one slot."""
    pipe = client.pipeline(transaction=False)
    for number in range(fields):
        name = task_id(number)
        if layout == "stream":
            pipe.xadd(f"{{{TAG}}}:q:0:default", {"id": f"{name}-{TAG}"})
        elif layout == "state":
            line = f"host-1-7f3a#12 C 0:default 1764268800000-{number} 1 0 0 0 0 -"
            pipe.hset(f"{{{TAG}}}:state", f"{name}-{TAG}", line)
        elif layout == "delayed":
            pipe.zadd(f"{{{TAG}}}:delayed", {f"{name}-{TAG}": 1_764_268_800_000 + number})
        else:
            buckets = int(layout)
            pipe.hset(f"{{{TAG}}}:messages:{number % buckets}", f"{name}-{TAG}", BODY)
        if number % 1000 == 999:
            pipe.execute()
    pipe.execute()


def script_us(client: Any, buckets: int, tasks: int = 20_000) -> float:
    """Return the server time of one task's body: put, read and deleted, 100 at a time, us."""
    keys = [f"{{{TAG}}}:messages:{n}" for n in range(buckets)]
    sources = (PUT_ONE, READ_ONE, DELETE_ONE) if buckets == 1 else (PUT, READ, DELETE)
    put, read, delete = (client.register_script(source) for source in sources)
    spent = -_eval_us(client)
    for start in range(0, tasks, 100):
        ids = [task_id(number) for number in range(start, start + 100)]
        put(keys, [buckets, *(word for one in ids for word in (one, BODY))])
        read(keys, [buckets, *ids])
        delete(keys, [buckets, *ids])
    return (spent + _eval_us(client)) / tasks


def _eval_us(client: Any) -> float:
    cpu = client.info("cpu")
    return (float(cpu["used_cpu_user"]) + float(cpu["used_cpu_sys"])) * 1e6


def main() -> None:
    """Run all and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fields", type=int, default=1_000_000)
    parser.add_argument("--server", help="a server's program; default: the one of the tests, else the embedded one")
    parser.add_argument("--only", default=",".join([*map(str, BUCKETS), "stream", "state", "delayed"]))
    parser.add_argument("--plain", action="store_true", help="rdbcompression no")
    given = parser.parse_args()
    if binary := given.server or os.environ.get(REDIS_VARIABLE):
        os.environ[BINARY_VARIABLE] = binary
    with Cluster() as cluster:
        urls = [node.url for node in cluster.nodes]
        masters = Masters(urls)
        info = masters.clients[0].info("server")
        print(f"{info.get('valkey_version') or info['redis_version']}, {given.fields:,} fields of {len(BODY)} bytes")
        print(f"{'layout':>8} {'refused s':>10} {'MIGRATE s':>10} {'source ms':>10} {'target ms':>10} {'third ms':>9} "
              f"{'bytes each':>10}")  # fmt: skip
        for client in masters.clients:
            client.config_set("rdbcompression", "no" if given.plain else "yes")
        for layout in given.only.split(","):
            at = masters.holder(TAG)
            to, third = [place for place in range(3) if place != at]
            empty = masters.memory()
            fill(redis.Redis.from_url(urls[at]), layout, given.fields)
            each = (masters.memory() - empty) / given.fields
            with waits([urls[at], urls[to], urls[third]]) as watched:
                time.sleep(0.5)
                watched.reset()
                moved = masters.move(TAG, to)
                time.sleep(0.2)
                source, target, other = watched.worst_ms()
            print(f"{layout:>8} {moved.took_s:>10.2f} {moved.longest_s:>10.2f} {source:>10.0f} {target:>10.0f} "
                  f"{other:>9.0f} {each:>10.0f} {moved.error[:60]}", flush=True)  # fmt: skip
            if masters.moves_atomically and not moved.error:
                with waits([urls[to], urls[at], urls[third]]) as watched:
                    time.sleep(0.5)
                    watched.reset()
                    moved = masters.move_atomically(TAG, at)
                    time.sleep(0.2)
                    source, target, other = watched.worst_ms()
                print(f"  atomic {moved.took_s:>10.2f} {'':>10} {source:>10.0f} {target:>10.0f} "
                      f"{other:>9.0f} {'':>10} {moved.error[:60]}", flush=True)  # fmt: skip
            cluster.flush()
            while masters.memory() > 30 << 20:  # it is freed in the background
                time.sleep(0.1)
        print("us of the server per task's body, by buckets: ", end="")
        client = redis.Redis.from_url(urls[masters.holder(TAG)])
        print(", ".join(f"{buckets}: {script_us(client, buckets):.2f}" for buckets in BUCKETS))


if __name__ == "__main__":
    main()
