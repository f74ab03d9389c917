"""The portfolio assessed: exposure, concentration, a day's value at risk, and what is lost if every stop is hit.

Value at risk is that of a normal distribution with the standard deviation of the portfolio's own past returns: those of the
closed candles that the desk holds, at today's weights, scaled by the square root of time. 95 %, one day, mean zero
(J.P. Morgan/Reuters, RiskMetrics, 1996). It says nothing of what such returns have never shown.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bot.core.desk import TradingDesk
from bot.core.inputs import TradingState
from bot.core.market import timeframe_ms
from bot.core.risk import DAY_MS, RiskContext
from bot.services.trading.at_desk import digits, fraction
from bot.services.trading.copies import copied
from bot.services.trading.limits import Limit, limits_of
from bot.services.trading.positions import worth

LEAST_RETURNS = 30
"""Fewer say too little of a standard deviation."""
_QUANTILE = 1.6448536269514722  # of the standard normal distribution at 95 %
_SHORTFALL = 2.0627128075074257  # its density there, divided by 5 %
_NEARLY = 0.8
_CONCENTRATED = 0.25  # as the index of four equal parts; of fewer positions half as much again as if they were equal


@dataclass(frozen=True, slots=True)
class AtRisk:
    """A day's value at risk and expected shortfall, as fractions of equity; None where `reason` says why not."""

    value: float | None
    shortfall: float | None
    returns: int
    timeframe: str | None
    reason: str

    def as_json(self, equity: float) -> dict[str, object]:
        """Plain values, also in money."""
        return {
            "var": None if self.value is None else digits(self.value * equity),
            "var_share": self.value,
            "expected_shortfall": None if self.shortfall is None else digits(self.shortfall * equity),
            "expected_shortfall_share": self.shortfall,
            "confidence": 0.95,
            "horizon_ms": DAY_MS,
            "returns": self.returns,
            "timeframe": self.timeframe,
            "method": "normal, standard deviation of past candle returns at today's weights, scaled by the square root of time",
            "reason": self.reason,
        }


@dataclass(frozen=True, slots=True)
class Stops:
    """What is lost if every stop is hit now, fees included, and the symbols that no stop guards, by their worth."""

    loss: float
    guarded: tuple[str, ...]
    unguarded: Mapping[str, float]


def assess_json(desk: TradingDesk, now: int) -> dict[str, object]:
    """All of it; shares are fractions of equity."""
    books, risk, book = desk.portfolio, desk.state.risk, copied(desk, now)
    equity = books.equity
    held = {symbol: worth(desk, symbol) for symbol, position in books.positions.items() if position.amount}
    shares = {symbol: fraction(value, equity) for symbol, value in held.items()}
    gross, net = sum(map(abs, held.values())), sum(held.values())
    at_risk, stops, limits = value_at_risk(desk, shares), stopped(desk, held), limits_of(desk, book)
    largest = max(held, key=lambda symbol: abs(held[symbol]), default=None)
    limit = desk.config.limits.max_position
    return {
        "now": now,
        "currency": books.currency,
        "equity": digits(equity),
        "cash": digits(books.cash),
        "cash_share": fraction(float(books.cash), equity),
        "gross_exposure": digits(gross),
        "gross_share": fraction(gross, equity),
        "net_exposure": digits(net),
        "net_share": fraction(net, equity),
        "concentration": {
            "largest": largest,
            "largest_share": 0.0 if largest is None else abs(shares[largest]),
            "herfindahl": herfindahl(list(held.values())),
        },
        "symbols": [
            {"symbol": symbol, "value": digits(value), "share": shares[symbol], "limit": limit}
            for symbol, value in sorted(held.items(), key=lambda pair: -abs(pair[1]))
        ],
        "at_risk": at_risk.as_json(equity),
        "drawdown": max(0.0, fraction(risk.peak - equity, risk.peak)),
        "peak": digits(risk.peak),
        "day_pnl": digits(equity - book.risk.day_start),
        "day_change": fraction(equity - book.risk.day_start, book.risk.day_start),
        "stops": {
            "loss": digits(stops.loss),
            "share": fraction(stops.loss, equity),
            "guarded": list(stops.guarded),
            "unguarded": [{"symbol": symbol, "value": digits(value)} for symbol, value in stops.unguarded.items()],
        },
        "warnings": warnings(desk, book, limits, stops, herfindahl(list(held.values()))),
    }


