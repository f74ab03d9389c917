"""The venue of a drill: the simulator's market and matching engine, driven by the virtual clock.

It outlives every process of the bot. The account has one key; whoever trades on it (the bot, a person, a sister bot) is told
apart by client order ids alone, as at a real venue.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from decimal import Decimal

from bot.core.market import Instrument, Quote, Side, Trade
from bot.drill.virtual.loop import EPOCH_MS, VirtualLoop
from bot.drill.virtual.schedule import SYMBOLS, Leak, Move, Other, Schedule, Shock, Slice, Who
from bot.market.simulated import SimulatedMarket
from simulators.exchange.accounts import Account, Accounts, Terms
from simulators.exchange.matching import Engine, Slicing
from simulators.exchange.orders import Kind, OrderRefused, Rules, Ticket, VenueOrder
from simulators.exchange.venue import Venue

KEY = "drill"
START = {"USDT": Decimal(10_000)}
SISTER_PREFIX = "sis"
PERSON_PREFIX = "web_"
_WARM_STEPS = 2
_OTHER_COST = Decimal(40)
_AWAY = Decimal("0.05")
_QUOTES_PER_STEP = 2


class VirtualVenue:
    """Market, engine and the one account. `run` lets the market live; the rest is called at any moment."""

    def __init__(self, loop: VirtualLoop, schedule: Schedule) -> None:
        self.loop = loop
        genesis = EPOCH_MS - _WARM_STEPS * 1_000
        self.market = SimulatedMarket(schedule.seed, SYMBOLS, genesis, quotes_per_step=_QUOTES_PER_STEP, cached_blocks=16)
        for event in schedule.events:
            if isinstance(event, Shock):
                self.market.shock(event.symbol, self.market.index_at(EPOCH_MS + event.at), event.factor)
        self.instruments = self.market.instruments()
        self.floor = Venue(self.market, loop.now)
        self.engine = Engine(self.floor, {symbol: rules_of(one) for symbol, one in self.instruments.items()}, Accounts())
        self.account: Account = self.engine.accounts.open(Terms(KEY, "secret"), START, loop.now())
        self.on_quote: Callable[[Quote], None] = lambda quote: None
        self._others = 0

    async def run(self) -> None:
        """Let the market pass by, until cancelled: each quote and trade at its own millisecond."""
        index = _WARM_STEPS
        while True:
            market = self.market
            timeline: list[Quote | Trade] = []
            for symbol in SYMBOLS:
                timeline += market.quotes(symbol, index)
                timeline += market.trades(symbol, index)
            timeline.sort(key=lambda event: event.ts)
            for event in timeline:
                await self._until(event.ts)
                if isinstance(event, Quote):
                    self.engine.on_quote(event.symbol, event.ts)
                    self.on_quote(event)
                else:
                    self.engine.on_trade(event)
            index += 1
            await self._until(market.time_of(index))

    async def _until(self, ts: int) -> None:
        wait = ts - self.loop.now()
        if wait > 0:
            await asyncio.sleep(wait / 1_000)

    def price(self, symbol: str) -> float:
        """The middle of the newest quote."""
        return self.floor.quote(symbol).mid

    def happen(self, event: Slice | Other | Move | Leak) -> None:
        """What a schedule does to the venue or the account."""
        match event:
            case Slice():
                self.engine.slicing = Slicing(event.fraction, event.count)
            case Other():
                self._trade(event)
            case Move():
                free = self.account.balance(event.currency).free
                amount = max(event.amount, -free)
                if amount:
                    self.engine.transfer(self.account, event.currency, amount, self.loop.now())
            case Leak():
                # The engine's books stay whole: it is the market's hands that have it now.
                amount = min(event.amount, self.account.balance("USDT").free)
                self.account.balance("USDT").free -= amount
                self.engine.accounts.trade("USDT", amount)

    def _trade(self, event: Other) -> None:
        """Somebody else's order, of what is theirs; what the account cannot pay is refused, and that is that."""
        rules = self.engine.rules[event.symbol]
        self._others += 1
        price = Decimal(repr(self.price(event.symbol)))
        amount = max(rules.min_amount, _OTHER_COST / price // rules.amount_step * rules.amount_step)
        side = Side.SELL if event.side is Side.SELL and self._held_by_others(event.symbol) >= amount else Side.BUY
        away = price * (1 - _AWAY * side.sign) // rules.price_step * rules.price_step
        kind, limit = (Kind.LIMIT, away) if event.rests else (Kind.MARKET, Decimal(0))
        client_id = f"{SISTER_PREFIX}{self._others:024x}" if event.who is Who.SISTER else f"{PERSON_PREFIX}{self._others}"
        try:
            self.engine.place(
                self.account, Ticket(event.symbol, side, kind, amount, price=limit, client_id=client_id), self.loop.now()
            )
        except OrderRefused:
            return

    def _held_by_others(self, symbol: str) -> Decimal:
        """How much of its base others have bought, fees deducted, and neither sold nor offered."""
        held = Decimal(0)
        for order in self.account.orders.values():
            if order.symbol == symbol and order.client_id.startswith((SISTER_PREFIX, PERSON_PREFIX)):
                bought = sum((fill.amount - fill.fee for fill in order.fills), Decimal(0))
                held += bought if order.ticket.side is Side.BUY else -order.amount
        return held

    def orders_of(self, prefix: str) -> list[VenueOrder]:
        """Every order whose client id begins so, in the order in which the venue took them."""
        return [order for order in self.account.orders.values() if order.client_id.startswith(prefix)]


def rules_of(instrument: Instrument) -> Rules:
    """The engine's rules of a symbol, as the market lists it."""
    return Rules(
        instrument.symbol,
        instrument.base,
        instrument.quote,
        instrument.price_step,
        instrument.amount_step,
        instrument.min_amount,
        instrument.min_cost,
    )
