"""ccxt.pro made fit to trade on: a subclass that says what a frame held, survives poison, and asks a budget before a venue.

ccxt's `watch_*` resolves a one-shot future: what arrives while nobody awaits it is lost to the caller, and an exception while a
frame is parsed ends the receive loop without a word. ccxt builds its unified orders and trades through `safe_order` and
`safe_trade`; while a frame is being handled, each result goes straight to the tap.

Of each request the `Call` of the running task learns whether it left and what came back. An HTTP 200 that holds no JSON would
become an order without an id, or worse an empty list: here it is `Unreadable`.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from execution.budget import Budget, BudgetSpent, Lane
from execution.ccxt_outcome import CALL, Unreadable

_RATE_LIMITED = frozenset({418, 429})
_RETRY_MS = 1_000
_LONGEST_RETRY_S = 3_600.0
_PONG = 10  # aiohttp's WSMsgType.PONG
_USED_WEIGHT = "x-mbx-used-weight-1m"
# ccxt counts Binance's weights in fifths; other venues' costs are taken as they are.
_WEIGHT_OF_COST = {"binance": 5.0, "binanceus": 5.0}


class Tap(Protocol):
    """Who is told, synchronously, what the account's stream says. What it raises counts as poison and ends nothing."""

    def on_order(self, order: Mapping[str, Any]) -> None:
        """A unified order was parsed. It is ccxt's own and will change."""
        ...

    def on_trade(self, trade: Mapping[str, Any]) -> None:
        """A unified trade was parsed. It is ccxt's own and will change."""
        ...

    def on_frame(self, client: Any, message: object) -> None:
        """A frame came, decoded; before it is handled."""
        ...

    def on_pong(self, client: Any) -> None:
        """A control frame answered ours."""
        ...

    def on_client(self, client: Any) -> None:
        """A websocket client was asked for."""
        ...

    def on_poison(self, client: Any, error: Exception) -> None:
        """A frame could not be handled."""
        ...

    def on_gone(self, client: Any, error: object) -> None:
        """A connection ended."""
        ...


def trading(base: Any) -> Any:
    """A subclass of a ccxt.pro exchange class for an account; give it to `CcxtVenue.open` as `derive`.

    It is idle until `set_budget` and a tap are set.
    """
    body = {"trading": True, "in_frame": False, "tap": None, "budget": None}
    return type(f"Trading{base.__name__}", (base,), body | _parsing(base) | _connecting(base) | _asking(base) | _answering(base))


def metered(base: Any) -> Any:
    """A subclass of a ccxt exchange class for market data, which shares the venue's limit: it asks the budget.

    `told`, once set on the instance, hears of every request whether it failed.
    """
    asking = _asking(base)

    async def throttle(self: Any, cost: float | None = None) -> None:
        try:
            await asking["throttle"](self, cost)
        except BudgetSpent as spent:
            from ccxt.base.errors import RateLimitExceeded  # noqa: PLC0415 - ccxt is heavy

            # What reads market data knows ccxt's errors, and how to wait them out.
            raise RateLimitExceeded(spent.reason) from spent

    async def fetch(self: Any, *request: Any, **named: Any) -> Any:
        try:
            answer = await asking["fetch"](self, *request, **named)
        except Exception:
            self.told(True)
            raise
        self.told(False)
        return answer

    body = {"budget": None, "told": staticmethod(lambda failed: None), "throttle": throttle, "fetch": fetch}
    return type(f"Metered{base.__name__}", (base,), asking | body | _answering(base))


def minute_weight(exchange: Any) -> float:
    """What the venue allows in a minute, in its own weights."""
    return 60_000 / float(exchange.rateLimit) * _WEIGHT_OF_COST.get(exchange.id, 1.0)


def set_budget(exchange: Any, budget: Budget | None) -> None:
    """From now on a budget decides when a request may go; without one, nothing does."""
    exchange.budget = budget
    exchange.enableRateLimit = budget is not None


