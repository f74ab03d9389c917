"""What is held: worth, protection, and the lots it is made of."""

from __future__ import annotations

from bot.core.desk import TradingDesk
from bot.core.portfolio import Lot, Position
from bot.services.trading.at_desk import digits, fraction


def positions_json(desk: TradingDesk, now: int) -> dict[str, object]:
    """The book and its open positions."""
    books = desk.portfolio
    held = {symbol: position for symbol, position in books.positions.items() if position.amount}
    return {
        "now": now,
        "currency": books.currency,
        "equity": digits(books.equity),
        "cash": digits(books.cash),
        "exposure": digits(books.exposure),
        "realised": digits(books.realised),
        "unrealised": digits(books.unrealised),
        "positions": [_position(desk, symbol, position) for symbol, position in held.items()],
    }


def worth(desk: TradingDesk, symbol: str) -> float:
    """What a position is worth at the newest price, negative for a short."""
    position = desk.portfolio.positions[symbol]
    return position.amount_float * desk.state.prices.get(symbol, position.mark)


def _position(desk: TradingDesk, symbol: str, position: Position) -> dict[str, object]:
    guard, bench = desk.state.protections.get(symbol), desk.state.benches.get(symbol)
    first = position.lots[0] if position.lots else None
    average = position.average
    value = worth(desk, symbol)
    return {
        "symbol": symbol,
        "side": "long" if position.amount > 0 else "short",
        "amount": digits(position.amount),
        "average": None if average is None else digits(average),
        "price": desk.state.prices.get(symbol, position.mark),
        "value": digits(value),
        "share": fraction(value, desk.portfolio.equity),
        "unrealised": digits(position.unrealised),
        "realised": digits(position.realised),
        "stop_loss": None if guard is None else guard.stop_loss,
        "take_profit": None if guard is None else guard.take_profit,
        "trailing": None if guard is None else guard.trailing,
        "trailing_stop": None if guard is None else guard.trailing_stop,
        "guarded_by": None if guard is None else guard.source,
        "at_venue": bench is not None and bench.resting is not None,
        "leaving": None if bench is None or bench.exit is None else bench.exit.leg.value,
        "opener": None if first is None else first.source,
        "opened": None if first is None else first.opened,
        "decision": None if first is None else first.decision_id,
        "lots": [_lot(lot) for lot in position.lots],
    }


def _lot(lot: Lot) -> dict[str, object]:
    return {
        "amount": digits(lot.amount),
        "price": digits(lot.price),
        "fee": digits(lot.fee),
        "opened": lot.opened,
        "source": lot.source,
        "tier": int(lot.tier),
        "tier_name": lot.tier.label,
        "decision": lot.decision_id,
    }
