"""What a backtest in the cloud is evidence of. Pure."""

from __future__ import annotations

from bot.services.quantconnect.conversion import CloudResult, Scalar
from bot.services.use_case import UseCaseError
from research.memory.errors import EvidenceError
from research.memory.evidence import BacktestEvidence, Subject

_MOST_RETURNS = 10_000
_LONGEST = 200


def evidence_of(result: CloudResult, subject: Subject, known_at: int) -> BacktestEvidence:
    """The evidence of a result that was there at `known_at` (ms UTC).

    Figures are those computed by the bot's own formulas, so that local and cloud backtests weigh alike. `UseCaseError` where the
    result has no figures, or says what cannot be.
    """
    figures = result.statistics
    if figures is None:
        message = f"{result.reference} has no figures that could teach anything: read it again later"
        raise UseCaseError(message)
    returns = tuple(trade.profit for trade in result.trades)
    until = min(result.until, known_at)
    try:
        return BacktestEvidence(
            symbol=subject.symbol,
            strategy=subject.strategy,
            timeframe=subject.timeframe,
            known_at=known_at,
            began=min(result.began, until),
            until=until,
            trades=figures.trades,
            total_return=figures.total_return,
            max_drawdown=figures.max_drawdown,
            sharpe=figures.sharpe,
            win_rate=figures.win_rate,
            profit_factor=figures.profit_factor,
            returns=returns if len(returns) <= _MOST_RETURNS else (),
            parameters={name: _short(value) for name, value in result.parameters.items()},
            reference=f"quantconnect {result.reference}",
        )
    except EvidenceError as error:
        message = f"{result.reference} cannot be remembered: {error}"
        raise UseCaseError(message) from error


def _short(value: Scalar) -> Scalar:
    """A parameter as it may be kept: text is one line."""
    if not isinstance(value, str):
        return value
    return "".join(letter if letter.isprintable() else " " for letter in value)[:_LONGEST]
