"""No sequence of inputs makes the desk raise, however absurd, and none of it spoils the books."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bot.core.decision import Abstention, Action, Claim, Decision, OnExpiry, SourceSpec, Tier
from bot.core.desk import DeskConfig, Drive, TradingDesk
from bot.core.effects import StoreIntent
from bot.core.inputs import (
    Abstained,
    Backlog,
    CancelRefused,
    CashMoved,
    Claimed,
    Closing,
    Filled,
    Input,
    InstrumentChanged,
    IntentFailed,
    IntentStored,
    MarketHealth,
    OrderAccepted,
    OrderClosed,
    OrderNotSent,
    OrderRefused,
    OrderUnknown,
    Proposed,
    SetTradingState,
    SourceJoined,
    SourceLeft,
    TradingState,
    Wake,
)
from bot.core.market import Candle, Health, Instrument, Quote, Side
from bot.core.orders import Fill
from bot.journal.codec import decode_snapshot, encode_effects, encode_snapshot
from tests.factories import BTC, ETH, QC, RULE, T0, DeskHarness, a_config, a_quote, a_source, an_instrument

ORDINARY = (100.0, 101.0, 99.0, 100.0, 100.0)
ABSURD_FLOATS = (math.nan, math.inf, -math.inf, 0.0, -1.0, 1e-300, 1e300, 5e-324, 1e-9, 1e12, 1.7e308)
ABSURD_MONEY = ("NaN", "sNaN", "Infinity", "-Infinity", "0", "-1", "1e-30", "1e30", "1e999", "1e14", "0.1", "1", "3", "-0")

floats = st.sampled_from(ORDINARY * 3 + ABSURD_FLOATS)
money = st.sampled_from([Decimal(text) for text in ABSURD_MONEY])
amounts = st.sampled_from([Decimal(text) for text in ("1", "3", "5", "10", "0.5")]) | money
times = st.integers(0, 120_000).map(lambda step: T0 + step) | st.sampled_from([-(10**18), 0, T0, T0 + 86_400_000, 10**15])
symbols = st.sampled_from([BTC, BTC, BTC, ETH, "", "BTC", "X/Y/Z"])
names = st.sampled_from([QC, RULE, RULE, "nobody", ""])
maybe = st.none() | floats
orders = st.integers(0, 5)
"""Which of the newest orders an answer is about."""


def decisions() -> st.SearchStrategy[Decision]:
    return st.builds(
        Decision,
        id=st.integers(0, 10**6).map(lambda number: f"d{number}") | st.sampled_from(["", "same"]),
        source=names,
        tier=st.sampled_from(Tier),
        symbol=symbols,
        action=st.sampled_from(Action),
        confidence=st.floats(0, 1) | floats,
        created=times,
        expires=times | st.integers(T0 + 1, T0 + 10**6) | st.just(10**30),
        price=floats,
        stop_loss=maybe,
        take_profit=maybe,
        trailing=maybe | st.just(0.05),
        size_fraction=maybe | st.just(0.5),
        external_id=st.none() | st.sampled_from(["", "x"]),
        cost=money,
    )


INSTRUMENTS = st.builds(
    Instrument,
    symbol=st.sampled_from([BTC, ETH, "", "ETH/BTC"]),
    base=st.sampled_from(["BTC", "ETH", ""]),
    quote=st.sampled_from(["USDT", "USDT", "BTC"]),
    price_step=money,
    amount_step=money | st.just(Decimal("0.0001")),
    min_amount=money,
    min_cost=money,
    maker_fee=money | st.just(Decimal("0.001")),
    taker_fee=money | st.just(Decimal("0.001")),
    max_amount=st.none() | money,
    max_market_amount=st.none() | money,
    active=st.booleans(),
)
SPECS = st.builds(
    SourceSpec,
    name=names,
    tier=st.sampled_from(Tier),
    capital=money | st.just(Decimal(1)),
    threshold=st.just(0.0) | floats,
    settle_ms=st.sampled_from([0, 250, -5, 10**18]),
    max_claim_ms=st.sampled_from([0, 1_000, -5, 10**18]),
    hold_blocks=st.booleans(),
    adds=st.booleans(),
    on_expiry=st.sampled_from(OnExpiry),
    sizing=st.none() | st.sampled_from(["plain", "nothing"]),
)
QUOTES = st.builds(Quote, symbols, times, times, floats, floats, floats, floats, floats, floats, floats, floats) | st.builds(
    a_quote, floats, times, symbols
)
CANDLES = st.builds(Candle, symbols, st.sampled_from(["1m", "5m", "", "x"]), times, times, floats, floats, floats, floats, floats)
FILLS = st.tuples(
    orders,
    st.integers(0, 9),
    symbols,
    st.sampled_from([None, None, *Side]),
    amounts,
    amounts,
    money,
    st.sampled_from(["USDT", "BTC", "BNB", ""]),
)
OTHERS: st.SearchStrategy[Input] = st.one_of(
    st.builds(Claimed, times, st.builds(Claim, names, st.sampled_from(Tier), symbols, times)),
    st.builds(Abstained, times, st.builds(Abstention, names, st.sampled_from(Tier), symbols, st.just("x"))),
    st.builds(Wake, times),
    st.builds(SetTradingState, times, st.sampled_from(TradingState), st.just("o"), st.just("r"), st.booleans()),
    st.builds(SourceJoined, times, SPECS | st.sampled_from([a_source(QC), a_source(RULE)])),
    st.builds(SourceLeft, times, names),
    st.builds(MarketHealth, times, symbols, st.sampled_from(Health)),
    st.builds(InstrumentChanged, times, INSTRUMENTS | st.sampled_from([an_instrument(BTC), an_instrument(ETH)])),
    st.builds(CashMoved, times, money, st.sampled_from(["USDT", "BTC", ""]), st.just("r")),
    st.builds(Backlog, times, st.integers(-5, 5), st.booleans()),
)
ANSWERS = st.tuples(
    st.sampled_from(["stored", "failed", "accepted", "refused", "unknown", "closed", "uncancelled"]), orders, times, money
)
EVENTS = st.lists(
    st.one_of(
        QUOTES,
        QUOTES,
        CANDLES,
        st.builds(Proposed, times, decisions()),
        st.builds(Proposed, times, decisions()),
        OTHERS,
        ANSWERS,
        FILLS,
    ),
    max_size=40,
)


class Absurd:
    """A desk, and whatever anyone may tell it."""

    def __init__(self, config: DeskConfig) -> None:
        self.desk = TradingDesk(config)
        self.sent: list[str] = ["unheard-of"]
        for spec in (a_source(QC), a_source(RULE)):
            self.tell(SourceJoined(T0, spec))
        self.tell(InstrumentChanged(T0, an_instrument(BTC)))
        self.tell(a_quote(100.0, T0))

    def tell(self, event: Input) -> None:
        """One input; the ids of orders it gives are remembered, and most intents are stored at once."""
        effects = self.desk.handle(event)
        assert encode_effects(effects)
        for effect in effects:
            if isinstance(effect, StoreIntent):
                self.sent.append(effect.request.id)

    def live(self, event: Any) -> None:
        """An input, or an answer about an order."""
        if not isinstance(event, tuple):
            self.tell(event)
        elif isinstance(event[0], str):
            self.answer(*event)
        else:
            self.fill(*event)

    def answer(self, what: str, which: int, at: int, amount: Decimal) -> None:
        """The shell or the venue says something of an order."""
        order_id = self.sent[-1 - which % len(self.sent)]
        answers: dict[str, Input] = {
            "stored": IntentStored(at, order_id),
            "failed": IntentFailed(at, order_id, "full"),
            "accepted": OrderAccepted(at, order_id, ""),
            "refused": OrderRefused(at, order_id, "no"),
            "not-sent": OrderNotSent(at, order_id, "no", 10**15),
            "unknown": OrderUnknown(at, order_id, "?"),
            "closed": OrderClosed(at, order_id, Closing.CANCELLED, amount),
            "uncancelled": CancelRefused(at, order_id, "no"),
        }
        self.tell(answers[what])

    def fill(self, which: int, number: int, symbol: str, side: Side | None, *figures: Any) -> None:
        """A fill, of the order's own side and symbol more often than not."""
        order_id = self.sent[-1 - which % len(self.sent)]
        order = self.desk.state.orders.get(order_id)
        if order is not None and side is None:
            symbol, side = order.request.symbol, order.request.side
        amount, price, fee, currency = figures
        fill = Fill(f"f{number}", order_id, symbol, side or Side.BUY, amount, price, fee, currency, T0)
        self.tell(Filled(self.desk.market.now, fill))


