"""Analysis of the book: how concentrated it is, what moves together, what it may lose, and what could be done about it.

Concentration is the Herfindahl-Hirschman index of the positions' shares of gross exposure, sum s_i^2: 1 for a single position,
1/n for n equal ones; its inverse is the effective number of positions. Risk is that of today's weights on the returns of the
past, not that of the book as it was. Suggestions are words and change nothing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from bot.core.briefing import Briefing
from sources.analysis.correlation import Beta, Correlation, beta, correlation
from sources.analysis.returns import ReturnTable
from sources.analysis.scenarios import ScenarioOutcome, Shock, default_shocks, scenarios
from sources.analysis.tails import Method, TailRisk, tail_risk
from sources.analysis.values import AnalysisError, Floats, Told, span

NO_RETURNS = ReturnTable((), np.zeros((0, 0)), 86_400_000)


@dataclass(frozen=True, slots=True)
class Thresholds:
    """From where on a suggestion is made; fractions, of equity where not said otherwise. Choices, not findings."""

    largest: float = 0.4
    concentration: float = 0.5
    correlation: float = 0.7
    at_risk: float = 0.05
    drawdown: float = 0.1
    beta: float = 1.3
    cash: float = 0.05


@dataclass(frozen=True, slots=True, eq=False)
class PortfolioInputs:
    """A book at `at` (ms UTC): `weights` are positions as signed fractions of `equity`, in `currency`.

    `returns` may hold more symbols, such as the `benchmark`. `curve` is equity over time, oldest first, after deposits and
    withdrawals have been taken out. `level` and `horizon` (periods of the returns) are those of the value at risk; `shocks` None
    means the usual ones. Raises `AnalysisError` if a number is none.
    """

    at: int
    currency: str
    equity: float
    weights: Mapping[str, float]
    returns: ReturnTable = NO_RETURNS
    benchmark: str | None = None
    curve: Sequence[float] = ()
    level: float = 0.95
    horizon: int = 1
    shocks: Sequence[Shock] | None = None
    thresholds: Thresholds = field(default_factory=Thresholds)

    def __post_init__(self) -> None:
        for name, number in (("equity", self.equity), *self.weights.items()):
            if not math.isfinite(number):
                message = f"{name} is {number}; a finite number is needed"
                raise AnalysisError(message)
        if not all(math.isfinite(each) and each > 0 for each in self.curve):
            message = "the equity curve holds a number that is not above 0"
            raise AnalysisError(message)


def inputs_of(
    briefing: Briefing, returns: ReturnTable = NO_RETURNS, *, benchmark: str | None = None, curve: Sequence[float] = ()
) -> PortfolioInputs:
    """The inputs from the desk's own briefing."""
    weights = {held.symbol: held.share for held in briefing.held}
    return PortfolioInputs(briefing.at, briefing.currency, briefing.equity, weights, returns, benchmark, curve)


@dataclass(frozen=True, slots=True)
class Concentration(Told):
    """`gross`, `net` and `cash` are fractions of equity; `shares` of the gross exposure sum to 1, largest first."""

    gross: float
    net: float
    cash: float
    shares: Mapping[str, float]
    index: float | None
    effective: float | None
    largest: str | None


@dataclass(frozen=True, slots=True)
class Drawdown(Told):
    """`now` and `worst` are fractions lost from a peak; `under` counts the points since the last one, `needed` wins it back."""

    now: float
    worst: float
    under: int
    needed: float


@dataclass(frozen=True, slots=True)
class PortfolioAnalysis(Told):
    """The analysis of a book; what cannot be told is None, and `unknown` says why.

    `period` is that of the returns, in ms; horizons count such periods.
    """

    at: int
    currency: str
    equity: float
    concentration: Concentration
    correlation: Correlation | None
    period: int
    tails: tuple[TailRisk, ...]
    benchmark: str | None
    betas: tuple[Beta, ...]
    book_beta: Beta | None
    drawdown: Drawdown | None
    scenarios: tuple[ScenarioOutcome, ...]
    unknown: Mapping[str, str]
    suggestions: tuple[str, ...]
    words: str

    def tail(self, method: Method) -> TailRisk | None:
        """The estimate of one method, None if it gave no figure."""
        return next((each for each in self.tails if each.method is method and each.value_at_risk is not None), None)


def portfolio(of: PortfolioInputs) -> PortfolioAnalysis:
    """Analyse a book."""
    weights = {symbol: weight for symbol, weight in of.weights.items() if weight}
    unknown: dict[str, str] = {}
    held = concentration(weights)
    book = book_returns(weights, of.returns)
    if book is None:
        lacking = [symbol for symbol in weights if symbol not in of.returns.symbols]
        unknown["tails"] = f"no returns of {', '.join(lacking)}" if lacking else "nothing is held"
    together = _among(weights, of.returns)
    if together is None:
        unknown["correlation"] = "fewer than three returns of what is held, or nothing moved"
    tails = () if book is None else tuple(tail_risk(book, method, of.level, of.horizon) for method in Method)
    betas, book_beta = _betas(weights, of.returns, of.benchmark, book)
    if book_beta is None:
        unknown["beta"] = "no benchmark was named" if of.benchmark is None else f"too few returns of the book or {of.benchmark}"
    fall = drawdown(of.curve)
    if fall is None:
        unknown["drawdown"] = "no equity curve"
    shocks = default_shocks(weights, of.returns.period) if of.shocks is None else of.shocks
    outcomes = scenarios(weights, of.equity, of.returns, shocks)
    found = PortfolioAnalysis(
        of.at,
        of.currency,
        of.equity,
        held,
        together,
        of.returns.period,
        tails,
        of.benchmark,
        betas,
        book_beta,
        fall,
        outcomes,
        unknown,
        (),
        "",
    )
    return _told(found, of)


