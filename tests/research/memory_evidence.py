"""Evidence for the memory's tests: small factories, and strategies for the laws."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from research.memory.evidence import BacktestEvidence, Evidence, Parameters, Subject, TradeEvidence

DAY = 86_400_000
YEAR = 365 * DAY
SUBJECT = Subject("BTC/USDT", "sma-cross", "1h")


def trade(number: int = 0, profit: float = 0.01, *, known_at: int | None = None, **changed: Any) -> TradeEvidence:
    """The trade of day `number`."""
    closed = number * DAY + DAY
    fields = {"symbol": "BTC/USDT", "strategy": "sma-cross", "timeframe": "1h", "reference": f"trade-{number}"} | changed
    return TradeEvidence(
        known_at=closed if known_at is None else known_at, opened=closed - DAY // 2, closed=closed, profit=profit, **fields
    )


def backtest(
    parameters: Parameters | None = None, *, known_at: int = 3 * YEAR, sharpe: float | None = 1.5, **changed: Any
) -> BacktestEvidence:
    """Two good years with a hundred trades."""
    fields: dict[str, Any] = {
        "symbol": "BTC/USDT",
        "strategy": "sma-cross",
        "timeframe": "1h",
        "began": 0,
        "until": 2 * YEAR,
        "trades": 100,
        "total_return": 0.5,
        "max_drawdown": 0.12,
        "win_rate": 0.5,
        "profit_factor": 1.6,
    }
    return BacktestEvidence(known_at=known_at, sharpe=sharpe, parameters=parameters or {}, **(fields | changed))


trades = st.builds(
    trade,
    st.integers(0, 400),
    st.floats(-0.9, 2.0),
    known_at=st.integers(402 * DAY, 600 * DAY),
    strategy=st.sampled_from(["sma-cross", "breakout"]),
)
backtests = st.builds(
    backtest,
    st.fixed_dictionaries({"fast": st.integers(1, 4), "slow": st.integers(5, 8)}),
    known_at=st.integers(2 * YEAR, 2 * YEAR + 200 * DAY),
    sharpe=st.none() | st.floats(-5, 5),
    trades=st.integers(0, 300),
    max_drawdown=st.none() | st.floats(0, 1),
    win_rate=st.none() | st.floats(0, 1),
    profit_factor=st.none() | st.floats(0, 10),
    strategy=st.sampled_from(["sma-cross", "breakout"]),
)
evidence: st.SearchStrategy[Evidence] = trades | backtests