@settings(max_examples=250, deadline=None, suppress_health_check=list(HealthCheck))
@given(EVENTS, st.sampled_from([Drive.QUOTES, Drive.CANDLES]), st.booleans())
def test_no_input_sequence_makes_the_desk_raise(events: list[Any], drive: Drive, next_open: bool) -> None:
    life = Absurd(a_config(drive=drive, next_open=next_open, sample_ms=1_000))
    for event in events:
        life.live(event)
        assert life.desk.portfolio.cash.is_finite()
        assert math.isfinite(life.desk.portfolio.equity)
    assert repr(decode_snapshot(encode_snapshot(life.desk.snapshot()))) == repr(life.desk.state)


@pytest.mark.parametrize(
    "changes",
    [
        {"bid": math.nan},
        {"ask": math.inf},
        {"bid_low": 0.0},
        {"bid_high": math.inf},
        {"bid_high": math.nan},
        {"ask_low": -1.0},
        {"ask_low": math.nan},
        {"ask_high": math.inf},
        {"bid": 101.0, "bid_high": 101.0, "ask": 100.0},
    ],
)
def test_a_quote_with_absurd_extremes_neither_prices_nor_triggers_anything(changes: dict[str, Any]) -> None:
    desk = DeskHarness()
    desk.quote(100)
    desk.buys(stop_loss=90.0, take_profit=110.0, trailing=0.05)
    desk.quote(100, **changes)
    assert desk.desk.state.ignored == {"quote-absurd": 1}
    assert len(desk.venue.orders) == 1


def test_a_clock_that_runs_backwards_does_not_turn_the_desk_back() -> None:
    desk = DeskHarness()
    desk.quote(100)
    now = desk.desk.market.now
    desk.turn(Wake(now - 10_000))
    desk.turn(Wake(-1))
    assert desk.desk.market.now == now
