"""Send one command to a bot over Redis with nothing but the redis package, and print its answer.

    export REDIS_COMMAND_SECRET=…        # the same that the bot has, 32 characters or more
    python examples/commander.py --bot arbiter status
    python examples/commander.py --bot arbiter kill --args '{"reason": "enough for today"}'

A command is signed, expires, and is carried out at most once: whoever lost the answer asks again with the same --nonce.
"""

from __future__ import annotations

import argparse
import hashlib
import hmac
import json
import os
import secrets
import sys
import time
from typing import Any

import redis


def canonical(message: dict[str, Any]) -> bytes:
    """The form that is signed: keys sorted, no spaces, UTF-8."""
    return json.dumps(message, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def mac(secret: str, direction: str, message: dict[str, Any]) -> str:
    """The signature of a message; `direction` is `commands` or `answers`."""
    bare = {name: value for name, value in message.items() if name != "mac"}
    return hmac.new(secret.encode(), f"arbiter.{direction}.v1\n".encode() + canonical(bare), hashlib.sha256).hexdigest()


def command(options: argparse.Namespace, secret: str) -> dict[str, Any]:
    """The command, signed."""
    message = {
        "v": 1,
        "bot": options.bot,
        "command": options.command,
        "args": json.loads(options.args),
        "actor": options.actor,
        "nonce": options.nonce or secrets.token_urlsafe(18),
        "expires": int((time.time() + options.seconds) * 1_000),
    }
    if options.run:
        message["run"] = options.run
    return {**message, "mac": mac(secret, "commands", message)}


def answer(channels: Any, secret: str, nonce: str, deadline: float) -> dict[str, Any] | None:
    """The bot's answer to this nonce, None if none comes in time; what is not signed by the bot is passed over."""
    while (left := deadline - time.monotonic()) > 0:
        heard = channels.get_message(timeout=left)
        if not heard or heard["type"] != "message":
            continue
        told = json.loads(heard["data"])
        if told.get("nonce") == nonce and hmac.compare_digest(str(told.get("mac")), mac(secret, "answers", told)):
            return dict(told)
    return None


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="Send one command to a bot over Redis.")
    parser.add_argument("command", help="such as status, kill, reduce, resume, pause")
    parser.add_argument("--args", default="{}", help="its arguments, a JSON object")
    parser.add_argument("--bot", default="arbiter", help="the bot's name (bot.name)")
    parser.add_argument("--run", help="only this start of it, as `status` names it; all but looks, kill and reduce need it")
    parser.add_argument("--actor", default=os.environ.get("USER", "commander"), help="who asks, for the audit")
    parser.add_argument("--nonce", help="that of a command whose answer was lost")
    parser.add_argument("--seconds", type=float, default=30.0, help="it expires after so many seconds, at most 300")
    parser.add_argument("--url", default=os.environ.get("REDIS_URL", "redis://localhost:6379/0"))
    parser.add_argument("--prefix", default="arbiter.v1", help="what the channels' names begin with (redis.prefix)")
    return parser.parse_args()


def main() -> int:
    """Exit 0 if it was done, 1 if not, 2 if nobody answered."""
    options = arguments()
    secret = os.environ.get("REDIS_COMMAND_SECRET", "")
    if not secret:
        print("set REDIS_COMMAND_SECRET to the secret that the bot has", file=sys.stderr)
        return 1
    client = redis.Redis.from_url(options.url)
    try:
        with client.pubsub() as channels:  # type: ignore[no-untyped-call]
            channels.subscribe(f"{options.prefix}.answers")
            channels.get_message(timeout=5.0)  # subscribed, so that no answer is missed
            message = command(options, secret)
            heard = client.publish(f"{options.prefix}.commands", canonical(message))
            if not heard:
                print("nobody listens there: is the bot running, and has it the secret?", file=sys.stderr)
                return 2
            told = answer(channels, secret, message["nonce"], time.monotonic() + options.seconds)
    except redis.ConnectionError as error:
        print(f"no Redis there ({type(error).__name__}); is it running, and is --url right?", file=sys.stderr)
        return 2
    finally:
        client.close()
    if told is None:
        print(f"no answer; it may have been carried out: ask again with --nonce {message['nonce']}", file=sys.stderr)
        return 2
    print(json.dumps({name: told[name] for name in ("ok", "error", "result", "repeated", "run")}))
    return 0 if told["ok"] else 1


if __name__ == "__main__":
    sys.exit(main())