def herfindahl(values: Sequence[float]) -> float:
    """Sum of the squared shares of gross exposure: 1 where one symbol is all of it, 1/n for n equal ones, 0 for none."""
    gross = sum(map(abs, values))
    return sum((value / gross) ** 2 for value in values) if gross > 0 else 0.0


def value_at_risk(desk: TradingDesk, shares: Mapping[str, float]) -> AtRisk:
    """Of the longest timeframe of which every held symbol has enough candles at the same times."""
    if not shares:
        return AtRisk(0.0, 0.0, 0, None, "nothing is held")
    common = [set(desk.market.candles.get(symbol, {})) for symbol in shares]
    most = 0
    for timeframe in sorted(set.intersection(*common), key=timeframe_ms, reverse=True):
        returns = portfolio_returns(desk, shares, timeframe)
        most = max(most, len(returns))
        if len(returns) < LEAST_RETURNS:
            continue
        mean = sum(returns) / len(returns)
        deviation = math.sqrt(sum((one - mean) ** 2 for one in returns) / (len(returns) - 1))
        day = deviation * math.sqrt(DAY_MS / timeframe_ms(timeframe))
        return AtRisk(_QUANTILE * day, _SHORTFALL * day, len(returns), timeframe, "")
    return AtRisk(None, None, most, None, f"{most} returns that all held symbols share, {LEAST_RETURNS} are needed")


def portfolio_returns(desk: TradingDesk, shares: Mapping[str, float], timeframe: str) -> list[float]:
    """What today's weights would have returned, as fractions of equity, over each candle that follows another without a gap."""
    closes = {symbol: {candle.ts: candle.close for candle in desk.market.history(symbol, timeframe)} for symbol in shares}
    step = timeframe_ms(timeframe)
    first = next(iter(closes.values()))
    times = [ts for ts in first if all(ts in each and ts - step in each for each in closes.values())]
    return [
        sum(share * (closes[symbol][ts] / closes[symbol][ts - step] - 1.0) for symbol, share in shares.items()) for ts in times
    ]


def stopped(desk: TradingDesk, held: Mapping[str, float]) -> Stops:
    """From today's worth to the stops, never a gain: a trailing stop above the price would fill near the price."""
    loss, guarded, unguarded = 0.0, [], {}
    for symbol, value in held.items():
        guard = desk.state.protections.get(symbol)
        stop = None if guard is None else guard.stop
        if stop is None:
            unguarded[symbol] = value
            continue
        amount = desk.portfolio.positions[symbol].amount_float
        fee = abs(amount) * stop[1] * float(desk.state.instruments[symbol].taker_fee)
        loss += max(0.0, value - amount * stop[1]) + fee
        guarded.append(symbol)
    return Stops(loss, tuple(guarded), unguarded)


def warnings(desk: TradingDesk, book: RiskContext, limits: Sequence[Limit], stops: Stops, concentration: float) -> list[str]:
    """What a person should know, one sentence each."""
    risk, said = desk.state.risk, []
    if risk.state is not TradingState.ACTIVE:
        said.append(f"trading is {risk.state.value}: {risk.reason or 'no reason is known'}")
    said += [f"{symbol} is frozen: order {order} is unknown at the venue" for symbol, order in risk.frozen.items()]
    said += [f"unexplained at the venue: {difference}" for difference in risk.unexplained]
    if risk.unread:
        said.append(f"the account at the venue is not read: {risk.unread}")
    for limit in limits:
        subject = f" of {limit.subject}" if limit.subject else ""
        if limit.hit:
            said.append(f"{limit.setting}{subject} refuses entries: {limit.used:.6g} of {limit.limit:.6g} {limit.unit}")
        elif limit.share >= _NEARLY and limit.unit != "ms":
            said.append(f"{limit.setting}{subject} is {limit.share:.0%} full")
    said += [f"no stop guards {symbol}, worth {value:.2f} {book.portfolio.currency}" for symbol, value in stops.unguarded.items()]
    held = len(stops.guarded) + len(stops.unguarded)
    if held > 1 and concentration > max(_CONCENTRATED, 1.5 / held):
        said.append(f"{held} positions spread no more than {1.0 / concentration:.1f} equal ones would: one is too large")
    return said
