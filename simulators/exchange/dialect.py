"""The market in Binance's words: prices as text, times in milliseconds, one-letter keys.

These are the shapes that go on the wire and nothing else; whoever reads them back is a client. `Wire` is such a JSON value.
"""

from __future__ import annotations

from bot.core.market import Quote, Side, Trade
from bot.market.simulated import Bar, Book
from simulators.exchange.orders import Rules
from simulators.exchange.venue import DayTicker

Wire = dict[str, object]
Level = tuple[float, float]

ORDER_TYPES = ("LIMIT", "LIMIT_MAKER", "MARKET", "STOP_LOSS", "STOP_LOSS_LIMIT", "TAKE_PROFIT", "TAKE_PROFIT_LIMIT")


def number(value: float) -> str:
    """Eight decimals, as the venue writes every price and amount."""
    return f"{value:.8f}"


def exchange_info(listings: list[tuple[str, Rules]], now: int, weight_limit: int, order_limit: int) -> Wire:
    """What the venue trades and by which rules."""
    limits = [
        {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": weight_limit},
        {"rateLimitType": "ORDERS", "interval": "SECOND", "intervalNum": 10, "limit": order_limit},
    ]
    symbols = [_symbol_info(name, rules) for name, rules in listings]
    return {"timezone": "UTC", "serverTime": now, "rateLimits": limits, "exchangeFilters": [], "symbols": symbols}


def _symbol_info(name: str, rules: Rules) -> Wire:
    tick, lot, most = f"{rules.price_step:.8f}", f"{rules.amount_step:.8f}", f"{rules.max_amount:.8f}"
    filters: list[Wire] = [
        {"filterType": "PRICE_FILTER", "minPrice": tick, "maxPrice": f"{rules.max_price:.8f}", "tickSize": tick},
        {"filterType": "LOT_SIZE", "minQty": f"{rules.min_amount:.8f}", "maxQty": most, "stepSize": lot},
        {
            "filterType": "MARKET_LOT_SIZE",
            "minQty": "0.00000000",
            "maxQty": f"{rules.max_market_amount:.8f}",
            "stepSize": "0.00000000",
        },
        {
            "filterType": "NOTIONAL",
            "minNotional": f"{rules.min_cost:.8f}",
            "applyMinToMarket": True,
            "maxNotional": f"{rules.max_cost:.8f}",
            "applyMaxToMarket": False,
            "avgPriceMins": 5,
        },
    ]
    return {
        "symbol": name,
        "status": "TRADING" if rules.tradable else "BREAK",
        "baseAsset": rules.base,
        "baseAssetPrecision": 8,
        "quoteAsset": rules.quote,
        "quotePrecision": 8,
        "quoteAssetPrecision": 8,
        "orderTypes": list(ORDER_TYPES),
        "icebergAllowed": False,
        "ocoAllowed": True,
        "quoteOrderQtyMarketAllowed": True,
        "cancelReplaceAllowed": True,
        "isSpotTradingAllowed": True,
        "isMarginTradingAllowed": False,
        "filters": filters,
        "permissions": [],
        "permissionSets": [["SPOT"]],
    }


def kline_row(bar: Bar, length: int) -> list[object]:
    """A candle as REST lists it; taker volumes are not kept apart and read 0."""
    prices = (number(bar.open), number(bar.high), number(bar.low), number(bar.close))
    end = bar.ts + length - 1
    return [bar.ts, *prices, number(bar.volume), end, number(bar.turnover), bar.trades, "0", "0", "0"]


def kline_event(name: str, interval: str, bar: Bar, length: int, closed: bool, now: int) -> Wire:
    """A candle as the stream tells it; `closed` is its `x`."""
    body: Wire = {
        "t": bar.ts,
        "T": bar.ts + length - 1,
        "s": name,
        "i": interval,
        "f": bar.first_trade if bar.trades else -1,
        "L": bar.first_trade + bar.trades - 1 if bar.trades else -1,
        "o": number(bar.open),
        "c": number(bar.close),
        "h": number(bar.high),
        "l": number(bar.low),
        "v": number(bar.volume),
        "n": bar.trades,
        "x": closed,
        "q": number(bar.turnover),
        "V": "0",
        "Q": "0",
        "B": "0",
    }
    return {"e": "kline", "E": now, "s": name, "k": body}


def trade_event(name: str, trade: Trade, now: int) -> Wire:
    """A trade; `m` says that the buyer was the maker."""
    price, amount, maker = number(trade.price), number(trade.amount), trade.side is Side.SELL
    return {"e": "trade", "E": now, "s": name, "t": int(trade.id), "p": price, "q": amount, "T": trade.ts, "m": maker, "M": True}


def agg_trade_event(name: str, trade: Trade, now: int) -> Wire:
    """A trade as an aggregate of one."""
    return {"e": "aggTrade", "E": now, "s": name, **agg_trade(trade)}


def agg_trade(trade: Trade) -> Wire:
    """A trade as an aggregate of one, as REST lists it."""
    ident, maker = int(trade.id), trade.side is Side.SELL
    price, amount = number(trade.price), number(trade.amount)
    return {"a": ident, "p": price, "q": amount, "f": ident, "l": ident, "T": trade.ts, "m": maker, "M": True}


def recent_trade(trade: Trade) -> Wire:
    """A trade as `GET trades` lists it."""
    return {
        "id": int(trade.id),
        "price": number(trade.price),
        "qty": number(trade.amount),
        "quoteQty": number(trade.price * trade.amount),
        "time": trade.ts,
        "isBuyerMaker": trade.side is Side.SELL,
        "isBestMatch": True,
    }


def book_ticker_event(name: str, quote: Quote, sequence: int) -> Wire:
    """The best bid and ask, without event name or time, as the venue sends it."""
    bid, ask = number(quote.bid), number(quote.ask)
    return {"u": sequence, "s": name, "b": bid, "B": number(quote.bid_size), "a": ask, "A": number(quote.ask_size)}


def book_ticker(name: str, quote: Quote) -> Wire:
    """The best bid and ask, as REST lists it."""
    return {
        "symbol": name,
        "bidPrice": number(quote.bid),
        "bidQty": number(quote.bid_size),
        "askPrice": number(quote.ask),
        "askQty": number(quote.ask_size),
    }


def day_ticker(name: str, ticker: DayTicker) -> Wire:
    """24 hours, as REST tells them."""
    bar = ticker.bar
    change = bar.close - bar.open
    return {
        **book_ticker(name, ticker.quote),
        "priceChange": number(change),
        "priceChangePercent": f"{change / bar.open * 100:.3f}",
        "weightedAvgPrice": number(_average(bar)),
        "prevClosePrice": number(bar.open),
        "lastPrice": number(bar.close),
        "lastQty": number(0.0),
        "openPrice": number(bar.open),
        "highPrice": number(bar.high),
        "lowPrice": number(bar.low),
        "volume": number(bar.volume),
        "quoteVolume": number(bar.turnover),
        "openTime": bar.ts,
        "closeTime": ticker.ts,
        "firstId": bar.first_trade,
        "lastId": bar.first_trade + bar.trades - 1,
        "count": bar.trades,
    }


def ticker_event(name: str, ticker: DayTicker, now: int) -> Wire:
    """24 hours with the best bid and ask, as the stream tells them."""
    bar, quote = ticker.bar, ticker.quote
    change = bar.close - bar.open
    return {
        **mini_ticker_event(name, ticker, now),
        "e": "24hrTicker",
        "p": number(change),
        "P": f"{change / bar.open * 100:.3f}",
        "w": number(_average(bar)),
        "x": number(bar.open),
        "Q": number(0.0),
        "b": number(quote.bid),
        "B": number(quote.bid_size),
        "a": number(quote.ask),
        "A": number(quote.ask_size),
        "O": bar.ts,
        "C": ticker.ts,
        "F": bar.first_trade,
        "L": bar.first_trade + bar.trades - 1,
        "n": bar.trades,
    }


def mini_ticker_event(name: str, ticker: DayTicker, now: int) -> Wire:
    """24 hours without bid and ask."""
    bar = ticker.bar
    return {
        "e": "24hrMiniTicker",
        "E": now,
        "s": name,
        "c": number(bar.close),
        "o": number(bar.open),
        "h": number(bar.high),
        "l": number(bar.low),
        "v": number(bar.volume),
        "q": number(bar.turnover),
    }


def book_snapshot(book: Book) -> Wire:
    """Depth, as REST and the partial depth streams tell it."""
    return {"lastUpdateId": book.sequence, "bids": _levels(book.bids), "asks": _levels(book.asks)}


def depth_event(name: str, before: Book, after: Book, now: int) -> Wire:
    """What changed from one book to a later one; a level that is gone has amount 0."""
    return {
        "e": "depthUpdate",
        "E": now,
        "s": name,
        "U": before.sequence + 1,
        "u": after.sequence,
        "b": _levels(changes(before.bids, after.bids)),
        "a": _levels(changes(before.asks, after.asks)),
    }


def error(code: int, message: str) -> Wire:
    """An error, as the venue words it."""
    return {"code": code, "msg": message}


def changes(before: tuple[Level, ...], after: tuple[Level, ...]) -> tuple[Level, ...]:
    """The levels of one side that differ between two books; one that is gone has amount 0."""
    old, new = dict(before), dict(after)
    changed = [(price, amount) for price, amount in after if old.get(price) != amount]
    return (*changed, *((price, 0.0) for price, _ in before if price not in new))


def _levels(levels: tuple[Level, ...]) -> list[list[str]]:
    return [[number(price), number(amount)] for price, amount in levels]


def _average(bar: Bar) -> float:
    return bar.turnover / bar.volume if bar.volume else bar.close
