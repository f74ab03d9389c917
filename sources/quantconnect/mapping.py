"""Symbols both ways: LEAN's ticker, market and security identifier (SID), and the unified symbol that the bot trades.

LEAN writes base and quote without a separator, so the way back is a guess wherever nobody has said it: the configured map goes
first, then what the bot trades, then the longest known quote. What could be two things is refused, never guessed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from sources.quantconnect.models_trade import SecurityType

QUOTES = ("FDUSD", "USDT", "USDC", "BUSD", "TUSD", "EUR", "GBP", "JPY", "TRY", "BRL", "USD", "BTC", "ETH", "BNB", "DAI")
"""Quote currencies by which a ticker is taken apart."""

MARKETS: Mapping[str, int] = {
    "usa": 1,
    "fxcm": 2,
    "oanda": 3,
    "bitfinex": 5,
    "gdax": 12,
    "kraken": 13,
    "binance": 16,
    "binanceus": 36,
    "bybit": 37,
    "coinbase": 38,
    "dydx": 42,
}
"""LEAN's codes of the markets that a SID of crypto, forex and cfd is computed from."""

_NAMES = {code: name for name, code in MARKETS.items()}
_COMPUTED = frozenset({SecurityType.CRYPTO, SecurityType.CRYPTO_FUTURE, SecurityType.FOREX, SecurityType.CFD})
_TYPES = frozenset(SecurityType) - {SecurityType.UNKNOWN}
_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_LONGEST = 64
_KEPT = 4_096


class UnmappedSymbol(ValueError):  # noqa: N818 - it names what the symbol is
    """A symbol that is not one the bot knows, or could be several. The message says which, why, and what to write where."""


class UnheardMarket(UnmappedSymbol):
    """A security of a market that the configuration leaves out."""


@dataclass(frozen=True, slots=True)
class LeanSymbol:
    """A security as LEAN names it. `sid` is empty where it cannot be computed: an equity's holds the date of its listing."""

    ticker: str
    market: str
    type: SecurityType
    sid: str = ""


def sid_of(ticker: str, market: str, kind: SecurityType) -> str:
    """The security identifier of a crypto pair, crypto future, forex pair or cfd; `ValueError` for others and unknown markets."""
    code = MARKETS.get(market)
    if code is None or kind not in _COMPUTED:
        message = f"the identifier of {ticker} ({kind.name.lower()}) at {market} cannot be computed: look it up"
        raise ValueError(message)
    return f"{ticker} {_base36(100 * code + kind)}"