def _parsing(base: Any) -> dict[str, Any]:
    """The methods that see what a frame held."""

    def handle_message(self: Any, client: Any, message: object) -> None:
        if self.tap is None:
            base.handle_message(self, client, message)
            return
        self.tap.on_frame(client, message)
        self.in_frame = True
        try:
            base.handle_message(self, client, message)
        finally:
            self.in_frame = False

    def safe_order(self: Any, order: Any, market: Any = None) -> Any:
        result = base.safe_order(self, order, market)
        if self.in_frame and self.tap is not None and result.get("id"):
            self.tap.on_order(result)
        return result

    def safe_trade(self: Any, trade: Any, market: Any = None) -> Any:
        result = base.safe_trade(self, trade, market)
        if self.in_frame and self.tap is not None and result.get("order"):
            self.tap.on_trade(result)
        return result

    def safe_balance(self: Any, balance: Any) -> Any:
        """Balances keep every digit that the venue wrote: a float holds fifteen."""
        number, self.number = self.number, str
        try:
            return base.safe_balance(self, balance)
        finally:
            self.number = number

    def seconds(self: Any) -> int:
        """OKX's login over a socket is stamped with this, which ccxt does not adjust."""
        ahead = self.options.get("timeDifference")
        return int((self.milliseconds() - ahead) // 1000 if isinstance(ahead, int) else base.seconds())

    return {
        "handle_message": handle_message,
        "safe_order": safe_order,
        "safe_trade": safe_trade,
        "safe_balance": safe_balance,
        "seconds": seconds,
    }


def _connecting(base: Any) -> dict[str, Any]:
    """The methods that see connections come and go."""

    def client(self: Any, url: str) -> Any:
        made = base.client(self, url)
        if not getattr(made, "guarded", False):
            made.guarded = True
            made.throttle = _at_once
            made.handle_message = _surviving(self, made)
        if self.tap is not None:
            self.tap.on_client(made)
        return made

    def on_close(self: Any, client: Any, error: object) -> None:
        base.on_close(self, client, error)
        if self.tap is not None:
            self.tap.on_gone(client, f"closed with code {error}")

    def on_error(self: Any, client: Any, error: object) -> None:
        base.on_error(self, client, error)
        if self.tap is not None:
            self.tap.on_gone(client, error)

    return {"client": client, "on_close": on_close, "on_error": on_error}


def _asking(base: Any) -> dict[str, Any]:
    """The methods that stand between a call and the wire."""

    async def throttle(self: Any, cost: float | None = None) -> None:
        if self.budget is None:
            return
        call = CALL.get()
        if call is not None and call.scope is not None:
            call.scope.reschedule(None)  # how long a turn may take is the budget's to say
        weight = (1.0 if cost is None else float(cost)) * _WEIGHT_OF_COST.get(self.id, 1.0)
        await self.budget.take(weight, Lane.DATA if call is None else call.lane)

    async def fetch(self: Any, url: str, method: str = "GET", headers: Any = None, body: Any = None) -> Any:
        call = CALL.get()
        if call is not None:
            call.sent, call.status, call.answer = True, 0, None
            if call.scope is not None:
                call.scope.reschedule(asyncio.get_running_loop().time() + call.seconds)
        return await base.fetch(self, url, method, headers, body)

    return {"throttle": throttle, "fetch": fetch}


def _answering(base: Any) -> dict[str, Any]:
    """The methods that see an answer first."""

    def on_rest_response(self: Any, code: int, reason: str, url: str, method: str, headers: Any, body: str, *rest: Any) -> Any:
        result = base.on_rest_response(self, code, reason, url, method, headers, body, *rest)
        lowered = {str(name).lower(): value for name, value in headers.items()}
        retry_ms = _retry_after_ms(lowered.get("retry-after"))
        call = CALL.get()
        if call is not None:
            call.status, call.retry_after_ms = code, retry_ms
        if self.budget is not None:
            _account_for(self.budget, code, retry_ms, lowered.get(_USED_WEIGHT))
        return result

    def handle_errors(
        self: Any, code: Any, reason: Any, url: Any, method: Any, headers: Any, body: Any, response: Any, *rest: Any
    ) -> Any:
        call = CALL.get()
        if call is not None:
            call.answer = response
        result = base.handle_errors(self, code, reason, url, method, headers, body, response, *rest)
        if call is not None and _holds_nothing(code, response):
            message = f"HTTP {code} with {len(body or '')} characters that are no answer"
            raise Unreadable(message)
        return result

    return {"on_rest_response": on_rest_response, "handle_errors": handle_errors}


def _account_for(budget: Budget, code: int, retry_ms: int, used: object) -> None:
    if code in _RATE_LIMITED:
        budget.penalise(retry_ms or _RETRY_MS)
    if used is not None and str(used).isdigit():
        budget.observe(float(str(used)))


def _holds_nothing(code: object, response: object) -> bool:
    ok = isinstance(code, int) and 200 <= code < 300
    return ok and (not isinstance(response, dict | list) or response == {})


def _retry_after_ms(header: object) -> int:
    """The venue's Retry-After in ms; 0 where it says none in seconds."""
    try:
        seconds = float(str(header))
    except ValueError:
        return 0
    return int(1000 * min(max(seconds, 0.0), _LONGEST_RETRY_S)) if math.isfinite(seconds) else 0


async def _at_once(_: float) -> None:
    """A subscription is not a request: nothing holds it back."""


def _surviving(exchange: Any, client: Any) -> Callable[[Any], None]:
    handle: Callable[[Any], None] = client.handle_message

    def survive(message: Any) -> None:
        try:
            if message.type == _PONG and exchange.tap is not None:
                exchange.tap.on_pong(client)
            handle(message)
        except Exception as error:  # noqa: BLE001 - the boundary: whatever one frame does, the next is read; the tap counts it
            if exchange.tap is not None:
                exchange.tap.on_poison(client, error)

    return survive
