"""Backtests: run them, read what they brought, delete them. Deleting is the only way to stop one and to free its node."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import TypeVar

from sources.quantconnect.calls import Calls, Page, every, pick
from sources.quantconnect.errors import Kind, QcError
from sources.quantconnect.models_backtest import Backtest, BacktestSummary, Chart
from sources.quantconnect.models_log import Lines
from sources.quantconnect.models_trade import ClosedTrade, Insight, Order
from sources.quantconnect.shapes import Shape
from sources.quantconnect.transport import Call, Manner

S = TypeVar("S", bound=Shape)

PAGE = 100
LINES = 200
_REPORT_POLL_S = 10.0
_REPORT_POLLS = 6
_GONE = "the backtest has been deleted"


class Backtests:
    """`backtests/*`."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    async def create(
        self,
        project_id: int,
        compile_id: str,
        name: str,
        parameters: Mapping[str, str | float] | None = None,
        *,
        wait_for_node_s: float = 0.0,
    ) -> Backtest:
        """Start a backtest. With no node free it is `CAPACITY` at once, or after `wait_for_node_s`.

        If it fails with `may_have_happened`, look for it in `list` by its name before you start another: it may hold the node.
        """
        body = {"projectId": project_id, "compileId": compile_id, "backtestName": name, "parameters": dict(parameters or {})}
        call = Call("backtests/create", body, Manner.WRITE, wait_for_node_s=wait_for_node_s)
        return self._calls.under("backtests/create", await self._calls.transport.call(call), "backtest", Backtest, _GONE)

    async def read(self, project_id: int, backtest_id: str) -> Backtest:
        """A backtest as it is now; `NOT_FOUND` if it has been deleted."""
        answer = await self._calls.ask("backtests/read", _of(project_id, backtest_id))
        return self._calls.under("backtests/read", answer, "backtest", Backtest, _GONE)

    async def list(self, project_id: int, *, include_statistics: bool = True) -> Sequence[BacktestSummary]:
        """All backtests of a project, the newest first."""
        body = {"projectId": project_id, "includeStatistics": include_statistics}
        return await self._calls.rows("backtests/list", body, "backtests", BacktestSummary)

    async def update(self, project_id: int, backtest_id: str, *, name: str, note: str = "") -> None:
        """Another name and note."""
        await self._calls.done("backtests/update", {**_of(project_id, backtest_id), "name": name, "note": note})

    async def set_tags(self, project_id: int, backtest_id: str, tags: Sequence[str]) -> None:
        """Other tags."""
        await self._calls.done("backtests/tags/update", {**_of(project_id, backtest_id), "tags": list(tags)})

    async def delete(self, project_id: int, backtest_id: str) -> None:
        """Delete a backtest, and stop it if it runs."""
        await self._calls.done("backtests/delete", _of(project_id, backtest_id), urgent=True)

    async def orders_page(self, project_id: int, backtest_id: str, start: int, end: int) -> Page[Order]:
        """Orders from `start` to before `end`, at most 100."""
        return await self._page("backtests/orders/read", "orders", Order, _of(project_id, backtest_id), start, end)

    async def trades_page(self, project_id: int, backtest_id: str, start: int, end: int) -> Page[ClosedTrade]:
        """Closed trades from `start` to before `end`, at most 100."""
        return await self._page("backtests/trades/read", "trades", ClosedTrade, _of(project_id, backtest_id), start, end)

    async def insights_page(self, project_id: int, backtest_id: str, start: int, end: int) -> Page[Insight]:
        """Insights from `start` to before `end`, at most 100."""
        return await self._page("backtests/read/insights", "insights", Insight, _of(project_id, backtest_id), start, end)

    def orders(self, project_id: int, backtest_id: str) -> AsyncIterator[Order]:
        """All orders."""
        return every(lambda start, end: self.orders_page(project_id, backtest_id, start, end), PAGE, lambda order: order.id)

    def trades(self, project_id: int, backtest_id: str) -> AsyncIterator[ClosedTrade]:
        """All closed trades."""
        return every(lambda start, end: self.trades_page(project_id, backtest_id, start, end), PAGE, None)

    def insights(self, project_id: int, backtest_id: str) -> AsyncIterator[Insight]:
        """All insights."""
        return every(lambda start, end: self.insights_page(project_id, backtest_id, start, end), PAGE, lambda insight: insight.id)

    async def chart(self, project_id: int, backtest_id: str, name: str, start: int, end: int, count: int = 1_000) -> Chart:
        """A chart between two times in Unix seconds, thinned to `count` points; waits while it is being loaded."""
        body = {**_of(project_id, backtest_id), "name": name, "count": count, "start": start, "end": end}
        answer = await self._calls.ask("backtests/chart/read", body)
        return self._calls.under("backtests/chart/read", answer, "chart", Chart)

    async def report(self, project_id: int, backtest_id: str) -> str:
        """The report as HTML; waits up to a minute while it is being made."""
        endpoint = "backtests/read/report"
        call = Call(endpoint, _of(project_id, backtest_id), pending="generating")
        for _ in range(_REPORT_POLLS + 1):
            report = pick(answer := await self._calls.transport.call(call), "report")
            if isinstance(report, str) and report:
                return report
            if not pick(answer, "generating"):
                raise QcError(Kind.UNREADABLE, endpoint, "no report in it", transient=False)
            await self._calls.transport.sleep(_REPORT_POLL_S)
        raise QcError(Kind.SERVER, endpoint, f"still being made after {_REPORT_POLL_S * _REPORT_POLLS:g} s")

    async def log_page(self, project_id: int, backtest_id: str, start: int, end: int, query: str = "") -> Lines:
        """Lines of the log from `start` to before `end`, at most 200; those with the word `query`, if there is one."""
        body = {**_of(project_id, backtest_id), "start": start, "end": end, "query": query}
        return self._calls.shaped("backtests/read/log", Lines, await self._calls.ask("backtests/read/log", body))

    def log(self, project_id: int, backtest_id: str, query: str = "") -> AsyncIterator[str]:
        """All lines of the log."""

        async def read(start: int, end: int) -> Page[str]:
            return (await self.log_page(project_id, backtest_id, start, end, query)).page

        return every(read, LINES, None)

    async def export_log(self, project_id: int, backtest_id: str) -> str:
        """The whole log, as one text."""
        body = await self._calls.transport.file(Call("backtests/export/logs", _of(project_id, backtest_id)))
        return body.decode(errors="replace")

    async def _page(self, endpoint: str, key: str, model: type[S], of: Mapping[str, object], start: int, end: int) -> Page[S]:
        answer = await self._calls.ask(endpoint, {**of, "start": start, "end": end})
        return self._calls.page(endpoint, answer, key, model, "closedTrades" if key == "trades" else None)


def _of(project_id: int, backtest_id: str) -> dict[str, object]:
    return {"projectId": project_id, "backtestId": backtest_id}
