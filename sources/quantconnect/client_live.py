"""Live algorithms: deploy, follow, command and stop them. What changes one is sent once, and stopping overtakes all that waits.

Orders, insights and the portfolio are snapshots that the service renews about every ten minutes, logs every two to five.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from sources.quantconnect.calls import Calls, Page, every, given
from sources.quantconnect.errors import Kind, QcError
from sources.quantconnect.models_backtest import Chart
from sources.quantconnect.models_live import Deployment, LiveAlgorithm, LiveStatus, LiveSummary, Portfolio
from sources.quantconnect.models_log import Lines
from sources.quantconnect.models_trade import ClosedTrade, Insight, Order
from sources.quantconnect.transport import Call, Manner

PAGE = 100
ORDERS = 1_000
LINES = 250
PAPER = "QuantConnectBrokerage"
MASTER = "-1"


@dataclass(frozen=True, slots=True)
class Plan:
    """What to deploy, where and how. The brokerage's settings may hold keys of an exchange: they are shown nowhere."""

    project_id: int
    compile_id: str
    node_id: str
    brokerage: Mapping[str, Any] = field(repr=False)
    data_providers: Mapping[str, Any] = field(default_factory=lambda: {PAPER: {"id": PAPER}}, repr=False)
    version_id: str = MASTER
    automatic_redeploy: bool = False
    parameters: Mapping[str, str | float] = field(default_factory=dict)
    notification: Mapping[str, Any] | None = field(default=None, repr=False)

    def body(self) -> dict[str, Any]:
        """The fields of a request. The second half of the compile's id signs it."""
        return {
            "projectId": self.project_id,
            "compileId": self.compile_id,
            "nodeId": self.node_id,
            "versionId": self.version_id,
            "brokerage": dict(self.brokerage),
            "dataProviders": dict(self.data_providers),
            "automaticRedeploy": self.automatic_redeploy,
            "parameters": dict(self.parameters),
            "signature": self.compile_id.partition("-")[2],
            **given(notification=self.notification),
        }


def paper(cash: Mapping[str, float], holdings: Sequence[Mapping[str, Any]] = ()) -> dict[str, Any]:
    """The settings of the service's own paper brokerage, with cash by currency.

    A holding is `{symbolId, symbol, quantity, averagePrice}`.
    """
    money = [{"currency": currency, "amount": amount} for currency, amount in cash.items()]
    return {"id": PAPER, "holdings": [dict(holding) for holding in holdings], "cash": money}


