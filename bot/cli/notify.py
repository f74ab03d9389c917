"""`notify`: where notifications go, whether one arrives, and what became of those that were sent."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from bot.cli.exits import ExitCode, StopError
from bot.cli.options import AsJson, ConfigDir, DataDir, settings_for

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)

_NO_CHANNEL = "there is no channel; add one under notifications.channels in bot.yaml"
_NOTHING_SENT = "nothing was sent yet"


@app.callback()
def root() -> None:
    """Whom the bot tells what happens: the channels of `notifications` in bot.yaml."""


@app.command("channels")
def channels(as_json: AsJson = False, config: ConfigDir = None, data_dir: DataDir = None) -> None:
    """List the channels, their masked addresses, what each is told and what became of its last message."""
    from bot.cli.errand import perform
    from bot.cli.output import say, say_json

    found = perform(settings_for(config, data_dir), "notify.channels", {}, as_json=as_json)
    if as_json:
        say_json(found)
    else:
        say(*_channel_lines(found))


@app.command("test")
def send_test(
    channel: Annotated[str, typer.Argument(help="Its name in notifications.channels; it may be disabled.")],
    as_json: AsJson = False,
    config: ConfigDir = None,
    data_dir: DataDir = None,
) -> None:
    """Send a real message to a channel and say whether it arrived."""
    from bot.cli.errand import perform
    from bot.cli.output import say, say_json

    found = perform(settings_for(config, data_dir), "notify.test", {"channel": channel}, as_json=as_json)
    if as_json:
        say_json(found)
    elif found["delivered"]:
        say(f"{channel} ({found['url']}) took it in {found['took_ms']} ms")
    if not found["delivered"]:
        raise StopError(ExitCode.FAILURE, f"{channel} ({found['url']}) did not take it: {found['detail']}")


@app.command("log")
def log(
    channel: Annotated[str | None, typer.Option("--channel", metavar="NAME", help="Of one channel [all].")] = None,
    limit: Annotated[int, typer.Option(metavar="N", min=1, max=200, help="How many, the newest.")] = 20,
    before: Annotated[int | None, typer.Option(metavar="ID", min=1, help="Older than the one of this id.")] = None,
    as_json: AsJson = False,
    config: ConfigDir = None,
    data_dir: DataDir = None,
) -> None:
    """Show what was told, the newest last, and what became of it."""
    from bot.cli.errand import perform
    from bot.cli.output import say, say_json

    given = {"channel": channel, "limit": limit, "before": before}
    args = {name: value for name, value in given.items() if value is not None}
    found = perform(settings_for(config, data_dir), "notify.log", args, as_json=as_json)
    if as_json:
        say_json(found)
    else:
        say(*_log_lines(found))


def _channel_lines(found: Mapping[str, Any]) -> Iterator[str]:
    from bot.cli.output import table

    rows = [
        [
            one["channel"],
            one["state"],
            one["url"] or one["secret"],
            one["severity"],
            one["topics"] if one["topics"] == "all" else ",".join(one["topics"]),
            f"{_when(one['last']['at'])} {one['last']['outcome']}" if one["last"] else None,
        ]
        for one in found["channels"]
    ]
    if not rows:
        yield _NO_CHANNEL
        return
    yield from table(["channel", "state", "address", "from", "topics", "last"], rows)
    yield from (f"{one['channel']} is off: {one['why']}" for one in found["channels"] if one["why"])
    if found["silent_topics"]:
        yield f"nobody is told about {', '.join(found['silent_topics'])}: see notifications.topics"


def _log_lines(found: Mapping[str, Any]) -> Iterator[str]:
    from bot.cli.screen import clean

    for one in reversed(found["deliveries"]):
        tries = f" after {one['attempts']} tries" if one["attempts"] > 1 else ""
        why = f" ({one['detail']})" if one["detail"] else ""
        yield clean(f"{_when(one['at'])} {one['channel']} {one['severity']}: {one['title']}: {one['outcome']}{tries}{why}")
        yield from (f"    {clean(line)}" for line in one["text"].splitlines())
    if not found["deliveries"]:
        yield _NOTHING_SENT
    if found["next"] is not None:
        yield f"older ones: --before {found['next']}"


def _when(at: int) -> str:
    return f"{datetime.fromtimestamp(at / 1_000, UTC):%Y-%m-%d %H:%M:%S}"
