"""What the assistant may read, each as a small bounded answer: the books and decisions in the journal, the market, costs, limits.

Text of others (reasonings, reasons, errors) stands only under keys that begin with `untrusted_`, made plain and cut short, inside
JSON strings. Nothing here writes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from bot.core.market import MarketView, timeframe_ms
from bot.journal.queries import Queries
from bot.journal.run import BookKey
from bot.runtime.jobs import Progress
from bot.services.running import running
from bot.services.use_case import Ground, UseCaseError, use_case
from sources.llm.costs import By, CostLine
from sources.llm.minds import Minds
from sources.llm.wording import plain, plain_json, tidy

T = TypeVar("T")

_DAY_MS = 86_400_000
_LONGEST_WORDS = 300
_LONGEST_NAME = 64
_CANDLES_SHOWN = 12
_MOST_ANALYSED, _MOST_TIMEFRAMES = 3, 4
_ENOUGH = 30  # candles of which an analysis can be made
_USUAL = ("1h", "4h", "1d")


@dataclass(frozen=True, slots=True)
class Look:
    """What is looked at: None means all. `limit` bounds the rows, `days` the time."""

    symbol: str | None = None
    source: str | None = None
    by: str = "model"
    limit: int = 10
    days: int = 7


@dataclass(frozen=True, slots=True)
class Books:
    """The books that are looked at, and the run that writes them."""

    book: BookKey
    run: str


@dataclass(frozen=True, slots=True)
class Sights:
    """Where everything is read: of `status` None where no bot runs."""

    ground: Ground
    minds: Minds
    status: Mapping[str, Any] | None
    payer: str = ""

    @property
    def view(self) -> MarketView | None:
        """The market as the bot sees it; None in a command that stands alone."""
        bot = running(self.ground)
        return None if bot is None else bot.port.view

    async def read(self, work: Callable[[Queries, Books], T]) -> T:
        """What a question to the journal finds; `UseCaseError` where nothing was recorded yet, or the journal's own errors."""

        def asked() -> T:
            settings = self.ground.loaded.settings
            with Queries(settings.database_url) as queries:
                run = queries.run(self.ground.run) if self.ground.run else queries.newest_of(settings.bot.name)
                if run is None:
                    message = "nothing was recorded yet: no run is in the journal"
                    raise UseCaseError(message)
                return work(queries, Books(BookKey(run.bot, run.mode, run.venue, run.world), run.id))

        return await asyncio.to_thread(asked)


async def positions(sights: Sights, look: Look) -> dict[str, Any]:
    """What is held, at what price, and how it is protected; and what the book is worth."""
    held, worth = await sights.read(
        lambda queries, books: (queries.positions(books.book), queries.equity(book=books.book, limit=2)[-1:])
    )
    rows = [
        {
            "symbol": each.symbol,
            "amount": str(each.amount),
            "entry": _text(each.average),
            "price": each.price,
            "unrealised": each.unrealised,
            "realised": str(each.realised),
            "opened_by": _name(each.opener),
            "stop_loss": each.stop_loss,
            "take_profit": each.take_profit,
            "at": each.at,
        }
        for each in held
        if look.symbol in (None, each.symbol)
    ]
    book = [{"cash": str(each.cash), "equity": each.equity, "exposure": each.exposure, "at": each.at} for each in worth]
    live = {name: plain_json((sights.status or {}).get(name)) for name in ("cash", "equity", "pnl")}
    return {"rows": rows, "book": book[0] if book else None, "running_bot_now": live if sights.status is not None else None}


async def decisions(sights: Sights, look: Look) -> dict[str, Any]:
    """The newest decisions of all sources, each with its fate and the words it came with."""
    found = await sights.read(
        lambda queries, books: queries.decisions(book=books.book, source=look.source, symbol=look.symbol, limit=look.limit)
    )
    rows = [
        {
            "id": each.id,
            "at": each.at,
            "source": _name(each.source),
            "tier": each.tier.label,
            "symbol": each.symbol,
            "action": each.action.value,
            "confidence": tidy(each.confidence, 4),
            "price": each.price,
            "stop_loss": each.stop_loss,
            "take_profit": each.take_profit,
            "fate": None if each.fate is None else each.fate.value,
            "denial": each.denial,
            "cost_usd": str(each.cost),
            "untrusted_reasoning": _words(each.reasoning),
            "untrusted_fate_reason": _words(each.fate_reason),
        }
        for each in found
    ]
    return {"rows": rows}


