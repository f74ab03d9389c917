"""`web`: the control room by itself, beside a running bot or over a finished journal."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from bot.cli.options import ConfigDir, Database, DataDir

if TYPE_CHECKING:
    from collections.abc import Callable
    from socket import socket

    from bot.secrets import Secrets
    from bot.settings import Loaded

_POLITENESS = 10


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("web")(web)


def web(
    host: Annotated[str | None, typer.Option(metavar="ADDRESS", help="Address to listen on [web.host].")] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65_535, metavar="N", help="Port to listen on [web.port].")] = None,
    config: ConfigDir = None,
    data_dir: DataDir = None,
    database: Database = None,
    handed: Annotated[int | None, typer.Option(hidden=True, help="A listening socket that the bot opened.")] = None,
) -> None:
    """Show the control room of a data directory; a running bot has one by itself."""
    from bot import logs
    from bot.secrets import Secrets
    from bot.settings import load

    given: dict[str, object | None] = {"bot.data_dir": data_dir, "journal.url": database, "web.host": host, "web.port": port}
    loaded = load(config, overrides={key: value for key, value in given.items() if value is not None})
    settings = loaded.settings
    secrets = Secrets(settings.bot.data_dir)
    logs.configure(level=settings.bot.log_level.value, secrets=secrets.values(), stream=sys.stderr)
    if handed is not None:
        os.nice(_POLITENESS)
    from bot.cli.session import run_loop

    run_loop(_serve(loaded, secrets, _listening(settings.web.host, settings.web.port, handed), handed is not None))


def _listening(host: str, port: int, handed: int | None) -> socket:
    """The socket of the bot, or one of our own."""
    import socket

    from bot.web.place import bind

    if handed is None:
        return bind(host, port)
    return socket.socket(fileno=handed)


async def _serve(loaded: Loaded, secrets: Secrets, listening: socket, ours: bool) -> None:
    from bot.runtime.process import loading

    with loading():
        from bot.web.server import serve

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(name, stop.set)
    watch = asyncio.create_task(_until_let_go(stop), name="watch the bot") if ours else None
    try:
        await serve(loaded, secrets, listening, _announcer(ours), stop=stop)
    finally:
        if watch is not None:
            watch.cancel()
            await asyncio.gather(watch, return_exceptions=True)


async def _until_let_go(stop: asyncio.Event) -> None:
    """The bot holds the other end of our standard input, and nothing is ever written to it."""
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    try:
        await reader.read()
    finally:
        transport.close()
    stop.set()


def _announcer(ours: bool) -> Callable[[str, str], None]:
    from bot.cli.output import say, say_json

    def by_line(address: str, url: str) -> None:
        say_json({"ready": True, "address": address, "url": url})

    def to_person(address: str, url: str) -> None:
        say(f"The control room is open at {address}", f"  enter once by {url}", "  Ctrl-C closes it; the bot goes on.")

    return by_line if ours else to_person
