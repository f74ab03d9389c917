"""Live algorithms as a person looks at them: the list, and one with what it earned there and here.

What cannot be read of an algorithm is None, and named with the reason: it is never shown as nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from bot.journal.errors import JournalError
from bot.runtime.jobs import Progress, Report
from bot.services.quantconnect.access import client_of
from bot.services.quantconnect.account import projects
from bot.services.quantconnect.paper import PaperResult, paper_result
from bot.services.quantconnect.shelf import Listing, let_go, shelved
from bot.services.use_case import Ground, Missing, UseCaseError
from sources.quantconnect.errors import Kind, QcError

if TYPE_CHECKING:
    from sources.quantconnect.calls import Page
    from sources.quantconnect.client import Client
    from sources.quantconnect.models_backtest import Chart
    from sources.quantconnect.models_live import LiveAlgorithm, LiveSummary, Portfolio
    from sources.quantconnect.models_trade import ClosedTrade, Order

T = TypeVar("T")

ALGORITHMS = "algorithms"
EQUITY_CHART = "Strategy Equity"
PART_S = 25.0
"""How long each part of an algorithm is waited for: the service may load one for a minute, and the others are worth showing."""
_POINTS = 500
_PAGE = 1_000


@dataclass(frozen=True, slots=True)
class Listed:
    """A deployment and the name of its project."""

    summary: LiveSummary
    name: str

    def as_json(self) -> dict[str, object]:
        """Plain values; times are ms UTC, `equity` is of the algorithm's own currency."""
        one = self.summary
        return {
            "project": one.project_id,
            "name": self.name,
            "deployment": one.deploy_id,
            "status": one.status.value,
            "active": one.active,
            "brokerage": one.brokerage,
            "environment": one.environment,
            "equity": one.equity,
            "launched": one.launched,
            "stopped": one.stopped,
            "error": one.error,
        }


async def algorithms(ground: Ground, *, active: bool = False, fresh: bool = False) -> Listing[Listed]:
    """All deployments there ever were, those that run first, then the newest; kept for `quantconnect.cache`."""

    async def read() -> Sequence[Listed]:
        client = await client_of(ground)
        rows = await client.live.list()
        names = {project.project_id: project.name for project in (await projects(ground, fresh=fresh)).rows}
        found = [Listed(row, names.get(row.project_id or 0, "")) for row in rows]
        return sorted(found, key=lambda one: (not one.summary.active, -(one.summary.launched or 0)))

    listing = await shelved(ground, ALGORITHMS, read, fresh=fresh)
    rows = [one for one in listing.rows if one.summary.active] if active else listing.rows
    return Listing(rows, listing.at, listing.age_ms)


def changed(ground: Ground) -> None:
    """The list of algorithms is no longer what it was."""
    let_go(ground, ALGORITHMS)


@dataclass(slots=True)
class Detailed:
    """One live algorithm. Orders and trades are the newest, `equity` are (ms UTC, value); `troubles` says what is missing."""

    project: int
    live: LiveAlgorithm
    portfolio: Portfolio | None = None
    orders: Sequence[Order] | None = None
    trades: Sequence[ClosedTrade] | None = None
    equity: Sequence[tuple[int, float]] | None = None
    ours: PaperResult | None = None
    troubles: dict[str, str] = field(default_factory=dict)

    def as_json(self) -> dict[str, object]:
        """Plain values; rates and returns are fractions, money is of the algorithm's own currency."""
        live, stats = self.live, self.live.runtime_statistics
        return {
            "project": self.project,
            "name": live.project_name,
            "deployment": live.deploy_id,
            "status": live.status.value,
            "active": live.active,
            "brokerage": live.brokerage,
            "launched": live.launched,
            "stopped": live.stopped,
            "message": live.message,
            "statistics": None if stats is None else stats.model_dump(mode="json"),
            "holdings": None if self.portfolio is None else holdings_json(self.portfolio),
            "cash": None if self.portfolio is None else cash_json(self.portfolio),
            "orders": None if self.orders is None else [order_json(order) for order in self.orders],
            "trades": None if self.trades is None else [trade_json(trade) for trade in self.trades],
            "equity": None if self.equity is None else [list(point) for point in self.equity],
            "ours": None if self.ours is None else self.ours.as_json(),
            "troubles": dict(self.troubles),
        }


async def live_of(client: Client, project: int) -> LiveAlgorithm:
    """The newest deployment of a project; `Missing` where it never had one, or is none of the account's."""
    try:
        return await client.live.read(project)
    except QcError as error:
        if error.kind not in {Kind.BAD_REQUEST, Kind.NOT_FOUND}:
            raise
        message = f"project {project} never ran live, or is none of this account ({error.reason}); see `qc algorithms`"
        raise Missing(message) from error