def portfolio_batch(inputs: Mapping[str, PortfolioInputs]) -> dict[str, PortfolioAnalysis]:
    """Analyse several books by name."""
    return {name: portfolio(each) for name, each in inputs.items()}


def concentration(weights: Mapping[str, float]) -> Concentration:
    """How the gross exposure is spread (Herfindahl 1950, Hirschman 1945); shares are unknown while nothing is held."""
    gross, net = math.fsum(abs(each) for each in weights.values()), math.fsum(weights.values())
    ranked = sorted(weights, key=lambda symbol: (-abs(weights[symbol]), symbol))
    shares = {symbol: abs(weights[symbol]) / gross for symbol in ranked if weights[symbol]} if gross > 0 else {}
    index = math.fsum(share * share for share in shares.values()) if shares else None
    largest = next(iter(shares), None)
    return Concentration(gross, net, 1.0 - net, shares, index, 1.0 / index if index else None, largest)


def book_returns(weights: Mapping[str, float], table: ReturnTable) -> Floats | None:
    """Returns of the book with these weights, as fractions of equity; None if one of them lacks returns or nothing is held."""
    columns = [(weight, table.of(symbol)) for symbol, weight in weights.items() if weight]
    if not columns or any(values is None for _, values in columns):
        return None
    found: Floats = np.sum([weight * values for weight, values in columns if values is not None], axis=0)
    return found


def drawdown(curve: Sequence[float]) -> Drawdown | None:
    """The state of an equity curve, None of fewer than two points."""
    if len(curve) < 2:
        return None
    values = np.asarray(curve, dtype=np.float64)
    peaks = np.maximum.accumulate(values)
    falls = 1.0 - values / peaks
    now = float(falls[-1])
    under = len(values) - 1 - int(np.flatnonzero(values == peaks)[-1])
    return Drawdown(now, float(falls.max()), under, float(peaks[-1] / values[-1] - 1.0))


def _among(weights: Mapping[str, float], table: ReturnTable) -> Correlation | None:
    kept = [index for index, symbol in enumerate(table.symbols) if symbol in weights]
    symbols = tuple(table.symbols[index] for index in kept)
    return correlation(ReturnTable(symbols, table.values[:, kept], table.period)) if kept else None


def _betas(
    weights: Mapping[str, float], table: ReturnTable, benchmark: str | None, book: Floats | None
) -> tuple[tuple[Beta, ...], Beta | None]:
    market = table.of(benchmark) if benchmark is not None else None
    if market is None:
        return (), None
    columns = ((symbol, table.of(symbol)) for symbol in weights)
    betas = (beta(symbol, values, market) for symbol, values in columns if values is not None)
    whole = None if book is None else beta("book", book, market)
    return tuple(each for each in betas if each is not None), whole


def _told(found: PortfolioAnalysis, of: PortfolioInputs) -> PortfolioAnalysis:
    return replace(found, suggestions=tuple(_suggestions(found, of.thresholds)), words=_words(found))


def _suggestions(found: PortfolioAnalysis, limits: Thresholds) -> list[str]:
    held, said = found.concentration, []
    top = held.shares.get(held.largest or "", 0.0) * held.gross
    if top > limits.largest:
        said.append(f"{held.largest} is {top:.0%} of equity: consider trimming it below {limits.largest:.0%}")
    if held.index is not None and held.index > limits.concentration and len(held.shares) > 1:
        said.append(f"the book behaves like {held.effective:.1f} positions: spread it wider")
    pair = None if found.correlation is None else found.correlation.highest
    if pair is not None and pair[2] > limits.correlation:
        said.append(f"{pair[0]} and {pair[1]} move together ({pair[2]:.2f}): they count as nearly one position")
    tail = found.tail(Method.HISTORICAL) or found.tail(Method.NORMAL)
    if tail is not None and (tail.value_at_risk or 0.0) > limits.at_risk:
        said.append(f"{tail.value_at_risk:.1%} of equity is at risk per {span(tail.horizon * found.period)}: lower the exposure")
    if found.book_beta is not None and found.book_beta.beta > limits.beta:
        said.append(f"the book moves {found.book_beta.beta:.1f} times as much as {found.benchmark}: lower the exposure or hedge")
    if found.drawdown is not None and found.drawdown.now > limits.drawdown:
        said.append(f"equity is {found.drawdown.now:.0%} below its peak: {found.drawdown.needed:.0%} is needed to win it back")
    if held.gross > 0 and held.cash < limits.cash:
        said.append(f"only {held.cash:.0%} of equity is cash: keep some for exits and fees")
    return said


def _words(found: PortfolioAnalysis) -> str:
    held = found.concentration
    if not held.shares:
        return f"the book is flat: {found.equity:,.2f} {found.currency} in cash"
    parts = [f"{len(held.shares)} positions, {held.gross:.0%} of {found.equity:,.2f} {found.currency} invested"]
    parts.append(f"largest {held.largest} ({held.shares[held.largest or '']:.0%} of exposure)")
    tail = found.tail(Method.HISTORICAL) or found.tail(Method.NORMAL)
    if tail is not None:
        parts.append(
            f"at {tail.level:.0%} over {span(tail.horizon * found.period)} {tail.value_at_risk:.1%} is at risk,"
            f" {tail.expected_shortfall:.1%} beyond that on average ({tail.method.value})"
        )
    worst = min((each for each in found.scenarios if each.impact is not None), key=lambda each: each.impact or 0.0, default=None)
    if worst is not None and (worst.impact or 0.0) < 0:
        parts.append(f"worst scenario: {worst.words}")
    return "; ".join(parts)
