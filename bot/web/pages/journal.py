"""Journal: orders, fills, closed lots, overrides and what people commanded; each table with its export."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import HTMLResponse

from bot.journal.queries import Queries
from bot.web.api.trading import order_cursor
from bot.web.pages.render import fragment, page
from bot.web.paging import encoded, row_of
from bot.web.problems import not_found
from bot.web.room import ControlRoom, Room
from bot.web.security.gate import Reader
from bot.web.security.principal import Principal

router = APIRouter()

_SHOWN = 50
OrderId = Annotated[str, Path(max_length=64)]
TabName = Annotated[str, Query(pattern="^(orders|fills|lots|overrides|commands|audit|runs)$")]
SymbolName = Annotated[str, Query(max_length=40)]
After = Annotated[str | None, Query(max_length=200)]


@dataclass(frozen=True, slots=True)
class Tab:
    """A table of the page: what reads it, what its cursor is, which bell rings for it, and whether it knows symbols."""

    name: str
    about: str
    read: Callable[..., Sequence[Any]]
    bells: str
    key: Callable[[Any], str | int] = lambda row: row.row
    symbols: bool = True


TABS: Mapping[str, Tab] = {
    tab.name: tab
    for tab in (
        Tab("orders", "Every order, as it stands now.", Queries.orders, "orders", lambda row: f"{row.created}:{row.id}"),
        Tab("fills", "What the venue filled, and what each fill realised.", Queries.fills, "fills"),
        Tab("lots", "Closed lots: who opened, who closed, what it came to.", Queries.lots, "positions"),
        Tab("overrides", "What overruling a source cost or saved.", Queries.overrides, "sources", symbols=False),
        Tab("commands", "What people and programs told the desk.", Queries.commands, "risk", symbols=False),
    )
}
NAMES = (*TABS, "audit", "runs")


@router.get("/journal")
async def journal(
    request: Request, room: Room, principal: Reader, tab: TabName = "orders", symbol: SymbolName = "", after: After = None
) -> HTMLResponse:
    """The page."""
    shown = await _shown(room, tab, symbol, after, principal)
    return await page(request, "journal/page.html", "journal", {**shown, "names": NAMES, "tabs": TABS})


@router.get("/ui/journal")
async def rows(request: Request, room: Room, principal: Reader, tab: TabName = "orders", symbol: SymbolName = "") -> HTMLResponse:
    """The newest of one table."""
    return fragment(request, "journal/rows.html", await _shown(room, tab, symbol, None, principal))


@router.get("/ui/orders/{id}")
async def order(request: Request, room: Room, principal: Reader, id: OrderId) -> HTMLResponse:  # noqa: A002
    """One order: every state it reached, its fills, the decision behind it."""
    del principal
    book = await room.book()

    def read(queries: Queries) -> tuple[Any, Any, Any]:
        found = queries.orders(book=book, id=id, limit=1)
        return found, queries.order_events(id, book=book, limit=100), queries.fills(book=book, order_id=id, limit=100)

    found, events, fills = await room.read(read)
    if not found:
        raise not_found(f"no order has the id {id!r} in these books")
    return fragment(request, "journal/order.html", {"order": found[0], "events": events, "fills": fills})


@router.get("/ui/reports")
async def reports(request: Request, room: Room, principal: Reader) -> HTMLResponse:
    """Tear sheets: those there are, and what is being built."""
    del principal
    return fragment(request, "journal/reports.html", {"reports": room.reports.all(room.now())})


async def _shown(room: ControlRoom, tab: str, symbol: str, after: str | None, principal: Principal) -> dict[str, Any]:
    """The rows of a table and the way to the older ones."""
    empty: dict[str, Any] = {"tab_name": tab, "rows": (), "older": "", "symbol": symbol, "first": after is None}
    if await room.run() is None:
        return empty
    book = await room.book()
    if tab == "runs":
        return {**empty, "rows": await room.read(lambda queries: queries.runs(book, 100))}
    if tab == "audit":
        return {**empty, **await _audited(room, after, principal)}
    kept = TABS[tab]
    chosen = {"symbol": symbol or None} if kept.symbols else {}
    found_rows = await room.read(
        lambda queries: kept.read(queries, book=book, limit=_SHOWN + 1, before=_before(kept, after), **chosen)
    )
    older = ""
    if len(found_rows) > _SHOWN:
        narrowed = {"symbol": symbol} if symbol else {}
        older = "/journal?" + urlencode({"tab": tab, **narrowed, "after": encoded(kept.key(found_rows[_SHOWN - 1]))})
    return {**empty, "rows": found_rows[:_SHOWN], "older": older}


async def _audited(room: ControlRoom, after: str | None, principal: Principal) -> dict[str, Any]:
    """Who changed what in the world that is shown."""
    world, before = await room.world(), row_of(after)
    wanted = {"limit": _SHOWN, "simulated": world.simulated, **({} if before is None else {"before": before})}
    found = await room.ask("audit.list", wanted, principal)
    older = "" if found["next"] is None else "/journal?" + urlencode({"tab": "audit", "after": encoded(found["next"])})
    return {"rows": found["lines"], "older": older}


def _before(tab: Tab, after: str | None) -> Any:
    if tab.name != "orders" or after is None:
        return row_of(after)
    return order_cursor(after)
