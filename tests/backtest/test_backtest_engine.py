"""The engine: what a bar does, in which order, and that two runs are one."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from decimal import Decimal

import pytest

from bot.core.decision import Action, Decision, Fate, SourceSpec, Tier
from bot.core.facts import DecisionFate, Fact, FillBooked, LotClosed
from bot.core.market import Candle, MarketView
from tests.backtest.candle_data import BEGIN, BTC, ETH, Fills, Saying, config, crossing, drive, engine_of, market_of, walk

MINUTE = 60_000
RULE = SourceSpec("rules:said", Tier.TRADITIONAL, settle_ms=0)
QC = SourceSpec("quantconnect:said", Tier.QUANTCONNECT, settle_ms=0, hold_blocks=True)


def bar(number: int, opened: float, high: float, low: float, close: float, symbol: str = BTC) -> Candle:
    """A one-minute candle."""
    ts = BEGIN + number * MINUTE
    return Candle(symbol, "1m", ts + MINUTE, ts, opened, high, low, close, 1.0)


def said(action: Action, at: int, spec: SourceSpec = RULE, price: float = 100.0, symbol: str = BTC, **more: float) -> Saying:
    decision = Decision(f"{spec.name}-{action}-{at}", spec.name, spec.tier, symbol, action, 0.8, at, at + 3_600_000, price)
    return Saying(at, replace(decision, **more))  # type: ignore[arg-type]


def traded(script: list[Saying], bars: list[Candle], next_open: bool = True) -> list[Fact]:
    facts: list[Fact] = []
    engine = engine_of(
        desk=config("1m", next_open=next_open), sink=facts.append, script=script, speakers=[RULE, QC], symbols=(BTC, ETH)
    )
    drive(engine, bars)
    return facts


def of(facts: list[Fact], kind: type) -> list[Fact]:
    return [fact for fact in facts if isinstance(fact, kind)]


FIRST = bar(0, 100, 101, 99, 100)
JUST_AFTER = FIRST.at + 1


def test_a_decision_fills_at_the_next_open() -> None:
    facts = traded([said(Action.BUY, JUST_AFTER)], [FIRST, bar(1, 102, 103, 101, 103)])
    (fill,) = of(facts, FillBooked)
    assert isinstance(fill, FillBooked)
    assert (fill.fill.price, fill.fill.ts) == (Decimal(102), JUST_AFTER)


def test_same_close_fills_at_the_close_that_was_decided_on() -> None:
    facts = traded([said(Action.BUY, JUST_AFTER)], [FIRST, bar(1, 102, 103, 101, 103)], next_open=False)
    (fill,) = of(facts, FillBooked)
    assert isinstance(fill, FillBooked)
    assert (fill.fill.price, fill.at) == (Decimal(100), JUST_AFTER)


@pytest.mark.parametrize(
    ("last", "leg", "price"),
    [
        (bar(2, 100, 101, 94, 96), "stop-loss", "95"),
        (bar(2, 90, 92, 89, 91), "stop-loss", "90"),
        (bar(2, 100, 120, 94, 118), "stop-loss", "95"),
        (bar(2, 100, 112, 99, 108), "take-profit", "110"),
        (bar(2, 115, 116, 114, 115), "take-profit", "115"),
    ],
    ids=["at the stop", "gap through the stop", "stop before target", "at the target", "gap beyond the target"],
)
def test_protection_trades_within_the_bar_that_reached_it(last: Candle, leg: str, price: str) -> None:
    script = [said(Action.BUY, JUST_AFTER, stop_loss=95.0, take_profit=110.0)]
    facts = traded(script, [FIRST, bar(1, 100, 101, 99, 100), last])
    (lot,) = of(facts, LotClosed)
    assert isinstance(lot, LotClosed)
    assert (lot.closing_leg, lot.exit, lot.at) == (leg, Decimal(price), last.at)


def test_the_higher_tier_wins_a_symbol_and_the_other_goes_its_own_way() -> None:
    script = [
        said(Action.BUY, JUST_AFTER, QC),
        said(Action.SELL, JUST_AFTER + 1),
        said(Action.BUY, JUST_AFTER + 2, symbol=ETH, price=10.0),
    ]
    eth = [bar(number, 10, 11, 9, 10, ETH) for number in range(3)]
    btc = [FIRST, bar(1, 101, 102, 100, 101), bar(2, 101, 102, 100, 101)]
    facts = traded(script, [candle for pair in zip(btc, eth, strict=True) for candle in pair])
    fates = {fact.decision_id: fact.fate for fact in facts if isinstance(fact, DecisionFate)}
    assert fates == {
        script[0].decision.id: Fate.EXECUTED,
        script[1].decision.id: Fate.OUTRANKED,
        script[2].decision.id: Fate.EXECUTED,
    }


def test_many_symbols_and_sources_share_one_book() -> None:
    symbols = (BTC, ETH)
    fills = Fills()
    sources = [
        crossing("rules:fast", symbols, fast=5, slow=12, rsi=4),
        crossing("rules:large", symbols, "15m", fast=4, slow=9, rsi=3),
    ]
    engine = engine_of(sources, symbols=symbols, sink=fills.see)
    drive(engine, market_of(walk(BTC), walk(ETH, seed=4, price=1_500.0)).candles())
    assert {fact.source for fact in fills} == {"rules:fast", "rules:large"}
    assert {fact.fill.symbol for fact in fills} == set(symbols)
    books = engine.desk.portfolio
    assert books.cash == engine.broker.balances()["USDT"].total
    assert sum(books.earned.values()) == books.realised
    assert engine.bars == 4_000
    assert len(engine.curve.at) == len(set(engine.curve.at)) == 2_000
    assert engine.curve.equity[-1] == books.equity
    assert not engine.desk.state.ignored


def test_a_larger_timeframe_is_built_from_the_data_and_never_shown_early() -> None:
    seen: list[tuple[int, int]] = []
    source = crossing(timeframe="15m", fast=2, slow=3, rsi=1)
    step = source.on_candle

    def watched(candle: Candle, view: MarketView) -> Decision | None:
        seen.append((candle.at, view.now))
        return step(candle, view)

    source.on_candle = watched  # type: ignore[method-assign]
    drive(engine_of([source]), market_of(walk(bars=30)).candles())
    assert len(seen) == 10
    assert all(at == now and at % (15 * MINUTE) == 0 for at, now in seen)


@pytest.mark.parametrize("next_open", [True, False], ids=["next open", "same close"])
def test_the_shadow_of_a_lone_source_equals_the_book(next_open: bool) -> None:
    source = crossing(fast=5, slow=12, rsi=4)
    engine = drive(engine_of([source], config(next_open=next_open)), market_of(walk()).candles())
    shadow = engine.desk.state.shadows["rules:a"]
    assert shadow.trades > 20
    assert shadow.portfolio.realised == engine.desk.portfolio.realised
    assert shadow.portfolio.fees == engine.desk.portfolio.fees
    assert shadow.portfolio.equity == pytest.approx(engine.desk.portfolio.equity, abs=1e-9)


def test_what_is_recorded_between_two_bars_comes_in_time_order_with_the_timers() -> None:
    slow = replace(RULE, settle_ms=5_000)
    script = [said(Action.BUY, JUST_AFTER), said(Action.SELL, JUST_AFTER + 20_000)]
    facts: list[Fact] = []
    engine = engine_of(desk=config("1m"), sink=facts.append, script=script, speakers=[slow])
    drive(engine, [FIRST, bar(1, 100, 101, 99, 100)])
    settled = [fact.at for fact in facts if type(fact).__name__ == "Verdict"]
    assert settled == [JUST_AFTER + 5_000, JUST_AFTER + 25_000]


def fingerprint() -> str:
    """Two symbols, two sources, two timeframes: what traded."""
    fills = Fills()
    symbols = (BTC, ETH)
    sources = [
        crossing("rules:fast", symbols, fast=5, slow=12, rsi=4),
        crossing("rules:large", symbols, "15m", fast=4, slow=9, rsi=3),
    ]
    drive(engine_of(sources, symbols=symbols, sink=fills.see), market_of(walk(BTC), walk(ETH, seed=4, price=1_500.0)).candles())
    return f"{len(fills)} {fills.fingerprint()}"


def test_two_runs_are_one_whatever_the_hash_seed() -> None:
    code = f"import sys; sys.path[:0] = {sys.path!r}; import test_backtest_engine as t; print(t.fingerprint())"
    others = {
        subprocess.run(
            [sys.executable, "-c", code],
            env=os.environ | {"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        ).stdout.strip()
        for seed in ("1", "2")
    }
    assert others == {fingerprint()}


def test_work_on_speed_has_not_changed_what_trades() -> None:
    """A change of what the desk is meant to do changes this on purpose; then, and only then, write the new one here."""
    assert fingerprint() == "271 8448b9d857921d09"