async def orders(sights: Sights, look: Look) -> dict[str, Any]:
    """The newest orders as they stand, the open ones among them."""
    found = await sights.read(lambda queries, books: queries.orders(book=books.book, symbol=look.symbol, limit=look.limit))
    rows = [
        {
            "id": each.id,
            "created": each.created,
            "symbol": each.symbol,
            "side": each.side.value,
            "type": each.type.value,
            "leg": each.leg.value,
            "amount": str(each.amount),
            "limit": _text(each.price),
            "state": each.state.value,
            "filled": str(each.filled),
            "average": _text(each.average),
            "source": _name(each.source),
            "untrusted_reason": _words(each.reason),
        }
        for each in found
    ]
    return {"rows": rows}


async def market(sights: Sights, look: Look) -> dict[str, Any]:
    """Prices, spreads and the last candles as the bot sees them; without a running bot, the last prices in the journal."""
    symbols = [look.symbol] if look.symbol else list(sights.ground.loaded.settings.exchange.symbols)[: look.limit]
    view = sights.view
    if view is None:
        found = await sights.read(lambda queries, books: queries.positions(books.book, flat=True))
        rows = [{"symbol": each.symbol, "price": each.price, "at": each.at} for each in found if each.symbol in symbols]
        return {"rows": rows, "note": "the market itself is not at hand: these are prices of positions, as old as `at` says"}
    health = (sights.status or {}).get("health", {})
    rows = [_seen(view, symbol) | {"data": health.get(symbol, "fresh")} for symbol in symbols]
    return {"rows": rows}


def _seen(view: MarketView, symbol: str) -> dict[str, Any]:
    quote = view.quotes.get(symbol)
    candles = {
        timeframe: [
            [each.ts, tidy(each.open), tidy(each.high), tidy(each.low), tidy(each.close), tidy(each.volume)]
            for each in list(rows)[-_CANDLES_SHOWN:]
        ]
        for timeframe, rows in list(view.candles.get(symbol, {}).items())[:4]
    }
    spread = None if quote is None or quote.mid <= 0 else tidy((quote.ask - quote.bid) / quote.mid, 3)
    return {
        "symbol": symbol,
        "price": tidy(view.price(symbol), 9),
        "bid": None if quote is None else quote.bid,
        "ask": None if quote is None else quote.ask,
        "spread_fraction": spread,
        "at": None if quote is None else quote.at,
        "candles_ts_open_high_low_close_volume": candles,
    }


async def performance(sights: Sights, look: Look) -> dict[str, Any]:
    """How the book does: equity, drawdown, what each source proposed and would have earned alone, the last closed trades."""

    def work(queries: Queries, books: Books) -> dict[str, Any]:
        curve = queries.equity(book=books.book, limit=24)
        lots = queries.lots(book=books.book, symbol=look.symbol, limit=look.limit)
        shadows = queries.shadow(book=books.book)
        newest = curve[-1] if curve else None
        return {
            "equity_now": None if newest is None else newest.equity,
            "drawdown_now": None if newest is None else tidy(newest.drawdown, 4),
            "peak": None if newest is None else newest.peak,
            "realised": None if newest is None else str(newest.realised),
            "fees": None if newest is None else str(newest.fees),
            "equity_curve_at_equity": [[each.at, tidy(each.equity, 8)] for each in curve],
            "alone": [
                {"source": _name(each.source), "equity": tidy(each.equity, 8), "trades": each.trades, "wins": each.wins}
                for each in shadows[: look.limit]
            ],
            "rows": [
                {
                    "at": each.at,
                    "symbol": each.symbol,
                    "amount": str(each.amount),
                    "entry": str(each.entry),
                    "exit": str(each.exit),
                    "pnl": str(each.pnl),
                    "opener": _name(each.opener),
                    "closer": _name(each.closer),
                }
                for each in lots
            ],
        }

    return await sights.read(work)