async def algorithm(ground: Ground, name: str, report: Report, *, rows: int = 20) -> Detailed:
    """The newest deployment of a project; `name` is the project's id, or the deployment's. `rows` of orders and trades.

    `UseCaseError` for a deployment that is not the newest: the service says no more of it than the list does.
    """
    client = await client_of(ground)
    project, deployment = await _found(ground, name)
    report(Progress("algorithm"))
    live = await live_of(client, project)
    if deployment and live.deploy_id != deployment:
        message = f"{deployment} is not the newest deployment of project {project}, {live.deploy_id} is: "
        raise UseCaseError(message + "of older ones only the list tells")
    told = Detailed(project, live)
    report(Progress("holdings, orders and equity"))
    async with asyncio.TaskGroup() as tasks:
        for part, read in _parts(ground, client, told, rows).items():
            tasks.create_task(_filled(told, part, read), name=f"quantconnect {part}")
    return told


def _parts(ground: Ground, client: Client, told: Detailed, rows: int) -> Mapping[str, Callable[[], Awaitable[object]]]:
    """What is read of an algorithm, by the name of the field that it fills."""
    project, live = told.project, told.live

    async def orders() -> Sequence[Order]:
        return await newest(client.live.orders_page, project, rows)

    async def trades() -> Sequence[ClosedTrade]:
        return await newest(client.live.trades_page, project, rows)

    async def equity() -> Sequence[tuple[int, float]]:
        end = ground.now() // 1_000 + 1
        start = min((live.launched or 0) // 1_000, end - 1)
        return curve(await client.live.chart(project, EQUITY_CHART, start, end, _POINTS))

    async def ours() -> PaperResult | None:
        settings = ground.loaded.settings
        return await asyncio.to_thread(paper_result, settings.database_url, settings.bot.name, settings.paper.currency, project)

    return {
        "portfolio": lambda: client.live.portfolio(project),
        "orders": orders,
        "trades": trades,
        "equity": equity,
        "ours": ours,
    }


async def _filled(told: Detailed, part: str, read: Callable[[], Awaitable[object]]) -> None:
    try:
        async with asyncio.timeout(PART_S):
            setattr(told, part, await read())
    except TimeoutError:
        told.troubles[part] = f"not there within {PART_S:g} s; ask again later"
    except (QcError, JournalError) as error:
        told.troubles[part] = str(error)


async def newest(read: Callable[[int, int, int], Awaitable[Page[T]]], project: int, rows: int) -> Sequence[T]:
    """The last rows of a list that is read by pages, the newest first; it says its length only with a page of it."""
    page = await read(project, 0, min(rows, _PAGE))
    if page.length is not None and page.length > len(page.rows):
        page = await read(project, max(0, page.length - min(rows, _PAGE)), page.length)
    return list(reversed(page.rows))


async def _found(ground: Ground, name: str) -> tuple[int, str]:
    """The project that an id names, and the deployment where it names one."""
    if name.isascii() and name.isdecimal():
        return int(name), ""
    for fresh in (False, True):
        for one in (await algorithms(ground, fresh=fresh)).rows:
            if one.summary.deploy_id == name and one.summary.project_id is not None:
                return one.summary.project_id, name
    message = f"no deployment is called {name!r}; give the number of a project, or an id such as L-… that `qc algorithms` lists"
    raise Missing(message)


def curve(chart: Chart) -> Sequence[tuple[int, float]]:
    """The equity of a chart as (ms UTC, value), closes where it is drawn in candles."""
    series = chart.series.get("Equity") or next(iter(chart.series.values()), None)
    if series is None:
        return ()
    return [(point.at, point.last) for point in series.values if point.last is not None]


def holdings_json(portfolio: Portfolio) -> list[dict[str, object]]:
    """What is held, in plain values; `unrealised_fraction` is a fraction."""
    return [
        {
            "security": sid,
            "quantity": one.quantity,
            "average_price": one.average_price,
            "market_price": one.market_price,
            "market_value": one.market_value,
            "unrealised": one.unrealized,
            "unrealised_fraction": one.unrealized_fraction,
        }
        for sid, one in portfolio.holdings.items()
    ]


def cash_json(portfolio: Portfolio) -> dict[str, float]:
    """Cash by currency."""
    return {currency: one.amount for currency, one in portfolio.cash.items()}


def order_json(order: Order) -> dict[str, object]:
    """An order in plain values."""
    return {
        "id": order.id,
        "at": order.last_fill_time or order.time,
        "security": order.symbol.id or order.symbol.value,
        "side": order.direction.name.lower(),
        "type": order.type.name.lower().replace("_", "-"),
        "quantity": order.quantity,
        "price": order.price,
        "value": order.value,
        "status": order.status.name.lower().replace("_", "-"),
        "tag": order.tag,
    }


def trade_json(trade: ClosedTrade) -> dict[str, object]:
    """A closed trade in plain values; `duration` is in seconds."""
    return {
        "security": trade.symbol.id or trade.symbol.value,
        "direction": trade.direction.name.lower(),
        "quantity": trade.quantity,
        "entered": trade.entry_time,
        "entry_price": trade.entry_price,
        "exited": trade.exit_time,
        "exit_price": trade.exit_price,
        "pnl": trade.profit_loss,
        "fees": trade.total_fees,
        "duration": trade.duration,
    }
