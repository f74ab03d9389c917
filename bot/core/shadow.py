"""Shadow ledgers: what each mind would have earned alone.

Every source has a paper account with the book's full starting equity that follows its admitted proposals, won or not, with the
same sizing, protection, fees and matching as the book. A source that trades alone, and is never limited by risk, has a shadow
equal to the book. An override is open from the moment a decision is outranked until the loser's own trade would have ended.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal

from bot.core.decision import Action, Decision, SourceSpec, Tier, derive_id
from bot.core.facts import Fact, LotClosed, OverrideClosed, ShadowClosed, ShadowSampled
from bot.core.market import Candle, Instrument, MarketView, Quote, Side
from bot.core.matching import FillModel, candle_market_price, fee_of, market_price, protective_exit_price
from bot.core.orders import ZERO, Fill, Leg, OrderRequest, OrderType
from bot.core.portfolio import Portfolio
from bot.core.protection import Protection, guard
from bot.core.risk import Cash, Refusal, RiskContext, RiskGate, RiskState, Shape
from bot.core.sizing import TrackRecord
from bot.core.targets import TargetRules, plan


@dataclass(slots=True)
class ShadowOrder:
    """A shadow's order on its way: it fills at the next opportunity."""

    side: Side
    amount: Decimal
    leg: Leg
    due: int
    decision: Decision
    level: float | None = None


@dataclass(slots=True)
class Override:
    """A decision that was overruled, with the P&L of both sides on the symbol at that moment."""

    symbol: str
    loser: str
    winner: str
    decision_id: str
    verdict_id: str
    since: int
    shadow_pnl: float
    book_pnl: float
    entry: bool


@dataclass(slots=True, eq=False)
class ShadowLedger:
    """One source's own account. The sums of returns feed Kelly sizing."""

    source: str
    tier: Tier
    portfolio: Portfolio
    protections: dict[str, Protection] = field(default_factory=dict)
    pending: dict[str, ShadowOrder] = field(default_factory=dict)
    overrides: dict[str, Override] = field(default_factory=dict)
    trades: int = 0
    wins: int = 0
    won: float = 0.0
    lost: float = 0.0
    fills: int = 0

    def record(self) -> TrackRecord:
        """Its closed trades, as sizing reads them."""
        losses = self.trades - self.wins
        return TrackRecord(
            self.trades, self.wins, self.won / self.wins if self.wins else 0.0, self.lost / losses if losses else 0.0
        )

    def sample(self, at: int) -> ShadowSampled:
        """The ledger's worth now."""
        books = self.portfolio
        return ShadowSampled(
            at, self.source, self.tier, books.equity, books.realised, books.unrealised, books.fees, self.trades, self.wins
        )

    @property
    def symbols(self) -> set[str]:
        """Symbols on which a price could matter to it (for membership tests only)."""
        return {symbol for symbol, position in self.portfolio.positions.items() if position.amount} | self.pending.keys()


