"""Optimizations: what they would cost, and their lives. They are paid for, so that one is never started twice by itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sources.quantconnect.calls import Calls, given
from sources.quantconnect.errors import Kind, QcError
from sources.quantconnect.models_optimization import Constraint, Estimate, Optimization, OptimizationSummary, Range
from sources.quantconnect.transport import Call, Manner

SHARPE = "TotalPerformance.PortfolioStatistics.SharpeRatio"
GRID = "QuantConnect.Optimizer.Strategies.GridSearchOptimizationStrategy"


@dataclass(frozen=True, slots=True)
class Search:
    """What is to be searched, and by which measure. `target` is one of `TotalPerformance.PortfolioStatistics.*`."""

    project_id: int
    name: str
    compile_id: str
    parameters: Sequence[Range]
    target: str = SHARPE
    target_to: Literal["max", "min"] = "max"
    target_value: float | None = None
    strategy: str = GRID
    constraints: Sequence[Constraint] = ()

    def body(self) -> dict[str, Any]:
        """The fields of a request. A missing target value is said by a null here."""
        return {
            "projectId": self.project_id,
            "name": self.name,
            "compileId": self.compile_id,
            "target": self.target,
            "targetTo": self.target_to,
            "targetValue": self.target_value,
            "strategy": self.strategy,
            "parameters": [_range(parameter) for parameter in self.parameters],
            "constraints": [
                {"target": limit.target, "operator": limit.operator, "targetValue": limit.target_value}
                for limit in self.constraints
            ],
        }


class Optimizations:
    """`optimizations/*`."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    async def estimate(self, search: Search) -> Estimate:
        """What it would take."""
        answer = await self._calls.ask("optimizations/estimate", search.body())
        return self._calls.under("optimizations/estimate", answer, "estimate", Estimate)

    async def create(
        self, search: Search, *, estimated_cost: float, node_type: str = "O2-8", parallel_nodes: int = 1
    ) -> OptimizationSummary:
        """Start it, on nodes of `O2-8`, `O4-12` or `O8-16`. Sent once: where it `may_have_happened`, look in `list`."""
        endpoint = "optimizations/create"
        body = {**search.body(), "estimatedCost": estimated_cost, "nodeType": node_type, "parallelNodes": parallel_nodes}
        answer = await self._calls.transport.call(Call(endpoint, body, Manner.ONCE))
        rows = self._calls.page(endpoint, answer, "optimizations", OptimizationSummary).rows
        if not rows:
            raise QcError(Kind.UNREADABLE, endpoint, "no optimization in it", may_have_happened=True, transient=False)
        return rows[0]

    async def read(self, optimization_id: str) -> Optimization:
        """An optimization with its backtests."""
        answer = await self._calls.ask("optimizations/read", {"optimizationId": optimization_id})
        return self._calls.under("optimizations/read", answer, "optimization", Optimization, "it has been deleted")

    async def list(self, project_id: int) -> Sequence[OptimizationSummary]:
        """All optimizations of a project."""
        return await self._calls.rows("optimizations/list", {"projectId": project_id}, "optimizations", OptimizationSummary)

    async def rename(self, optimization_id: str, name: str) -> None:
        """Another name."""
        await self._calls.done("optimizations/update", {"optimizationId": optimization_id, "name": name})

    async def abort(self, optimization_id: str) -> None:
        """Stop it; refused where it has finished."""
        await self._calls.done("optimizations/abort", {"optimizationId": optimization_id}, urgent=True)

    async def delete(self, optimization_id: str) -> None:
        """Delete it with its backtests."""
        await self._calls.done("optimizations/delete", {"optimizationId": optimization_id})


def _range(parameter: Range) -> dict[str, float | str]:
    low, high, step, least = parameter.min, parameter.max, parameter.step, parameter.min_step
    return given(name=parameter.name, min=low, max=high, step=step, minStep=least)
