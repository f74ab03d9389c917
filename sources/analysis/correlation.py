"""Correlations that few samples can carry, and betas."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sources.analysis.returns import ReturnTable
from sources.analysis.values import Floats, Told, clip

_LEAST = 3


@dataclass(frozen=True, slots=True)
class Correlation(Told):
    """Correlations between symbols, shrunk towards none by `shrinkage` (0..1) because the sample has `samples` returns only.

    `mean` is that of all pairs, None of a single symbol. Symbols that never moved are left out, and named in `still`.
    """

    symbols: tuple[str, ...]
    matrix: tuple[tuple[float, ...], ...]
    shrinkage: float
    samples: int
    mean: float | None
    highest: tuple[str, str, float] | None
    still: tuple[str, ...] = ()


def correlation(table: ReturnTable) -> Correlation | None:
    """Pearson's correlations, shrunk; None with fewer than three returns, or if nothing moved.

    J. Schaefer and K. Strimmer, A Shrinkage Approach to Large-Scale Covariance Matrix Estimation (2005): with standardised x and
    w_tij = x_ti x_tj, Var(r_ij) = n / (n - 1)^3 sum_t (w_tij - mean w_ij)^2 and lambda = sum_(i != j) Var(r_ij) / sum_(i != j)
    r_ij^2, kept within 0..1; each off-diagonal correlation is multiplied by 1 - lambda.
    """
    count = len(table)
    if count < _LEAST:
        return None
    moved = [index for index in range(len(table.symbols)) if _moves(table.values[:, index])]
    symbols = tuple(table.symbols[index] for index in moved)
    if not symbols:
        return None
    values = table.values[:, moved]
    scaled = (values - values.mean(axis=0)) / values.std(axis=0, ddof=1)
    raw = scaled.T @ scaled / (count - 1)
    shrinkage = _shrinkage(scaled, raw)
    shrunk = np.clip(raw * (1.0 - shrinkage), -1.0, 1.0)
    np.fill_diagonal(shrunk, 1.0)
    shrunk = (shrunk + shrunk.T) / 2
    rows = tuple(tuple(float(each) for each in row) for row in shrunk)
    still = tuple(symbol for symbol in table.symbols if symbol not in symbols)
    pairs = [(one, other, rows[i][j]) for i, one in enumerate(symbols) for j, other in enumerate(symbols) if i < j]
    mean = sum(each[2] for each in pairs) / len(pairs) if pairs else None
    return Correlation(symbols, rows, shrinkage, count, mean, max(pairs, key=lambda each: each[2], default=None), still)


def _moves(values: Floats) -> bool:
    return bool(values.std() > 1e-12 * max(float(np.abs(values).max()), 1e-300))


def _shrinkage(scaled: Floats, raw: Floats) -> float:
    count, size = scaled.shape
    if size < 2:
        return 0.0
    products = scaled[:, :, None] * scaled[:, None, :]
    variance = ((products - products.mean(axis=0)) ** 2).sum(axis=0) * count / (count - 1) ** 3
    off = ~np.eye(size, dtype=bool)
    squares = float((raw[off] ** 2).sum())
    return clip(float(variance[off].sum()) / squares, 0.0, 1.0) if squares > 0 else 1.0


@dataclass(frozen=True, slots=True)
class Beta(Told):
    """How a symbol (or the whole book) moves with a benchmark: cov / var, and the share of variance that explains (R squared)."""

    symbol: str
    beta: float
    fit: float


def beta(symbol: str, returns: Floats, benchmark: Floats) -> Beta | None:
    """Least squares of returns on those of the benchmark; None with fewer than three, or if the benchmark never moved."""
    if len(returns) < _LEAST or len(returns) != len(benchmark) or not _moves(benchmark):
        return None
    off, market = returns - returns.mean(), benchmark - benchmark.mean()
    common, variance, own = float((off * market).sum()), float((market * market).sum()), float((off * off).sum())
    return Beta(symbol, common / variance, clip(common * common / (variance * own), 0.0, 1.0) if own > 0 else 0.0)