@dataclass(slots=True)
class Shadows:
    """All ledgers and the index of who cares about which symbol."""

    ledgers: dict[str, ShadowLedger]
    market: MarketView
    book: Portfolio
    rules: TargetRules
    model: FillModel
    instruments: Mapping[str, Instrument]
    tell: Callable[[Fact], None]
    next_open: bool
    on_candles: bool
    start: Decimal
    interested: dict[str, list[ShadowLedger]] = field(default_factory=dict)
    gate: RiskGate = field(default_factory=lambda: RiskGate((Cash(0.002), Shape())))

    def ledger(self, spec: SourceSpec) -> ShadowLedger:
        """The source's ledger, opened at its first appearance."""
        ledger = self.ledgers.get(spec.name)
        if ledger is None:
            ledger = ShadowLedger(spec.name, spec.tier, Portfolio.opening(self.book.currency, self.start))
            self.ledgers[spec.name] = ledger
        return ledger

    def tier_of(self, source: str, spec: SourceSpec | None) -> Tier:
        """A source's tier, also after it has left."""
        if spec is not None:
            return spec.tier
        ledger = self.ledgers.get(source)
        return ledger.tier if ledger is not None else Tier.TRADITIONAL

    def reindex(self) -> None:
        """Rebuild the index after a restore."""
        self.interested = {}
        for ledger in self.ledgers.values():
            for symbol in sorted(ledger.symbols):
                self._watch(symbol, ledger)

    def follow(self, decision: Decision, spec: SourceSpec) -> None:
        """Act on an admitted decision as if nobody else existed."""
        ledger = self.ledger(spec)
        if decision.action is Action.HOLD or decision.symbol not in self.market.prices:
            return
        symbol = decision.symbol
        override = ledger.overrides.get(symbol)
        if override is not None and not override.entry and decision.action is Action.BUY:
            self._close_override(ledger, symbol)
        on_way = ledger.pending.get(symbol)
        working = ZERO
        if on_way is not None and on_way.side.value == decision.action.value:
            working = on_way.amount * on_way.side.sign
        elif on_way is not None and on_way.leg in {Leg.ENTRY, Leg.EXIT}:
            del ledger.pending[symbol]
        elif on_way is not None:
            # Protection is on its way: nobody's opinion calls it back.
            return
        instrument = self.instruments[symbol]
        wanted = plan(decision, spec, ledger.portfolio, self.market, instrument, ledger.record(), self.rules, working)
        if wanted.draft is None:
            return
        context = RiskContext(ledger.portfolio, self.market, RiskState(), {})
        draft = self.gate.judge(wanted.draft, context)
        if isinstance(draft, Refusal):
            return
        leg = Leg.EXIT if draft.reduces else Leg.ENTRY
        amount, due = draft.amount, self.market.now + self.model.latency_ms
        if on_way is not None and working:
            # It joins the one that travels the same way.
            amount, due = amount + on_way.amount, on_way.due
        self._send(ledger, symbol, ShadowOrder(draft.side, amount, leg, due, decision))

    def on_quote(self, quote: Quote) -> None:
        """Fill what is due, watch protection, value positions."""
        ledgers = self.interested.get(quote.symbol)
        if not ledgers:
            return
        for ledger in tuple(ledgers):
            order = ledger.pending.get(quote.symbol)
            if order is not None and order.due <= self.market.now:
                self._fill_at_quote(ledger, quote.symbol, order, quote)
            ledger.portfolio.mark(quote.symbol, quote.mid)
            protection = ledger.protections.get(quote.symbol)
            if protection is not None:
                new = protection.since >= quote.at
                low, high = (quote.bid, quote.bid) if new else (quote.bid_low, quote.bid_high)
                self._protect(ledger, quote.symbol, low, high, None)

    def on_candle(self, candle: Candle) -> None:
        """The same for a bar: pending orders fill at its open, protection watches its extremes, positions take its close."""
        ledgers = self.interested.get(candle.symbol)
        if not ledgers:
            return
        symbol = candle.symbol
        for ledger in tuple(ledgers):
            if symbol in ledger.pending:
                self._fill_at(ledger, symbol, ledger.pending[symbol], candle.open, candle.ts)
            if symbol in ledger.protections:
                self._protect(ledger, symbol, candle.low, candle.high, candle.open)
            ledger.portfolio.mark(symbol, candle.close)

    def overrule(self, decision: Decision, winner: Decision, verdict_id: str) -> None:
        """A decision was outranked by a contrary one: from now on its override is counted, until its own trade would end."""
        ledger = self.ledgers.get(decision.source)
        if ledger is None or decision.action is Action.HOLD or decision.symbol in ledger.overrides:
            return
        symbol = decision.symbol
        entry = decision.action is Action.BUY
        if entry and symbol not in ledger.pending and not ledger.portfolio.amount(symbol):
            return
        if not entry and not self.book.amount(symbol):
            return
        ledger.overrides[symbol] = Override(
            symbol,
            decision.source,
            winner.source,
            decision.id,
            verdict_id,
            self.market.now,
            ledger.portfolio.pnl(symbol),
            self.book.pnl(symbol),
            entry,
        )

    def book_flat(self, symbol: str) -> None:
        """The book left a symbol: overruled exits end here, for there is nothing left to compare."""
        for ledger in self.ledgers.values():
            override = ledger.overrides.get(symbol)
            if override is not None and not override.entry:
                self._close_override(ledger, symbol)

    def flatten(self, decision: Decision) -> None:
        """The decision expired and its source wants no position without one."""
        ledger = self.ledgers.get(decision.source)
        amount = ledger.portfolio.amount(decision.symbol) if ledger is not None else ZERO
        if ledger is None or not amount:
            return
        side = Side.SELL if amount > 0 else Side.BUY
        order = ShadowOrder(side, abs(amount), Leg.FLATTEN, self.market.now + self.model.latency_ms, decision)
        self._send(ledger, decision.symbol, order)

    def _send(self, ledger: ShadowLedger, symbol: str, order: ShadowOrder) -> None:
        ledger.pending[symbol] = order
        self._watch(symbol, ledger)
        if self.on_candles:
            if not self.next_open:
                self._fill_at(ledger, symbol, order, self.market.prices[symbol], self.market.now)
            return
        quote = self.market.quotes.get(symbol)
        if quote is not None and order.due <= self.market.now:
            self._fill_at_quote(ledger, symbol, order, quote)

    def _watch(self, symbol: str, ledger: ShadowLedger) -> None:
        """Show the symbol's prices to a ledger; by name, so that their order is the same after a restore."""
        ledgers = self.interested.setdefault(symbol, [])
        if ledger not in ledgers:
            ledgers.append(ledger)
            ledgers.sort(key=lambda known: known.source)

    def _protect(self, ledger: ShadowLedger, symbol: str, low: float, high: float, opened: float | None) -> None:
        protection = ledger.protections.get(symbol)
        if protection is None or symbol in ledger.pending:
            return
        hit = protection.touched(low, high)
        if hit is None:
            return
        leg, level = hit
        amount = ledger.portfolio.amount(symbol)
        side = Side.SELL if amount > 0 else Side.BUY
        decision = Decision(
            protection.decision_id, ledger.source, ledger.tier, symbol, Action.SELL, 1.0, self.market.now, self.market.now, level
        )
        if opened is not None:
            reached = protective_exit_price(level, opened, side, leg)
            self._fill_at(ledger, symbol, ShadowOrder(side, abs(amount), leg, 0, decision), reached, self.market.now)
            return
        self._send(ledger, symbol, ShadowOrder(side, abs(amount), leg, self.market.now + self.model.latency_ms, decision, level))

    def _fill_at_quote(self, ledger: ShadowLedger, symbol: str, order: ShadowOrder, quote: Quote) -> None:
        price = market_price(order.side, order.amount, quote, self.instruments[symbol], self.model)
        self._book(ledger, symbol, order, price, quote.at)

    def _fill_at(self, ledger: ShadowLedger, symbol: str, order: ShadowOrder, price: float, at: int) -> None:
        self._book(ledger, symbol, order, candle_market_price(order.side, price, self.instruments[symbol], self.model), at)

    def _book(self, ledger: ShadowLedger, symbol: str, order: ShadowOrder, price: Decimal, at: int) -> None:
        """Enter a fill into the ledger, arm or drop its protection, and tell what ended."""
        ledger.pending.pop(symbol, None)
        ledger.fills += 1
        decision, instrument = order.decision, self.instruments[symbol]
        fee, currency = fee_of(order.side, order.amount, price, instrument, self.model, False)
        fill_id = f"shadow-{ledger.fills}"
        fill = Fill(fill_id, fill_id, symbol, order.side, order.amount, price, fee, currency, at)
        request = OrderRequest(
            fill_id, symbol, order.side, OrderType.MARKET, order.amount, order.leg, decision.id, 0, ledger.source, ledger.tier,
            decision.confidence, decision.price, at, decision_id=decision.id,
        )  # fmt: skip
        booking = ledger.portfolio.book(fill, request, instrument, at)
        ledger.portfolio.mark(symbol, self.market.prices[symbol])
        for lot in booking.closed:
            self._closed(ledger, lot)
        if not ledger.portfolio.amount(symbol):
            ledger.protections.pop(symbol, None)
            self._leave(ledger, symbol)
        elif order.leg is Leg.ENTRY:
            protection = guard(decision, order.side.sign, float(price))
            if protection is not None:
                ledger.protections[symbol] = replace(protection, since=self.market.now)

    def _leave(self, ledger: ShadowLedger, symbol: str) -> None:
        ledgers = self.interested.get(symbol)
        if ledgers is not None and ledger in ledgers:
            ledgers.remove(ledger)
        override = ledger.overrides.get(symbol)
        if override is not None and override.entry:
            self._close_override(ledger, symbol)

    def _closed(self, ledger: ShadowLedger, lot: LotClosed) -> None:
        ledger.trades += 1
        result = float(lot.pnl) / float(lot.amount * lot.entry)
        if result > 0:
            ledger.wins += 1
            ledger.won += result
        else:
            ledger.lost -= result
        opening = lot.opening_decision or derive_id(lot.opener, lot.opened)
        self.tell(
            ShadowClosed(
                lot.at, ledger.source, lot.symbol, opening, lot.opened, lot.entry, lot.exit, lot.amount, lot.pnl, lot.closing_leg
            )
        )

    def _close_override(self, ledger: ShadowLedger, symbol: str) -> None:
        override = ledger.overrides.pop(symbol)
        shadow = ledger.portfolio.pnl(symbol) - override.shadow_pnl
        book = self.book.pnl(symbol) - override.book_pnl
        self.tell(
            OverrideClosed(
                self.market.now,
                symbol,
                override.loser,
                override.winner,
                override.decision_id,
                override.verdict_id,
                override.since,
                shadow,
                book,
                shadow - book,
            )
        )
