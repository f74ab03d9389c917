"""ccxt.pro made loss-free: a subclass that hands us every message as it is parsed, and survives those that cannot be.

ccxt's `watch_*` resolves a one-shot future: what arrives while nobody awaits is lost to the caller, and an exception while a
frame is parsed ends the receive loop without a word. Here the `watch_*` calls only hold subscriptions. ccxt exchanges build their
unified trades and tickers through `safe_trade` and `safe_ticker`; while a websocket frame is being handled, each result goes
straight to the `Tap`. tests/market/test_market_ccxt_contract.py holds down the internals this relies on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol


class Tap(Protocol):
    """Who is told, synchronously, what a frame held. What it raises counts as poison and ends nothing."""

    def on_ticker(self, ticker: Mapping[str, Any]) -> None:
        """A unified ticker (or best bid and ask) was parsed."""
        ...

    def on_public_trade(self, trade: Mapping[str, Any]) -> None:
        """A unified trade was parsed."""
        ...

    def on_kline(self, symbol: str, timeframe: str, row: Sequence[float], closed: bool) -> None:
        """The venue said of a candle whether it is closed; row is [ts ms, open, high, low, close, volume]."""
        ...


class Keeper(Protocol):
    """Who looks after the connections."""

    def on_client(self, client: Any) -> None:
        """A websocket client was asked for by the task that is running."""
        ...

    def on_poison(self, url: str, error: Exception) -> None:
        """A frame could not be handled."""
        ...

    def on_lost(self, client: Any, error: object) -> None:
        """A connection ended."""
        ...


def guarded(base: Any) -> Any:
    """A subclass of a ccxt.pro exchange class that tells its `tap` and its `keeper`, once `attach` has set them."""
    body = {"in_frame": False, "tap": None, "keeper": None}
    return type(f"Guarded{base.__name__}", (base,), body | _parsing(base) | _connecting(base))


def attach(exchange: Any, tap: Tap, keeper: Keeper) -> None:
    """From now on, tell these two."""
    exchange.tap, exchange.keeper = tap, keeper


def _parsing(base: Any) -> dict[str, Any]:
    """The methods that see what a frame held."""

    def handle_message(self: Any, client: Any, message: object) -> None:
        self.in_frame = self.tap is not None
        try:
            base.handle_message(self, client, message)
        finally:
            self.in_frame = False

    def safe_trade(self: Any, trade: Any, market: Any = None) -> Any:
        result = base.safe_trade(self, trade, market)
        if self.in_frame:
            self.tap.on_public_trade(result)
        return result

    def safe_ticker(self: Any, ticker: Any, market: Any = None) -> Any:
        result = base.safe_ticker(self, ticker, market)
        if self.in_frame:
            self.tap.on_ticker(result)
        return result

    def handle_ohlcv(self: Any, client: Any, message: Any, *rest: Any) -> Any:
        result = base.handle_ohlcv(self, client, message, *rest)
        kline = message.get("k") if isinstance(message, dict) else None
        if self.in_frame and isinstance(kline, dict) and isinstance(kline.get("x"), bool):
            row = [float(kline[name]) for name in ("o", "h", "l", "c", "v")]
            symbol = self.safe_symbol(kline["s"], None, None, self.options.get("defaultType", "spot"))
            self.tap.on_kline(symbol, self.find_timeframe(kline["i"]), [int(kline["t"]), *row], kline["x"])
        return result

    methods = {"handle_message": handle_message, "safe_trade": safe_trade, "safe_ticker": safe_ticker}
    return methods | ({"handle_ohlcv": handle_ohlcv} if hasattr(base, "handle_ohlcv") else {})


def _connecting(base: Any) -> dict[str, Any]:
    """The methods that see connections come and go."""

    def client(self: Any, url: str) -> Any:
        made = base.client(self, url)
        if not getattr(made, "guarded", False):
            made.guarded = True
            made.handle_message = _surviving(self, made)
        if self.keeper is not None:
            self.keeper.on_client(made)
        return made

    def on_close(self: Any, client: Any, error: object) -> None:
        current = _is_current(self, client)
        base.on_close(self, client, error)
        if current:
            self.keeper.on_lost(client, error)

    def on_error(self: Any, client: Any, error: object) -> None:
        current = _is_current(self, client)
        base.on_error(self, client, error)
        if current:
            self.keeper.on_lost(client, error)

    return {"client": client, "on_close": on_close, "on_error": on_error}


def _is_current(exchange: Any, client: Any) -> bool:
    """A client that was replaced meanwhile has nothing to say about its successor."""
    return exchange.keeper is not None and (exchange.clients or {}).get(client.url) is client


def _surviving(exchange: Any, client: Any) -> Callable[[Any], None]:
    handle: Callable[[Any], None] = client.handle_message

    def survive(message: Any) -> None:
        try:
            handle(message)
        except Exception as error:  # noqa: BLE001 - the boundary: whatever one frame does, the next is read; the keeper counts it
            if exchange.keeper is not None:
                exchange.keeper.on_poison(client.url, error)

    return survive
