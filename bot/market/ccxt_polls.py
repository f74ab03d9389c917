"""Quotes and trades by REST: for venues without websockets, and to ask a silent symbol whether it is quiet or cut off."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import structlog

from bot.market.ccxt_intake import Intake
from bot.market.ccxt_venue import CcxtVenue
from bot.market.feed_config import FeedConfig

_log = structlog.get_logger(__name__)


async def quotes_by_rest(venue: CcxtVenue, symbols: Sequence[str], intake: Intake) -> dict[str, bool]:
    """Take the quotes of these symbols by REST; for those that were answered, say whether their prices were not the known ones.

    A failure is logged and counted as a refusal, and no symbol is answered: they stay silent, and the watchdog says so.
    """
    try:
        tickers = await _tickers(venue, symbols)
    except Exception as error:  # noqa: BLE001 - the boundary of a poll: whatever the venue answered, the next one is due
        intake.statistics.refused["poll_failed"] += 1
        _log.warning("quotes_not_polled", venue=venue.id, error=f"{type(error).__name__}: {error}"[:200])
        return {}
    changed: dict[str, bool] = {}
    for symbol in symbols:
        ticker = tickers.get(symbol)
        if ticker is None:
            continue
        known = intake.quotes.get(symbol)
        changed[symbol] = known is not None and (known.bid, known.ask) != (ticker["bid"], ticker["ask"])
        intake.take_quote(symbol, ticker)
    return changed


async def _tickers(venue: CcxtVenue, symbols: Sequence[str]) -> Mapping[str, Mapping[str, Any]]:
    tickers: Mapping[str, Mapping[str, Any]]
    if venue.has("fetchBidsAsks"):
        tickers = await venue.exchange.fetch_bids_asks(list(symbols))
    elif venue.has("fetchTickers"):
        tickers = await venue.exchange.fetch_tickers(list(symbols))
    else:
        tickers = {symbol: await venue.exchange.fetch_ticker(symbol) for symbol in symbols}
    return tickers


async def poll_trades(venue: CcxtVenue, config: FeedConfig, intake: Intake) -> None:
    """Take the public trades of every symbol again and again; repeated ones are known by their id."""
    newest: dict[str, int] = {}
    while True:
        for symbol in config.symbols:
            try:
                trades = await venue.exchange.fetch_trades(symbol, newest.get(symbol), 1000)
            except Exception as error:  # noqa: BLE001 - the boundary of a poll: whatever the venue answered, the next one is due
                intake.statistics.refused["poll_failed"] += 1
                _log.warning("trades_not_polled", symbol=symbol, error=f"{type(error).__name__}: {error}"[:200])
                intake.candles.distrust_trades([symbol])
                continue
            for trade in sorted(trades, key=lambda trade: int(trade["timestamp"] or 0)):
                intake.take_trade(symbol, trade)
                newest[symbol] = max(newest.get(symbol, 0), int(trade["timestamp"] or 0))
        await asyncio.sleep(config.poll_interval)
