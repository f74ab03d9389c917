"""A bot on a real-looking venue that misbehaves, killed without warning and started again."""

from __future__ import annotations

import math
import signal
import sqlite3
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from decimal import Decimal

import pytest

from bot.core.inputs import Filled, IntentStored
from bot.core.market import Candle, Quote
from bot.core.orders import OrderState
from bot.journal.queries import Queries
from bot.journal.reading import SegmentReader, segment_paths
from bot.journal.run import BookKey
from tests.app.bot_process import Bot, eventually
from tests.app.worlds import a_configuration, an_exchange, switch
from tests.servers import free_port


@dataclass
class Story:
    """What one test after another looks at: an exchange, a bot that was killed on it, the same bot started again."""

    exchange: str
    killed: Bot
    again: Bot


def database(bot: Bot) -> str:
    return f"sqlite:///{bot.data / 'arbiter.db'}"


def refused(bot: Bot) -> float:
    """Market events that the bot's feed refused or could not read."""
    port = bot.settings["ARBITER_METRICS__PORT"]
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
        lines = answer.read().decode().splitlines()
    return sum(float(line.split(" ")[1]) for line in lines if line.startswith("bot_feed_drops_total"))


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    """Absurd prices, poison and a lost connection, then `kill -9` in the middle of trading, then a start on what is left."""

    place = tmp_path_factory.mktemp("crash")
    with an_exchange() as url:
        config = a_configuration(place / "config", url)
        port = {"ARBITER_METRICS__PORT": str(free_port())}
        killed = Bot(place, ("--paper", "--json", "--no-redis", "--config", str(config)), port).start()
        again = Bot(place, ("--paper", "--json", "--no-redis", "--config", str(config), "--duration", "4"))
        try:
            killed.wait_for(" fill ")
            switch(url, fault="absurd", factor=100.0, count=2)
            switch(url, fault="absurd", text="NaN", count=2)
            switch(url, fault="absurd", streams="*@trade", factor=0.001, count=2)
            switch(url, fault="poison")
            eventually(lambda: refused(killed) >= 8, "the refusal of what is absurd")
            switch(url, fault="disconnect", how="abort")
            filled = killed.stderr.count(" fill ")
            eventually(lambda: killed.stderr.count(" fill ") > filled, "a fill after the connection was lost", 30)
            code, _ = killed.signalled(signal.SIGKILL)
            assert code == -signal.SIGKILL
            (place / "stderr").rename(place / "killed-stderr")
            again.start()
            again.wait(60)
            yield Story(url, killed, again)
        finally:
            killed.end()
            again.end()


def test_absurd_prices_and_poison_never_reach_a_source(story: Story) -> None:
    run = first_run(story)
    seen = 0
    band: dict[str, float] = {}
    for recorded in SegmentReader(segment_paths(story.killed.data, run)):
        event = recorded.event
        prices = (event.bid, event.ask) if isinstance(event, Quote) else (event.close,) if isinstance(event, Candle) else ()
        for price in prices:
            assert isinstance(event, Quote | Candle)
            assert math.isfinite(price)
            before = band.setdefault(event.symbol, price)
            assert 0.5 < price / before < 2
            seen += 1
    assert seen > 40


def test_the_journal_of_a_killed_bot_opens_and_nothing_acknowledged_is_lost(story: Story) -> None:
    run = first_run(story)
    with closing(sqlite3.connect(story.killed.data / "arbiter.db")) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    acknowledged = {
        recorded.event.order_id
        for recorded in SegmentReader(segment_paths(story.killed.data, run))
        if isinstance(recorded.event, IntentStored)
    }
    assert acknowledged
    with Queries(database(story.killed)) as queries:
        for order in acknowledged:
            assert OrderState.INTENT in [event.state for event in queries.order_events(order)]
        first = queries.run(run)
    assert first is not None
    assert first.ended is None
    assert first.closed_cleanly is False


def test_the_bot_starts_again_on_its_own_and_its_books_go_on(story: Story) -> None:
    assert story.again.wait() == 0, story.again.stderr[-3000:]
    told = story.again.told()
    run = first_run(story)
    assert told["run"] != run
    assert told["simulated"] is False
    with Queries(database(story.again)) as queries:
        second = queries.run(told["run"])
        assert second is not None
        assert second.closed_cleanly is True
        before = queries.fills(run=run, limit=10_000)
        after = queries.fills(run=told["run"], limit=10_000)
        final = queries.last_snapshot(BookKey(second.bot, second.mode, second.venue, second.world))
    assert before
    # A fill that the crash kept out of the recorded inputs is booked once, and told by both runs.
    fills = {fill.id: fill for fill in (*before, *after)}
    assert final is not None
    assert isinstance(final.state, dict)
    books = final.state["desk"].portfolio
    cash = Decimal(10_000)
    held: dict[str, Decimal] = {}
    for fill in fills.values():
        cash -= fill.side.sign * fill.amount * fill.price + fill.fee
        held[fill.symbol] = held.get(fill.symbol, Decimal(0)) + fill.side.sign * fill.amount
    assert books.cash == cash
    assert {name: position.amount for name, position in books.positions.items() if position.amount} == {
        name: amount for name, amount in held.items() if amount
    }


def test_every_fill_that_was_recorded_as_an_input_is_in_the_books_tables(story: Story) -> None:
    """The inputs and the tables are written by two threads; after recovery both know the same fills."""
    run = first_run(story)
    recorded = {
        recorded.event.fill.id
        for recorded in SegmentReader(segment_paths(story.killed.data, run))
        if isinstance(recorded.event, Filled)
    }
    with Queries(database(story.again)) as queries:
        journaled = {fill.id for fill in queries.fills(limit=10_000)}
    assert recorded
    assert recorded <= journaled


def first_run(story: Story) -> str:
    with Queries(database(story.killed)) as queries:
        return queries.runs()[-1].id


def test_what_a_killed_bot_recorded_replays_and_so_does_the_run_that_went_on_from_it(story: Story) -> None:
    for run in (first_run(story), story.again.told()["run"]):
        replayed = story.again.tell("replay", run)
        assert replayed.returncode == 0, replayed.stdout + replayed.stderr
