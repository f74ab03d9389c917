"""The whole bot with its journal on PostgreSQL, in processes of its own."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import orjson
import pytest

from bot.journal.queries import Queries
from bot.journal.run import BookKey
from tests.app.bot_process import Bot
from tests.app.worlds import a_configuration, an_exchange
from tests.journal.conftest import new_database
from tests.journal.journal_databases import rows


def on_postgres(place: Path, url: str, *arguments: str) -> Bot:
    """A demo on that database, started."""
    return Bot(place, ("--demo", "--seed", "7", "--no-redis", "--no-web", "--json", "--database", url, *arguments)).start()


@pytest.fixture(scope="module")
def server(postgres: str) -> Iterator[str]:
    """An empty database: the bot makes the tables."""
    with new_database(postgres) as url:
        yield url


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory, server: str) -> Iterator[Bot]:
    """A run of six seconds."""
    bot = on_postgres(tmp_path_factory.mktemp("whole"), server, "--duration", "6")
    try:
        assert bot.wait() == 0, bot.stderr[-3000:]
        yield bot
    finally:
        bot.end()


def test_what_the_run_told_is_in_the_database(ran: Bot, server: str) -> None:
    told = ran.told()
    assert told["fills"] > 0
    with Queries(server) as queries:
        run = queries.latest_run()
        assert run is not None
        assert run.closed_cleanly
        assert len(queries.decisions(run=run.id, limit=10_000)) == sum(told["decisions"]["by_source"].values())
        assert len(queries.orders(run=run.id)) == told["orders"]
        fills = queries.fills(run=run.id)
    assert len(fills) == told["fills"]
    assert sum((fill.fee_value for fill in fills), Decimal(0)) == Decimal(told["fees"])
    fates = rows(server, "SELECT fate, count(*) FROM fates GROUP BY fate")
    assert dict(fates) == told["decisions"]["by_fate"]


def test_the_run_is_replayed_byte_for_byte(ran: Bot, server: str) -> None:
    done = ran.tell("replay", "latest", "--json", "--database", server)
    assert done.returncode == 0, done.stderr
    assert orjson.loads(done.stdout)["identical"] is True


@pytest.mark.parametrize(
    ("command", "says"),
    [
        (("orders",), "filled"),
        (("decisions",), "executed"),
        (("db", "check"), "is sound"),
        (("db", "upgrade"), "is at "),
        (("doctor", "--timeout", "2"), "is at "),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_a_command_reads_the_database(ran: Bot, server: str, command: tuple[str, ...], says: str) -> None:
    done = ran.tell(*command, "--database", server)
    assert says in done.stdout
    assert "unused" not in done.stdout + done.stderr


def test_a_backup_is_left_to_the_servers_own_tools(ran: Bot, server: str) -> None:
    done = ran.tell("db", "backup", "--database", server)
    assert done.returncode == 1
    assert "pg_dump" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_password_of_the_database_is_written_nowhere(ran: Bot, server: str) -> None:
    """The server asks for none, so it is in the URL only to be looked for."""
    if ":unused@" not in server:
        pytest.skip("a server of others: its password is theirs")
    written = [path for path in ran.place.rglob("*") if path.is_file()]
    assert [path for path in written if b"unused@" in path.read_bytes()] == []
    assert rows(server, "SELECT count(*) FROM runs r WHERE r::text LIKE '%unused@%'") == [(0,)]


def test_a_killed_bot_goes_on_from_the_database(tmp_path: Path, postgres: str) -> None:
    """With real data, whose books go on: those of a simulated world are made anew."""
    with an_exchange() as url, new_database(postgres) as server:
        config = a_configuration(tmp_path / "config", url)
        options = ("--paper", "--json", "--no-redis", "--no-web", "--config", str(config), "--database", server)
        killed, again = Bot(tmp_path, options), Bot(tmp_path, (*options, "--duration", "3"))
        try:
            killed.start().wait_for(" fill ")
            killed.signalled(signal.SIGKILL)
            assert again.start().wait() == 0, again.stderr[-3000:]
        finally:
            killed.end()
            again.end()
        with Queries(server) as queries:
            last, first = queries.runs()
            final = queries.last_snapshot(BookKey(last.bot, last.mode, last.venue, last.world))
            # A fill that the kill kept out of the recorded inputs is booked once, and told by both runs.
            fills = {fill.id: fill for fill in queries.fills(limit=10_000)}
            assert queries.fills(run=first.id)
    assert (last.closed_cleanly, first.closed_cleanly) == (True, False)
    assert final is not None
    assert isinstance(final.state, dict)
    spent = sum((fill.side.sign * fill.amount * fill.price + fill.fee for fill in fills.values()), Decimal(0))
    assert final.state["desk"].portfolio.cash == Decimal(10_000) - spent