def read_sid(sid: str) -> LeanSymbol:
    """What a SID says: ticker, market and type, each empty or unknown where it does not tell (an equity's holds more)."""
    ticker, _, properties = sid.strip().partition(" ")
    if not properties or len(properties) > 6 or not properties.isascii() or not properties.isalnum():
        kind = SecurityType.EQUITY if len(properties) > 6 else SecurityType.UNKNOWN
        return LeanSymbol(ticker, "", kind, sid.strip() if properties else "")
    number = int(properties, 36)
    kind = SecurityType(number % 100) if number % 100 in _TYPES else SecurityType.UNKNOWN
    return LeanSymbol(ticker, _NAMES.get(number // 100 % 1_000, ""), kind, sid.strip())


class SymbolMap:
    """Maps symbols between LEAN and the bot; what it found out it remembers.

    `explicit` goes before everything: its keys are a SID (`BTCUSDT 18N`), a market and a ticker (`binance:BTCUSDT`) or a ticker.
    `traded` are the bot's symbols, by which tickers are recognised. `markets` are those that are heard; empty means all.
    """

    def __init__(self, explicit: Mapping[str, str], traded: Iterable[str] = (), markets: Sequence[str] = ()) -> None:
        self._explicit = {_key(name): symbol for name, symbol in explicit.items()}
        self._back = {symbol: name for name, symbol in reversed(list(explicit.items()))}
        self._markets = frozenset(market.lower() for market in markets)
        self._by_ticker: dict[str, list[str]] = {}
        for symbol in dict.fromkeys((*traded, *explicit.values())):
            self._by_ticker.setdefault(ticker_of(symbol), []).append(symbol)
        self._known: dict[tuple[str, str, str], str] = {}

    def to_bot(self, ticker: str, sid: str = "", market: str = "") -> str:
        """The unified symbol; `UnmappedSymbol` where there is none, or more than one."""
        key = (ticker, sid, market)
        found = self._known.get(key)
        if found is None:
            found = self._found(ticker, sid, market)
            if len(self._known) >= _KEPT:
                self._known.clear()
            self._known[key] = found
        return found

    def _found(self, ticker: str, sid: str, market: str) -> str:
        told = read_sid(sid)
        ticker = (ticker or told.ticker).strip().upper()
        market = (market or told.market).strip().lower()
        shown = sid or (f"{market}:{ticker}" if market else ticker)
        if not ticker or len(ticker) > _LONGEST or len(sid) > _LONGEST or not ticker.isprintable():
            message = f"{shown[:_LONGEST]!r} names no security: the ticker is missing or too long"
            raise UnmappedSymbol(message)
        for name in (sid, f"{market}:{ticker}", ticker):
            if name and (said := self._explicit.get(_key(name))) is not None:
                return said
        if self._markets and market and market not in self._markets:
            heard = ", ".join(sorted(self._markets))
            message = f"{shown} is of {market}, and only {heard} is heard: add the market, or map {_quoted(sid or ticker)}"
            raise UnheardMarket(message)
        return self._recognised(shown, ticker, told.type)

    def _recognised(self, shown: str, ticker: str, kind: SecurityType) -> str:
        """By what the bot trades, else by the quote."""
        traded = [symbol for symbol in self._by_ticker.get(ticker, ()) if _is_of(symbol, kind)]
        if kind is SecurityType.EQUITY and not traded:
            message = f"{shown} is an equity that the bot does not trade: write params.symbols: {{{_quoted(shown)}: ...}}"
            raise UnmappedSymbol(message)
        return _only(shown, traded) if traded else _only(shown, [_settled(pair, kind) for pair in _pairs(ticker)])

    def to_lean(self, symbol: str, market: str) -> LeanSymbol:
        """The security at a market; an explicit entry decides where it is one. `UnmappedSymbol` for what LEAN cannot hold."""
        said = self._back.get(symbol)
        if said is not None and " " in said:
            return read_sid(said)
        ticker = ticker_of(symbol)
        if said is not None:
            named, _, plain = said.rpartition(":")
            ticker, market = plain.upper(), named.lower() or market
        market, kind = market.lower(), _type_at(symbol, market.lower())
        if kind is SecurityType.EQUITY:
            return LeanSymbol(ticker, market, kind)
        if market not in MARKETS:
            message = f"{symbol}: the code of market {market!r} is not known; use one of {', '.join(MARKETS)}"
            raise UnmappedSymbol(message)
        return LeanSymbol(ticker, market, kind, sid_of(ticker, market, kind))


def ticker_of(symbol: str) -> str:
    """LEAN's ticker of a unified symbol: base and quote in one, without what it is settled in."""
    return symbol.partition(":")[0].replace("/", "").upper()


def _type_at(symbol: str, market: str) -> SecurityType:
    if "/" not in symbol:
        return SecurityType.EQUITY
    if ":" in symbol:
        return SecurityType.CRYPTO_FUTURE
    return SecurityType.FOREX if market in {"oanda", "fxcm"} else SecurityType.CRYPTO


def _is_of(symbol: str, kind: SecurityType) -> bool:
    if kind is SecurityType.UNKNOWN:
        return True
    if kind is SecurityType.EQUITY:
        return "/" not in symbol
    return (":" in symbol) == (kind is SecurityType.CRYPTO_FUTURE) and "/" in symbol


def _pairs(ticker: str) -> list[tuple[str, str]]:
    """How a ticker can be taken apart: at its longest quote, and one letter later where that leaves a quote as well.

    DOTUSD ends in TUSD as well as in USD: a single letter belongs to either side, and only a person knows to which.
    """
    quotes = sorted((quote for quote in QUOTES if ticker.endswith(quote) and len(ticker) > len(quote)), key=len, reverse=True)
    near = [quote for quote in quotes if len(quote) >= len(quotes[0]) - 1]
    return [(ticker.removesuffix(quote), quote) for quote in near]


def _settled(pair: tuple[str, str], kind: SecurityType) -> str:
    base, quote = pair
    if kind is not SecurityType.CRYPTO_FUTURE:
        return f"{base}/{quote}"
    return f"{base}/{quote}:{base if quote == 'USD' else quote}"  # those in dollars are margined in the coin


def _only(shown: str, candidates: Sequence[str]) -> str:
    if len(candidates) == 1:
        return candidates[0]
    if not candidates:
        message = f"{shown} ends in no known quote currency: write params.symbols: {{{_quoted(shown)}: BASE/QUOTE}}"
    else:
        either = " or ".join(candidates)
        message = f"{shown} is ambiguous, {either}: write params.symbols: {{{_quoted(shown)}: {candidates[0]}}}, or the other"
    raise UnmappedSymbol(message)


def _quoted(name: str) -> str:
    return f'"{name}"'


def _key(name: str) -> str:
    return " ".join(name.split()).upper()


def _base36(number: int) -> str:
    digits = ""
    while number:
        number, digit = divmod(number, 36)
        digits = _DIGITS[digit] + digits
    return digits or "0"
