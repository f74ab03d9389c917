"""Follow the bot's Redis feed with nothing but the redis package, and see what was missed.

    python examples/consumer.py --url redis://localhost:6379/0 --channels orders,fills
    python examples/consumer.py --streams            # at-least-once: continues from the oldest entry that Redis still has

Messages are numbered per (run, channel): a number that is skipped was lost, one that comes again is a repetition.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Iterator
from typing import Any

import redis

CHANNELS = "quotes,candles,decisions,verdicts,orders,fills,positions,equity,risk,health"


class Gaps:
    """Watches the numbers of every (run, channel)."""

    def __init__(self) -> None:
        self.newest: dict[tuple[str, str], int] = {}
        self.lost = 0

    def check(self, channel: str, message: dict[str, Any]) -> str | None:
        """What is wrong with this message's number: `gap`, `repeated`, or None."""
        key, seq = (message["run"], channel), message["seq"]
        newest = self.newest.get(key)
        if newest is not None and seq <= newest:
            return "repeated"
        self.newest[key] = seq
        if newest is None or seq == newest + 1:
            return None
        self.lost += seq - newest - 1
        print(f"GAP {channel}: {seq - newest - 1} lost between {newest} and {seq} of run {message['run']}", flush=True)
        return "gap"


def published(client: redis.Redis, names: list[str], deadline: float) -> Iterator[tuple[str, bytes]]:
    """Messages of pub/sub, from now on. After a lost connection redis-py subscribes again; what came meanwhile is lost."""
    with client.pubsub(ignore_subscribe_messages=True) as pubsub:  # type: ignore[no-untyped-call]
        pubsub.subscribe(*names)
        while time.monotonic() < deadline:
            try:
                message = pubsub.get_message(timeout=0.5)
            except redis.ConnectionError as error:
                print(f"connection lost ({type(error).__name__}); trying again", file=sys.stderr, flush=True)
                time.sleep(0.5)
                continue
            if message:
                yield message["channel"].decode(), message["data"]


def stored(client: redis.Redis, names: list[str], deadline: float) -> Iterator[tuple[str, bytes]]:
    """Entries of the Streams, from the oldest that is left; the bot must run with streams on."""
    places: dict[Any, Any] = dict.fromkeys(names, "0")
    while time.monotonic() < deadline:
        try:
            answer: Any = client.xread(places, count=500, block=500)
        except redis.ConnectionError as error:
            print(f"connection lost ({type(error).__name__}); trying again", file=sys.stderr, flush=True)
            time.sleep(0.5)
            continue
        for stream, entries in answer.items() if isinstance(answer, dict) else answer or ():
            for place, fields in _flat(entries):
                places[stream.decode()] = place
                yield stream.decode(), fields[b"message"]


def _flat(entries: Any) -> Iterator[tuple[Any, dict[bytes, bytes]]]:
    """Entries as (id, fields): RESP3 wraps them in one list more than RESP2 does."""
    for entry in entries:
        if isinstance(entry, list) and entry and isinstance(entry[0], (tuple, list)):
            yield from _flat(entry)
        else:
            yield entry


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="Follow the bot's Redis feed and report gaps.")
    parser.add_argument("--url", default=os.environ.get("REDIS_URL", "redis://localhost:6379/0"))
    parser.add_argument("--prefix", default="arbiter.v1", help="what the channels' names begin with")
    parser.add_argument("--channels", default=CHANNELS, help="comma-separated")
    parser.add_argument("--streams", action="store_true", help="read the Streams instead of pub/sub")
    parser.add_argument("--count", type=int, help="stop after so many messages")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="stop after so many seconds")
    return parser.parse_args()


def main() -> int:
    """Print every message as one line; exit 1 if anything was lost."""
    options = arguments()
    names = [f"{options.prefix}.{channel}" for channel in options.channels.split(",")]
    client = redis.Redis.from_url(options.url)
    gaps, seen = Gaps(), 0
    follow = stored if options.streams else published
    try:
        client.ping()
        print(f"following {', '.join(names)}", file=sys.stderr, flush=True)
        for name, payload in follow(client, names, time.monotonic() + options.seconds):
            message = json.loads(payload)
            if gaps.check(name.removeprefix(f"{options.prefix}."), message) == "repeated":
                continue
            badge = "SIMULATED " if message["simulated"] else ""
            print(f"{message['ts']} {badge}{message['type']} #{message['seq']} {json.dumps(message['data'])}", flush=True)
            seen += 1
            if seen == options.count:
                break
    except redis.ConnectionError as error:
        print(f"no Redis there ({type(error).__name__}); is it running, and is --url right?", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        pass
    finally:
        client.close()
    print(f"{seen} messages, {gaps.lost} lost", file=sys.stderr)
    return 1 if gaps.lost else 0


if __name__ == "__main__":
    sys.exit(main())