async def costs(sights: Sights, look: Look) -> dict[str, Any]:
    """What language models have cost in USD, and how far the limits are used."""
    now = sights.ground.now()
    since = now - look.days * _DAY_MS
    by = next((each for each in By if each.value == look.by), By.MODEL)
    lines = await sights.minds.costs.by(by, since, now + 1, limit=look.limit)
    total = await sights.minds.costs.total(since, now + 1)
    limits = await sights.minds.ledger.standing(sights.payer)
    return {
        "days": look.days,
        "total": _cost(total),
        "rows": [_cost(line) for line in lines],
        "limits": [
            {"limit": each.limit_name.value, "period": each.period, "usd": str(each.limit), "spent": str(each.spent)}
            for each in limits
        ],
    }


def _cost(line: CostLine) -> dict[str, Any]:
    return {"key": _name(line.key), "calls": line.calls, "usd": str(line.usd), "tokens": line.usage.input + line.usage.output}


async def sources(sights: Sights, look: Look) -> dict[str, Any]:
    """The sources: whether they are on, their troubles, and what became of what they proposed."""
    counts = await sights.read(lambda queries, books: queries.counts(book=books.book))
    status = sights.status or {}
    states: Mapping[str, str] = status.get("sources", {})
    names = list(dict.fromkeys([*states, *(each.source for each in counts)]))
    rows = [
        {
            "source": _name(name),
            "state": states.get(name, "not running"),
            "fates": {str(each.fate or "none yet"): each.count for each in counts if each.source == name},
            "untrusted_trouble": _words(str(plain_json(status.get("source_troubles", {})).get(name) or "")),
        }
        for name in names
        if look.source in (None, name)
    ]
    return {"rows": rows[: look.limit], "bot_runs": sights.status is not None}


async def risk(sights: Sights, look: Look) -> dict[str, Any]:
    """The trading state, the limits, and the last changes of the state."""
    changes = await sights.read(lambda queries, books: queries.risk_states(book=books.book, limit=look.limit))
    status = sights.status or {}
    limits = sights.ground.loaded.settings.risk.model_dump(mode="json")
    return {
        "state": status.get("state", "no bot runs"),
        "limits": plain_json(limits),
        "unhealthy_markets": plain_json(status.get("health", {})),
        "working_orders": status.get("working_orders"),
        "rows": [
            {"at": each.at, "state": each.state.value, "actor": _name(each.actor), "untrusted_reason": _words(each.reason)}
            for each in changes
        ],
    }


async def analysis(sights: Sights, look: Look) -> dict[str, Any]:
    """What charts, news and the book say: of the running bot's own candles, or, without one, of the venue's."""
    symbols = [look.symbol] if look.symbol else list(sights.ground.loaded.settings.exchange.symbols)[:_MOST_ANALYSED]
    case = use_case("analysis.analyse")
    args = case.read({"symbols": symbols, "timeframes": _timeframes(sights.view, symbols), "fundamentals": False})
    found = await case.run(sights.ground, args, _unheard)
    analyses = found["analyses"]
    assert isinstance(analyses, Mapping)
    rows = [plain_json(each["compact"], longest=200) for each in analyses.values()]
    return {"rows": rows, "candles_of": found["origin"], "missing": plain_json(found["missing"])}


def _timeframes(view: MarketView | None, symbols: Sequence[str]) -> list[str]:
    """Those of which the bot has enough candles, the shortest first; without any, the usual ones."""
    here = {} if view is None else view.candles
    long = [{name for name, rows in here.get(each, {}).items() if len(rows) >= _ENOUGH} for each in symbols]
    shared = set.intersection(*long) if long else set()
    return sorted(shared, key=timeframe_ms)[-_MOST_TIMEFRAMES:] or list(_USUAL)


def _unheard(progress: Progress) -> None:
    del progress  # an answer is not told how far its look-ups are


def _words(text: str | None) -> str:
    return plain(text or "", _LONGEST_WORDS)


def _name(text: str | None) -> str | None:
    return None if text is None else plain(text, _LONGEST_NAME)


def _text(value: object) -> str | None:
    return None if value is None else str(value)


Reader = Callable[[Sights, Look], Any]
READERS: Mapping[str, Reader] = {
    "positions": positions,
    "decisions": decisions,
    "orders": orders,
    "market": market,
    "performance": performance,
    "costs": costs,
    "sources": sources,
    "risk": risk,
    "analysis": analysis,
}
