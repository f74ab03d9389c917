"""The parts of a rig: each does to the bot what a drill says it does."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from decimal import Decimal
from pathlib import Path

import pytest
import redis.asyncio
import yaml

from bot.core.market import Side
from bot.drill.child import Child
from bot.drill.database import SqliteDatabase
from bot.drill.redis import StandIn
from bot.drill.rig import configure
from bot.drill.venue import DrillVenue
from bot.drill.waiting import NeverHappened, until
from bot.drill.wire import Wire
from bot.drill.witness import Witness
from bot.settings import load
from simulators.exchange.orders import Kind, Ticket


async def test_a_wait_for_what_never_happens_ends_and_says_what_for() -> None:
    with pytest.raises(NeverHappened, match=r"rain did not happen within 0\.1 s"):
        await until(lambda: False, "rain", 0.1)


async def test_a_wire_carries_both_ways_until_it_is_cut_and_again_when_it_is_mended() -> None:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(100):
            writer.write(data.upper())
        writer.close()

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    wire = Wire("127.0.0.1", server.sockets[0].getsockname()[1])
    await wire.connect()
    port = wire.port
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"hello")
    assert await asyncio.wait_for(reader.read(100), 20) == b"HELLO"
    await wire.cut()
    with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
        await asyncio.wait_for(reader.readexactly(1), 20)
    writer.close()
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", port)
    await wire.connect()
    assert wire.port == port
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"again")
    assert await asyncio.wait_for(reader.read(100), 20) == b"AGAIN"
    writer.close()
    await wire.cut()
    server.close()


async def test_the_stand_in_is_a_redis_to_its_client_and_gone_when_it_is_down() -> None:
    server = StandIn()
    await server.up()
    client = redis.asyncio.Redis.from_url(server.url)
    assert await client.ping()
    assert await client.publish("channel", "words") == 0
    assert server.commands["PUBLISH"] == 1
    await server.down()
    with pytest.raises(redis.exceptions.ConnectionError):
        await client.publish("channel", "words")
    await server.up()
    assert await client.ping()
    await client.aclose()
    await server.down()


async def test_a_locked_database_lets_nobody_write_until_the_lock_is_gone(tmp_path: Path) -> None:
    database = SqliteDatabase(tmp_path)
    with closing(sqlite3.connect(database.path, timeout=0.05, isolation_level=None)) as ours:
        ours.execute("CREATE TABLE t (x)")
        async with database.locked():
            with pytest.raises(sqlite3.OperationalError, match="locked"):
                ours.execute("INSERT INTO t VALUES (1)")
        ours.execute("INSERT INTO t VALUES (1)")


async def test_the_witness_sees_whether_the_intent_was_there_when_the_order_came(tmp_path: Path) -> None:
    path = tmp_path / "arbiter.db"
    with closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE order_events (order_id TEXT, state TEXT)")
        db.execute("INSERT INTO order_events VALUES ('dr1', 'intent'), ('dr2', 'sent')")
        db.commit()
    async with DrillVenue() as venue:
        witness = Witness(f"sqlite:///{path}", "dr")
        venue.arrivals.append(witness)
        for name in ("dr1", "dr2", "somebody"):
            ticket = Ticket("BTC/USDT", Side.BUY, Kind.MARKET, Decimal("0.001"), client_id=name)
            venue.simulator.engine.place(venue.account, ticket, venue.simulator.venue.now())
    assert witness.seen == 2
    assert witness.findings == ["order dr2 arrived at the venue before its intent was in the journal"]


async def test_a_journal_that_cannot_be_read_is_a_finding_and_no_acquittal(tmp_path: Path) -> None:
    async with DrillVenue() as venue:
        witness = Witness(f"sqlite:///{tmp_path / 'none.db'}", "dr")
        venue.arrivals.append(witness)
        ticket = Ticket("BTC/USDT", Side.BUY, Kind.MARKET, Decimal("0.001"), client_id="dr1")
        venue.simulator.engine.place(venue.account, ticket, venue.simulator.venue.now())
    assert len(witness.findings) == 1
    assert "could not be looked for" in witness.findings[0]


@pytest.mark.parametrize("dialect", ["binance", "okx"])
async def test_the_configuration_of_a_drill_is_live_on_loopback_and_holds_no_key(tmp_path: Path, dialect: str) -> None:
    async with DrillVenue(dialect) as venue:
        bot = Child(tmp_path, venue.environment())
        configure(bot, venue, SqliteDatabase(tmp_path), {"desk": {"entry": "limit"}, "risk": {"stale_after": "3s"}})
        settings = load(bot.config, environ={}).settings
        assert settings.exchange.id == dialect
        assert all(url.split("/")[2] == venue.url.split("/")[2] for url in settings.exchange.urls.values())
        assert (settings.live.confirm, settings.desk.entry, settings.risk.stale_after) == ("I-understand", "limit", 3_000)
        assert settings.desk.settle_ms.llm == 0
        written = yaml.safe_dump(yaml.safe_load((bot.config / "bot.yaml").read_text()))
        assert venue.keys.secret not in written
        assert venue.keys.key not in written
