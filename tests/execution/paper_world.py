"""Small factories for the paper broker's tests."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

from bot.core.decision import Tier
from bot.core.inputs import CancelRefused, Filled, Input, OrderAccepted, OrderClosed, OrderRefused
from bot.core.market import Candle, Instrument, Quote, Side, Trade
from bot.core.matching import FillModel
from bot.core.orders import Fill, Leg, OrderRequest, OrderType, TimeInForce
from execution.paper import Drive, PaperBroker
from execution.paper_account import PaperAccount
from execution.paper_candles import FillOn

SYMBOL = "BTC/USDT"
BTC = Instrument(
    symbol=SYMBOL,
    base="BTC",
    quote="USDT",
    price_step=Decimal("0.01"),
    amount_step=Decimal("0.001"),
    min_amount=Decimal("0.001"),
    min_cost=Decimal(5),
    maker_fee=Decimal("0.0005"),
    taker_fee=Decimal("0.001"),
    max_amount=Decimal(1000),
    max_market_amount=Decimal(500),
)
ETH = replace(BTC, symbol="ETH/USDT", base="ETH")
FREE = FillModel(maker_fee=Decimal(0), taker_fee=Decimal(0))


def D(text: str | int) -> Decimal:  # noqa: N802 - reads as the literal that Python lacks
    return Decimal(text)


class World:
    """A paper broker and everything it has said."""

    def __init__(
        self,
        model: FillModel = FREE,
        drive: Drive = Drive.QUOTES,
        fill_on: FillOn = FillOn.NEXT_OPEN,
        usdt: str = "10000",
        btc: str = "10",
        *,
        spot: bool = True,
        stale_ms: int = 60_000,
    ) -> None:
        self.said: list[Input] = []
        self.account = PaperAccount.of({"USDT": D(usdt), "BTC": D(btc)}, spot=spot)
        self.instruments = {SYMBOL: BTC, ETH.symbol: ETH}
        self.broker = PaperBroker(
            self.instruments, model, self.said.append, drive, fill_on, account=self.account, stale_ms=stale_ms
        )

    @property
    def fills(self) -> list[Fill]:
        return [said.fill for said in self.said if isinstance(said, Filled)]

    @property
    def refusals(self) -> list[str]:
        return [said.reason for said in self.said if isinstance(said, OrderRefused)]

    @property
    def closings(self) -> list[OrderClosed]:
        return [said for said in self.said if isinstance(said, OrderClosed)]

    @property
    def cancel_refusals(self) -> list[str]:
        return [said.reason for said in self.said if isinstance(said, CancelRefused)]

    @property
    def accepted(self) -> list[str]:
        return [said.order_id for said in self.said if isinstance(said, OrderAccepted)]

    def quote(self, at: int, bid: float, ask: float, bid_size: float = 5.0, ask_size: float = 5.0) -> None:
        self.broker.on_quote(Quote.of(SYMBOL, at, bid, ask, bid_size, ask_size))

    def swept(self, at: int, bid: float, ask: float, low: float, high: float, size: float = 5.0) -> None:
        """A quote that carries the extremes of those before it."""
        spread = ask - bid
        self.broker.on_quote(Quote(SYMBOL, at, at, bid, ask, size, size, low, high - spread, low + spread, high))

    def trade(self, at: int, price: float, amount: float, side: Side) -> None:
        self.broker.on_trade(Trade(SYMBOL, at, at, f"t{at}", price, amount, side))

    def bar(self, ts: int, open_: float, high: float, low: float, close: float, timeframe: str = "1m") -> None:
        candle = Candle(SYMBOL, timeframe, ts, ts, open_, high, low, close, 10.0)
        candle.at = candle.end
        self.broker.on_candle(candle)

    def buy(self, amount: str, at: int, **terms: Any) -> OrderRequest:
        return self.order(Side.BUY, amount, at, **terms)

    def sell(self, amount: str, at: int, **terms: Any) -> OrderRequest:
        return self.order(Side.SELL, amount, at, **terms)

    def order(self, side: Side, amount: str, at: int, **terms: Any) -> OrderRequest:
        request = order(side, amount, at, id_=f"o{len(self.said)}x{at}", **terms)
        self.broker.submit(request, at)
        return request


def order(
    side: Side,
    amount: str,
    at: int,
    *,
    id_: str = "o1",
    type_: OrderType | None = None,
    price: str | None = None,
    trigger: str | None = None,
    tif: TimeInForce = TimeInForce.GTC,
    post_only: bool = False,
    reduce_only: bool = False,
    leg: Leg = Leg.ENTRY,
    reference: float = 100.0,
    symbol: str = SYMBOL,
) -> OrderRequest:
    """An order whose type follows from its prices."""
    kinds = {
        (False, False): OrderType.MARKET,
        (True, False): OrderType.LIMIT,
        (False, True): OrderType.STOP,
        (True, True): OrderType.STOP_LIMIT,
    }
    return OrderRequest(
        id=id_,
        symbol=symbol,
        side=side,
        type=type_ or kinds[(price is not None, trigger is not None)],
        amount=D(amount),
        leg=leg,
        cause="test",
        attempt=1,
        source="rules:test",
        tier=Tier.TRADITIONAL,
        confidence=0.5,
        reference=reference,
        created=at,
        price=None if price is None else D(price),
        trigger=None if trigger is None else D(trigger),
        time_in_force=tif,
        post_only=post_only,
        reduce_only=reduce_only,
    )
