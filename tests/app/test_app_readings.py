"""What a scrape reads of the desk and the journal: how they are, not how they were told last."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from bot.app.readings import _bind_desk, _bind_feed, _bind_journal, _bind_stages, _Minds
from bot.app.world import World
from bot.core.decision import Action
from bot.core.facts import FillBooked
from bot.core.inputs import SetTradingState, TradingState
from bot.market.feed_stats import FeedStatistics
from bot.secrets import Secrets
from bot.services.ground import own_ground
from bot.services.llm.access import minds_of
from bot.settings import load
from tests.factories import BTC, ETH
from tests.runtime.shell_rig import Rig, running


async def scraped(rig: Rig) -> dict[str, float]:
    """The samples of a scrape, by name and labels."""
    text, _ = await rig.shell.outlets.metrics.scrape()
    lines = [line.rpartition(" ") for line in text.decode().splitlines() if not line.startswith("#")]
    return {name: float(value) for name, _, value in lines}


async def test_the_worth_of_the_book_is_that_of_the_newest_price(tmp_path: Path) -> None:
    async with running(tmp_path) as rig:
        _bind_desk(rig.shell)
        rig.quote(100.0)
        await rig.propose(Action.BUY)
        await rig.facts.count(FillBooked)
        rig.quote(150.0)
        await rig.settled()
        found = await scraped(rig)
        books = rig.shell.desk.portfolio
        assert found["bot_equity"] == books.equity > 10_000
        assert found[f'bot_position_quote{{symbol="{BTC}"}}'] == float(books.amount(BTC)) * 150.0
        assert (found["bot_positions_open"], found["bot_cash"]) == (1, float(books.cash))
        assert found["bot_exposure_ratio"] == books.exposure / books.equity


async def test_a_kill_switch_of_an_earlier_run_is_seen(tmp_path: Path) -> None:
    """No fact says it anew when a halted bot starts again: it is read from the desk."""
    async with running(tmp_path) as rig:
        _bind_desk(rig.shell)
        rig.shell.desk.state.risk.state = TradingState.HALTED
        found = await scraped(rig)
        assert (found["bot_kill_switch"], found['bot_trading_state{state="halted"}']) == (1, 1)
        rig.inbox.put_command(SetTradingState(rig.now, TradingState.ACTIVE, "test", ""))
        await rig.settled()
        found = await scraped(rig)
        assert (found["bot_kill_switch"], found['bot_trading_state{state="active"}']) == (0, 1)


async def test_the_journal_s_lag_is_how_long_rows_wait_while_it_cannot_write(tmp_path: Path) -> None:
    async with running(tmp_path) as rig:
        _bind_journal(rig.shell)
        await rig.shell.journal.flush()
        found = await scraped(rig)
        assert found["bot_journal_up"] == 1
        assert found["bot_journal_lag_seconds"] < 1
        before = found["bot_journal_commit_seconds_count"]
        with closing(sqlite3.connect(rig.database, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            rig.quote(100.0)
            await rig.propose(Action.BUY)
            async with asyncio.timeout(20):
                while not _is_waiting(await scraped(rig)):
                    await asyncio.sleep(0.01)
            other.execute("ROLLBACK")
        await rig.shell.journal.flush()
        async with asyncio.timeout(20):
            while (found := await scraped(rig))["bot_journal_lag_seconds"] > 0.1 or not found["bot_journal_up"]:
                await asyncio.sleep(0.01)
        assert found["bot_journal_commit_seconds_count"] > before


def _is_waiting(found: Mapping[str, float]) -> bool:
    """Whether one scrape says all of it; what the writer has in its hands just now is not in the backlog."""
    behind = found["bot_journal_lag_seconds"] >= 0.3 and found["bot_journal_backlog"] > 0
    return behind and found["bot_journal_up"] == 0 and found["bot_journal_failures_total"] > 0


async def test_the_stages_are_served_as_histograms(tmp_path: Path) -> None:
    async with running(tmp_path) as rig:
        _bind_stages(rig.shell)
        rig.quote(100.0)
        await rig.propose(Action.BUY)
        await rig.facts.count(FillBooked)
        await rig.shell.journal.flush()
        found = await scraped(rig)
        names = ("decision_intent", "intent_stored", "intent_sent", "order_accepted", "order_filled")
        assert [found[f"bot_{name}_seconds_count"] for name in names] == [1] * len(names)
        assert found["bot_decision_latency_seconds_count"] == 1
        assert found["bot_event_handled_seconds_count"] >= 2
        assert found["bot_decision_latency_seconds_sum"] > 0


def a_world(*symbols: str) -> World:
    """As much of a world as the readings of a feed look at: it follows these symbols."""
    feed = SimpleNamespace(statistics=FeedStatistics(), instruments=dict.fromkeys(symbols))
    world: Any = SimpleNamespace(feed=feed)
    world.concerned = lambda desk: World.concerned(world, desk)
    return cast("World", world)


async def test_the_age_of_market_data_is_told_of_symbols_that_are_followed_or_held_and_of_no_others(tmp_path: Path) -> None:
    async with running(tmp_path) as rig:
        _bind_feed(rig.shell, a_world(ETH))
        for symbol in (BTC, ETH):
            rig.quote(100.0, symbol)
        await rig.settled()
        age = "bot_feed_last_event_timestamp_seconds"
        assert {name for name in await scraped(rig) if name.startswith(age)} == {f'{age}{{symbol="{ETH}"}}'}
        await rig.propose(Action.BUY)
        await rig.facts.count(FillBooked)
        found = {name for name in await scraped(rig) if name.startswith(age)}
        assert found == {f'{age}{{symbol="{BTC}"}}', f'{age}{{symbol="{ETH}"}}'}


async def test_a_model_whose_provider_has_no_key_is_not_one_that_is_down_but_a_refused_key_is_told(tmp_path: Path) -> None:
    loaded = load(overrides={"bot.data_dir": tmp_path / "data"}, environ={})
    keys = {"ANTHROPIC_API_KEY": "sk-none"}
    async with own_ground(loaded, Secrets(tmp_path / "data", keys), lambda: 1_795_000_000_000) as ground:
        seen = _Minds(ground, cast("Any", None), {})
        assert seen.up() == {}
        minds = await minds_of(ground)
        assert len(minds.disabled) > 1, "the shipped settings name providers that nobody gave a key"
        assert {provider for provider, _ in seen.up()} == {"anthropic"}
        assert all(seen.up().values())
        minds.router.disable("anthropic", "authentication: the key was refused")
        assert seen.up()
        assert not any(seen.up().values())
