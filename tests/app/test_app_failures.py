"""A run that cannot begin, or cannot go on, says so in one line and leaves nothing open."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import socket
import sqlite3
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import structlog

from bot import app
from bot.app.alone import alone_in
from bot.cli import main
from bot.core.facts import Fact
from bot.core.market import Quote
from bot.journal.queries import Queries
from bot.market.ccxt_feed import CcxtFeed
from bot.outlets.errors import AlreadyRunning, OutletError
from bot.outlets.rendezvous import FEED_FILE
from bot.secrets import Secrets
from bot.settings import BannerFacts, MinuteFacts, RunMode, RunOptions, RunSummary, load
from execution.paper import PaperBroker
from sources.recorded import RecordedSource
from tests.app.bot_process import ROOT
from tests.app.worlds import a_configuration, an_exchange
from tests.outlets.notify_hook import standing_hook

Cli = Callable[..., tuple[int, str, str]]


@pytest.fixture(autouse=True)
def _surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The repository's configuration, none of anybody's variables, and the logging of the tests afterwards."""
    for name in list(os.environ):
        if name.startswith("ARBITER_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("ARBITER_KEY_FILE", str(tmp_path / "master.key"))
    monkeypatch.setenv("ARBITER_METRICS__PORT", "0")
    monkeypatch.setenv("ARBITER_WEB__ENABLED", "false")
    monkeypatch.chdir(ROOT)
    root = logging.getLogger()
    level, handlers = root.level, list(root.handlers)
    interval = sys.getswitchinterval()
    yield
    sys.setswitchinterval(interval)
    gc.unfreeze()
    for handler in set(root.handlers) - set(handlers):
        root.removeHandler(handler)
        handler.close()
    root.setLevel(level)
    logging.captureWarnings(False)
    structlog.reset_defaults()


@pytest.fixture
def cli(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Cli:
    """Run a command in this process on a data directory of its own: code, stdout, stderr. No thread may outlive it."""

    def run(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        before = set(threading.enumerate())
        code = main([*arguments, "--data-dir", str(tmp_path / "data")])
        out, err = capsys.readouterr()
        assert [thread.name for thread in set(threading.enumerate()) - before] == []
        return code, out, err

    return run


def errors_of(err: str) -> list[str]:
    """What a person is told on stderr: everything but log lines."""
    return [line for line in err.splitlines() if not line.startswith("{")]


def test_a_metrics_port_that_is_taken_is_one_line_and_leaves_a_closed_journal(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        monkeypatch.setenv("ARBITER_METRICS__PORT", str(port))
        code, out, err = cli("--demo", "--duration", "1", "--json", "--no-redis")
    assert code == 1
    assert out == ""
    (line,) = errors_of(err)
    assert line.startswith(f"error: metrics.port {port} on 127.0.0.1 cannot be had")
    assert not (tmp_path / "data" / FEED_FILE).exists()
    with Queries(f"sqlite:///{tmp_path / 'data' / 'arbiter.db'}") as queries:
        run = queries.latest_run()
    assert run is not None
    assert run.ended is not None
    with alone_in(tmp_path / "data"):
        pass


def test_a_corrupt_database_is_one_line_that_names_the_file_and_is_not_touched(cli: Cli, tmp_path: Path) -> None:
    database = tmp_path / "data" / "arbiter.db"
    database.parent.mkdir()
    database.write_bytes(b"this is no database, " * 1000)
    code, out, err = cli("--demo", "--duration", "1", "--json", "--no-redis")
    assert (code, out) == (1, "")
    (line,) = errors_of(err)
    assert line.startswith("error: ")
    assert "arbiter.db" in line
    assert database.read_bytes() == b"this is no database, " * 1000


def test_a_locked_database_at_the_start_is_one_line(cli: Cli, tmp_path: Path) -> None:
    assert cli("--demo", "--duration", "0.1", "--json", "--no-redis")[0] == 0
    with closing(sqlite3.connect(tmp_path / "data" / "arbiter.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        code, out, err = cli("--demo", "--duration", "1", "--json", "--no-redis")
        other.execute("ROLLBACK")
    assert (code, out) == (1, "")
    (line,) = errors_of(err)
    assert "arbiter.db cannot be written" in line


def test_a_data_directory_that_cannot_be_one_is_refused_with_key_and_remedy(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file")
    code, out, err = cli("--demo", "--duration", "1", "--json", "--no-redis")
    assert (code, out) == (4, "")
    (line,) = errors_of(err)
    assert f"bot.data_dir = {tmp_path / 'data'}" in line
    assert "choose" in line


def test_live_is_refused_without_its_confirmation_and_touches_nothing(cli: Cli, tmp_path: Path) -> None:
    code, out, err = cli("--live")
    assert (code, out) == (4, "")
    (line,) = errors_of(err)
    assert "live.confirm" in line
    assert "I-understand" in line
    assert not (tmp_path / "data").exists()


def test_a_symbol_that_the_venue_does_not_list_is_refused_with_key_and_value(cli: Cli, tmp_path: Path) -> None:
    with an_exchange() as url:
        config = a_configuration(tmp_path / "config", url)
        code, out, err = cli("--paper", "--config", str(config), "--symbols", "BTC/USDT,NOPE/USDT", "--no-redis")
    assert (code, out) == (4, "")
    (line,) = errors_of(err)
    assert "exchange.symbols" in line
    assert "NOPE/USDT" in line


def test_a_venue_that_cannot_be_reached_makes_the_whole_world_simulated_and_says_so(cli: Cli, tmp_path: Path) -> None:
    config = a_configuration(tmp_path / "config", "http://127.0.0.1:1", embedded="auto", connect_timeout="60s")
    (config / "demo").mkdir()
    code, out, err = cli("--paper", "--config", str(config), "--duration", "1", "--json", "--no-redis")
    assert code == 0, err
    assert '"simulated":true' in out
    assert '"mode":"paper"' in out
    assert "[ PAPER · SIMULATED ]" in err
    assert "cannot be reached" in err


def test_a_venue_that_cannot_be_reached_is_an_error_where_no_simulation_is_allowed(cli: Cli, tmp_path: Path) -> None:
    config = a_configuration(tmp_path / "config", "http://127.0.0.1:1", connect_timeout="60s")
    code, out, err = cli("--paper", "--config", str(config), "--duration", "1", "--json", "--no-redis")
    assert (code, out) == (4, "")
    (line,) = errors_of(err)
    assert "embedded: auto" in line


class Watching:
    """A watcher that lets a test act once the run is ready."""

    def __init__(self) -> None:
        self.ready = asyncio.Event()
        self.notices: list[str] = []

    def started(self, banner: BannerFacts) -> None:
        self.ready.set()

    def saw(self, fact: Fact) -> None:
        pass

    def minute(self, facts: MinuteFacts) -> None:
        pass

    def noticed(self, text: str) -> None:
        self.notices.append(text)


def begin(
    place: Path, watcher: Watching, settings: Mapping[str, object] | None = None, duration: float | None = None
) -> asyncio.Task[RunSummary]:
    """A demo in this process."""
    options = RunOptions(mode=RunMode.DEMO, data_dir=place / "data", duration=duration, seed=2)
    given = {"redis.url": "off", **options.overrides(), **(settings or {})}
    loaded = load(ROOT / "config", overrides=given, environ={"ARBITER_METRICS__PORT": "0", "ARBITER_WEB__ENABLED": "false"})
    return asyncio.create_task(app.run(options, loaded, Secrets(place / "data"), watcher))


def open_sockets() -> int:
    """Sockets of this process."""
    folder = Path("/proc/self/fd")
    found = 0
    for link in folder.iterdir():
        try:
            found += os.readlink(link).startswith("socket:")
        except OSError:
            continue
    return found


async def test_a_run_leaves_no_task_no_thread_and_no_socket_behind(tmp_path: Path) -> None:
    tasks, sockets = asyncio.all_tasks(), open_sockets()
    threads = {thread.name for thread in threading.enumerate()}
    summary = await begin(tmp_path, Watching(), duration=1.0)
    assert summary.market_events > 0
    assert asyncio.all_tasks() == tasks
    left = [thread for thread in threading.enumerate() if thread.name not in threads and not thread.name.startswith("asyncio_")]
    for thread in left:  # asyncio's watcher of a child tells that it ended, and then ends itself
        thread.join(5.0)
    assert [thread.name for thread in left if thread.is_alive()] == []
    assert open_sockets() <= sockets


async def test_a_desk_that_fails_ends_the_run_with_that_fault_and_closes_everything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: PaperBroker, quote: Quote) -> None:
        message = f"no way to fill at {quote.bid}"
        raise ArithmeticError(message)

    monkeypatch.setattr(PaperBroker, "on_quote", fail)
    tasks, sockets = asyncio.all_tasks(), open_sockets()
    with pytest.raises(ArithmeticError, match="no way to fill"):
        await asyncio.wait_for(begin(tmp_path, Watching()), 20)
    assert asyncio.all_tasks() == tasks
    assert open_sockets() <= sockets
    assert not {"journal", "segments"} & {thread.name for thread in threading.enumerate()}
    with alone_in(tmp_path / "data"):
        pass


async def test_a_run_that_ends_by_an_error_tells_the_channels_and_a_cancelled_one_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with standing_hook() as hook:
        monkeypatch.setenv("ARBITER_SECRET_HOOK", hook.url)
        settings = {"notifications.channels.phone.url_secret": "HOOK"}
        watcher = Watching()
        running = begin(tmp_path, watcher, settings)
        await asyncio.wait_for(watcher.ready.wait(), 20)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(running, 20)
        assert [post["title"] for post in hook.posts if "ended" in post["title"]] == []

        def fail(self: PaperBroker, quote: Quote) -> None:
            message = f"no way to fill at {quote.bid}"
            raise ArithmeticError(message)

        monkeypatch.setattr(PaperBroker, "on_quote", fail)
        with pytest.raises(ArithmeticError):
            await asyncio.wait_for(begin(tmp_path, Watching(), settings), 20)
        (last,) = [post for post in hook.posts if "ended" in post["title"]]
    assert last["title"] == "[arbiter DEMO SIMULATED] The bot has ended by an error"
    assert last["message"].startswith("ArithmeticError: no way to fill at ")
    assert last["type"] == "failure"


async def test_a_run_that_ends_by_an_error_waits_for_a_slow_service_to_take_its_last_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: PaperBroker, quote: Quote) -> None:
        raise ArithmeticError

    monkeypatch.setattr(PaperBroker, "on_quote", fail)
    async with standing_hook() as hook:
        monkeypatch.setenv("ARBITER_SECRET_HOOK", hook.url)
        hook.silent.clear()
        running = begin(tmp_path, Watching(), {"notifications.channels.phone.url_secret": "HOOK"})
        await hook.heard(1, 20.0)
        asyncio.get_running_loop().call_later(1.2, hook.silent.set)
        with pytest.raises(ArithmeticError):
            await asyncio.wait_for(running, 20)
    with closing(sqlite3.connect(tmp_path / "data" / "arbiter.db")) as database:
        rows = database.execute("SELECT outcome FROM notify_deliveries WHERE title LIKE '%has ended by an error'").fetchall()
    assert rows == [("delivered",)]


async def test_a_cancelled_run_closes_everything(tmp_path: Path) -> None:
    tasks, sockets = asyncio.all_tasks(), open_sockets()
    watcher = Watching()
    running = begin(tmp_path, watcher)
    await asyncio.wait_for(watcher.ready.wait(), 20)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(running, 20)
    assert asyncio.all_tasks() == tasks
    assert open_sockets() <= sockets
    assert not {"journal", "segments"} & {thread.name for thread in threading.enumerate()}


async def swallow(*_: Any) -> None:
    """Ignores every cancellation."""
    while True:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            continue


async def test_a_feed_and_sources_that_ignore_their_cancellation_do_not_hold_up_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(CcxtFeed, "run", swallow)
    monkeypatch.setattr(RecordedSource, "run", swallow)
    seconds = await stopped_after(tmp_path)
    assert seconds < 4


async def test_a_redis_that_never_answers_and_a_locked_journal_do_not_hold_up_the_end(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as hole:
        url = f"redis://127.0.0.1:{hole.getsockname()[1]}/0"
        database = tmp_path / "data" / "arbiter.db"

        def lock() -> sqlite3.Connection:
            other = sqlite3.connect(database, isolation_level=None)
            other.execute("BEGIN IMMEDIATE")
            return other

        seconds = await stopped_after(tmp_path, lock, {"redis.url": url})
    assert seconds < 4.8
    assert list((tmp_path / "data").glob("arbiter.db.rescue-*")), "what the database refused was not kept beside it"


async def stopped_after(
    tmp_path: Path, hinder: Callable[[], sqlite3.Connection] | None = None, settings: Mapping[str, object] | None = None
) -> float:
    """Start, get in the way, ask it to stop as SIGTERM does; how many seconds that took."""
    loop = asyncio.get_running_loop()
    watcher = Watching()
    running = begin(tmp_path, watcher, settings)
    await asyncio.wait_for(watcher.ready.wait(), 20)
    await asyncio.sleep(0.5)
    other = hinder() if hinder is not None else None
    try:
        began = loop.time()
        os.kill(os.getpid(), 15)
        await asyncio.wait_for(asyncio.wait([running]), 20)
        took = loop.time() - began
        running.result()
        return took
    finally:
        if other is not None:
            other.close()


async def test_a_second_run_in_one_directory_is_refused_before_anything_is_opened(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    with alone_in(tmp_path / "data"), pytest.raises(AlreadyRunning, match=f"process {os.getpid()} already runs a bot"):
        await begin(tmp_path, Watching())
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["bot.lock"]


async def test_a_remote_metrics_address_is_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(OutletError, match=r"metrics\.host"):
        await begin(tmp_path, Watching(), {"metrics.host": "0.0.0.0"})