class Live:
    """`live/*`."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    async def deploy(self, plan: Plan) -> Deployment:
        """Start a live algorithm. Sent once: where it `may_have_happened`, look in `list` before you try again."""
        answer = await self._calls.transport.call(Call("live/create", plan.body(), Manner.ONCE))
        return self._calls.shaped("live/create", Deployment, answer)

    async def read(self, project_id: int, deploy_id: str | None = None) -> LiveAlgorithm:
        """A project's deployment, by default its last; `NOT_FOUND` if it never had one."""
        answer = await self._calls.ask("live/read", given(projectId=project_id, deployId=deploy_id))
        return self._calls.shaped("live/read", LiveAlgorithm, answer)

    async def list(self, *, project_id: int | None = None, status: LiveStatus | None = None) -> Sequence[LiveSummary]:
        """All deployments, or those of a project or status (running, stopped, with a runtime error, liquidated)."""
        body = given(projectId=project_id, status=status and status.value)
        return await self._calls.rows("live/list", body, "live", LiveSummary)

    async def stop(self, project_id: int) -> None:
        """Stop it; what it holds stays held."""
        await self._calls.done("live/update/stop", {"projectId": project_id}, Manner.ONCE, urgent=True)

    async def liquidate(self, project_id: int) -> None:
        """Close what it holds, and stop it."""
        await self._calls.done("live/update/liquidate", {"projectId": project_id}, Manner.ONCE, urgent=True)

    async def command(self, project_id: int, command: Mapping[str, Any]) -> None:
        """Tell it something; `$type` names the class of the command. One sent before it runs is lost."""
        await self._calls.done("live/commands/create", {"projectId": project_id, "command": dict(command)}, Manner.ONCE)

    async def broadcast(self, organization_id: str, command: Mapping[str, Any], *, exclude_project_id: int | None = None) -> None:
        """Tell all algorithms of an organization something, but one."""
        body = {"organizationId": organization_id, "excludeProjectId": exclude_project_id, "command": dict(command)}
        await self._calls.done("live/commands/broadcast", body, Manner.ONCE)

    async def orders_page(self, project_id: int, start: int, end: int) -> Page[Order]:
        """Orders from `start` to before `end`, at most 1,000."""
        answer = await self._calls.ask("live/orders/read", {"projectId": project_id, "start": start, "end": end})
        return self._calls.page("live/orders/read", answer, "orders", Order)

    async def trades_page(self, project_id: int, start: int, end: int, deploy_id: str | None = None) -> Page[ClosedTrade]:
        """Closed trades from `start` to before `end`, at most 1,000."""
        body = given(projectId=project_id, deployId=deploy_id, start=start, end=end)
        answer = await self._calls.ask("live/trades/read", body)
        return self._calls.page("live/trades/read", answer, "trades", ClosedTrade, "closedTrades")

    async def insights_page(self, project_id: int, start: int, end: int) -> Page[Insight]:
        """Insights from `start` to before `end`, at most 100; of all deployments of the project."""
        answer = await self._calls.ask("live/insights/read", {"projectId": project_id, "start": start, "end": end})
        return self._calls.page("live/insights/read", answer, "insights", Insight)

    def orders(self, project_id: int, start: int = 0) -> AsyncIterator[Order]:
        """All orders from row `start` on."""
        return every(lambda first, end: self.orders_page(project_id, first, end), ORDERS, None, start)

    def trades(self, project_id: int, deploy_id: str | None = None) -> AsyncIterator[ClosedTrade]:
        """All closed trades."""
        return every(lambda first, end: self.trades_page(project_id, first, end, deploy_id), ORDERS, None)

    def insights(self, project_id: int, start: int = 0) -> AsyncIterator[Insight]:
        """All insights from row `start` on."""
        return every(lambda first, end: self.insights_page(project_id, first, end), PAGE, lambda insight: insight.id, start)

    async def export_insights(self, deploy_id: str) -> Sequence[Insight]:
        """The insights of all deployments of the project, by the time they were generated."""
        endpoint = "live/export/insights"
        body = await self._calls.transport.file(Call(endpoint, {"deployId": deploy_id}))
        try:
            found = orjson.loads(body)
        except orjson.JSONDecodeError as error:
            raise QcError(Kind.UNREADABLE, endpoint, "the file is no JSON", transient=False) from error
        answer = found if isinstance(found, dict) else {"insights": found}
        return self._calls.page(endpoint, answer, "insights", Insight).rows

    async def portfolio(self, project_id: int) -> Portfolio:
        """What it holds. Holdings that are missing are `UNREADABLE`: they are not the same as none."""
        answer = await self._calls.ask("live/portfolio/read", {"projectId": project_id})
        return self._calls.under("live/portfolio/read", answer, "portfolio", Portfolio)

    async def log_page(self, project_id: int, deploy_id: str, start: int, end: int) -> Lines:
        """Lines of the log from `start` to before `end`, at most 250."""
        body = {"format": "json", "projectId": project_id, "algorithmId": deploy_id, "startLine": start, "endLine": end}
        return self._calls.shaped("live/logs/read", Lines, await self._calls.ask("live/logs/read", body))

    def log(self, project_id: int, deploy_id: str, start: int = 0) -> AsyncIterator[str]:
        """All lines of the log from `start` on."""

        async def read(first: int, end: int) -> Page[str]:
            return (await self.log_page(project_id, deploy_id, first, end)).page

        return every(read, LINES, None, start)

    async def chart(self, project_id: int, name: str, start: int, end: int, count: int = 1_000) -> Chart:
        """A chart between two times in Unix seconds, thinned to `count` points; waits while it is being loaded."""
        body = {"projectId": project_id, "name": name, "count": count, "start": start, "end": end}
        return self._calls.under("live/chart/read", await self._calls.ask("live/chart/read", body), "chart", Chart)
