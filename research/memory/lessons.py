"""Lessons: what a record teaches, in figures and in words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import StrEnum

from bot.core.decision import derive_id
from bot.core.values import value
from research.memory.confidence import confidence_in, quality
from research.memory.estimates import Estimate, expected_return, expected_sharpe
from research.memory.evidence import BacktestEvidence, Subject, TradeEvidence
from research.memory.figures import Figures, figures_of_backtest, figures_of_trades
from research.memory.policy import DEFAULT_POLICY, MemoryPolicy

_SAFE_DRAWDOWN, _GRAVE_DRAWDOWN = 0.10, 0.25


class Rating(StrEnum):
    """How good a record is: by its quality (see `confidence`), and UNPROVEN with fewer trades than prove anything."""

    EXCELLENT = "EXCELLENT"
    GOOD = "GOOD"
    FAIR = "FAIR"
    POOR = "POOR"
    UNPROVEN = "UNPROVEN"


class Risk(StrEnum):
    """How much there is to lose."""

    LOW = "LOW"
    MEDIUM = "MEDIUM"
    HIGH = "HIGH"


class Origin(StrEnum):
    """Where a lesson comes from: one backtest, or the closed trades so far."""

    BACKTEST = "backtest"
    TRADES = "trades"


@value
class Recommendations:
    """What to do about it; `size_fraction` scales the usual position size, 0..1."""

    size_fraction: float
    position_size: str
    entries: str
    overall: str


@value
class Lesson:
    """What was learnt of a subject, and since when it is known (ms UTC). `score` is the quality 0..1 behind the rating."""

    subject: Subject
    origin: Origin
    known_at: int
    reference: str
    figures: Figures
    score: float
    rating: Rating
    risk: Risk
    insights: tuple[str, ...]
    recommendations: Recommendations
    expected_return: Estimate | None
    expected_sharpe: Estimate | None

    @property
    def id(self) -> str:
        """Derived from what it is about and when it was learnt."""
        return derive_id(self.subject, self.origin, self.known_at, self.reference, self.figures)


def lesson_of_backtest(backtest: BacktestEvidence, policy: MemoryPolicy = DEFAULT_POLICY) -> Lesson:
    """What one backtest teaches."""
    figures = figures_of_backtest(backtest)
    return lesson_of(backtest.subject, Origin.BACKTEST, figures, backtest.known_at, backtest.reference, policy)


def lesson_of_trades(trades: Sequence[TradeEvidence], policy: MemoryPolicy = DEFAULT_POLICY) -> Lesson:
    """What closed trades of one subject teach. Raises ValueError without any, or for trades of several subjects."""
    subjects = {trade.subject for trade in trades}
    if len(subjects) != 1:
        message = f"trades: a lesson needs the trades of one subject, these are of {len(subjects)}"
        raise ValueError(message)
    newest = max(trades, key=lambda trade: (trade.known_at, trade.id))
    figures = figures_of_trades(trades)
    return lesson_of(newest.subject, Origin.TRADES, figures, newest.known_at, newest.reference, policy)


def lesson_of(
    subject: Subject,
    origin: Origin,
    figures: Figures,
    known_at: int,
    reference: str = "",
    policy: MemoryPolicy = DEFAULT_POLICY,
) -> Lesson:
    """What a record teaches."""
    rating, risk = _rating(figures, policy), _risk(figures, policy)
    return Lesson(
        subject=subject,
        origin=origin,
        known_at=known_at,
        reference=reference,
        figures=figures,
        score=quality(figures),
        rating=rating,
        risk=risk,
        insights=tuple(_insights(figures, policy)),
        recommendations=_recommendations(figures, rating, risk, policy),
        expected_return=expected_return(figures, policy),
        expected_sharpe=expected_sharpe(figures, policy),
    )


def _rating(figures: Figures, policy: MemoryPolicy) -> Rating:
    if figures.trades < max(1, policy.min_trades):
        return Rating.UNPROVEN
    score = quality(figures)
    grades = ((0.75, Rating.EXCELLENT), (0.55, Rating.GOOD), (0.35, Rating.FAIR))
    return next((rating for least, rating in grades if score >= least), Rating.POOR)


def _risk(figures: Figures, policy: MemoryPolicy) -> Risk:
    """HIGH for a deep or unknown drawdown or a losing record; LOW only for a shallow one that is proven and has Sharpe 1."""
    fall = figures.max_drawdown
    loses = figures.profit_factor is not None and figures.profit_factor < 1.0
    if fall is None or fall >= _GRAVE_DRAWDOWN or loses:
        return Risk.HIGH
    proven = figures.trades >= max(1, policy.min_trades)
    return Risk.LOW if fall <= _SAFE_DRAWDOWN and proven and (figures.sharpe or 0.0) >= 1.0 else Risk.MEDIUM


def _insights(figures: Figures, policy: MemoryPolicy) -> Iterator[str]:
    if figures.trades < 1:
        yield "It did not trade: the conditions for an entry were never met, or the data were too short."
        return
    if figures.trades < policy.min_trades:
        yield f"{figures.trades:g} trades prove little: at least {policy.min_trades} are needed."
    yield from _about_returns(figures)
    yield from _about_trades(figures)
    hoped = expected_return(figures, policy)
    if hoped is not None and hoped.low is not None and hoped.low <= 0 < hoped.observed:
        yield "Its gain may be luck: the interval of the expected return reaches below zero."
    if figures.max_drawdown is None:
        yield "The drawdown is not known."
    elif figures.max_drawdown >= _GRAVE_DRAWDOWN:
        yield f"A drawdown of {figures.max_drawdown:.1%} is more than most would sit through."
    elif figures.max_drawdown <= _SAFE_DRAWDOWN:
        yield f"The drawdown stayed at {figures.max_drawdown:.1%}."


def _about_returns(figures: Figures) -> Iterator[str]:
    sharpe = figures.sharpe
    if sharpe is None:
        yield "The returns are too few or too even for a Sharpe ratio."
    elif sharpe <= 0:
        yield f"The Sharpe ratio of {sharpe:.2f} says that the risk was not paid for."
    elif sharpe > 3:
        yield f"A Sharpe ratio of {sharpe:.2f} is rarely kept: look for look-ahead, missing fees or an overfitted rule."
    else:
        yield f"The Sharpe ratio is {sharpe:.2f}, {'strong' if sharpe >= 1 else 'modest'} for the risk taken."


def _about_trades(figures: Figures) -> Iterator[str]:
    factor, wins = figures.profit_factor, figures.win_rate
    if factor is None:
        if figures.flawless:
            yield "No trade lost, so nothing is known yet of how it loses."
    elif factor < 1:
        yield f"A profit factor of {factor:.2f} means that it loses money after fees."
    else:
        yield f"It gains {factor:.2f} for each 1 it loses."
    if wins is not None and factor is not None and factor > 1 and wins < 0.4:
        yield f"Only {wins:.0%} of the trades win: it lives on few large gains, so each winner must be let run."
    elif wins is not None and wins >= 0.6 and factor is not None and factor < 1:
        yield f"{wins:.0%} of the trades win and it still loses: the losers are too large."


def _recommendations(figures: Figures, rating: Rating, risk: Risk, policy: MemoryPolicy) -> Recommendations:
    fraction = _size(figures, risk, policy)
    size = f"Use {fraction:.0%} of the usual position size." if fraction > 0 else "Take no position."
    return Recommendations(fraction, size, _entries(figures), _overall(rating, risk))


def _size(figures: Figures, risk: Risk, policy: MemoryPolicy) -> float:
    """The confidence in the record, halved at HIGH risk, in steps of 5 %: a finer figure would be a pretence."""
    believed = confidence_in(figures, policy).value * (0.5 if risk is Risk.HIGH else 1.0)
    return round(believed * 20) / 20


def _entries(figures: Figures) -> str:
    wins, factor = figures.win_rate, figures.profit_factor
    if figures.trades < 1:
        return "Loosen the entry conditions or lengthen the data: there were none."
    if factor is not None and factor < 1:
        return "Tighten the entries, for example by a trend or volume filter, and exit losers sooner."
    if wins is not None and wins < 0.4:
        return "Add a confirmation before entering: most entries fail."
    if figures.max_drawdown is not None and figures.max_drawdown >= _GRAVE_DRAWDOWN:
        return "Keep the entries, and stop them out earlier: the losses run too far."
    return "Keep the entries as they are."


def _overall(rating: Rating, risk: Risk) -> str:
    said = {
        Rating.EXCELLENT: "Trade it, and watch that it stays so.",
        Rating.GOOD: "Trade it at the recommended size.",
        Rating.FAIR: "Trade it on paper, and improve it first.",
        Rating.POOR: "Do not trade it.",
        Rating.UNPROVEN: "Gather more trades before it is trusted with money.",
    }[rating]
    return f"{said} The risk is high: bound the loss first." if risk is Risk.HIGH and rating is not Rating.POOR else said
