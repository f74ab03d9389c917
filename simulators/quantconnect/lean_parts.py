"""What hangs on an algorithm: settings, object store, notifications, history, open orders."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from datetime import timedelta

import orjson

from simulators.quantconnect.lean_portfolio import OrderTicket
from simulators.quantconnect.lean_run import Run
from simulators.quantconnect.lean_types import Resolution, Symbol, TradeBar


class Settings:
    """`self.settings`."""

    def __init__(self) -> None:
        self.automatic_indicator_warm_up = False
        self.free_portfolio_value_percentage = 0.0025
        self.daily_precise_end_time = True


class ObjectStore:
    """`self.object_store`: texts and bytes by key, as they were when the run began, and what the run saved since."""

    def __init__(self, run: Run) -> None:
        self._run = run

    def contains_key(self, key: str) -> bool:
        """Whether there is something."""
        return key in self._run.objects

    def save(self, key: str, text: str | None = None) -> bool:
        """Save a text."""
        return self.save_bytes(key, (text or "").encode())

    def save_bytes(self, key: str, content: bytes) -> bool:
        """Save bytes."""
        self._run.objects[key] = bytes(content)
        self._run.tell("object", {"key": key, "hex": bytes(content).hex()})
        return True

    def save_json(self, key: str, content: object) -> bool:
        """Save anything as JSON."""
        return self.save_bytes(key, orjson.dumps(content))

    def read(self, key: str) -> str:
        """A text; `KeyError` when there is none."""
        return self._run.objects[key].decode()

    def read_bytes(self, key: str) -> bytes:
        """Bytes; `KeyError` when there are none."""
        return self._run.objects[key]

    def delete(self, key: str) -> bool:
        """Forget a key, in this run only."""
        return self._run.objects.pop(key, None) is not None


class Notify:
    """`self.notify`: works in live runs only, as LEAN's does."""

    def __init__(self, run: Run) -> None:
        self._run = run

    def web(self, address: str, data: object = None, headers: Mapping[str, str] | None = None) -> bool:
        """Have the server POST this; False in a backtest. Texts go as they are, everything else as JSON."""
        if not self._run.live:
            return False
        body = data if isinstance(data, str) else orjson.dumps(data).decode()
        self._run.tell("notify", {"address": address, "body": body, "headers": dict(headers or {})})
        return True

    def email(self, *_: object) -> bool:
        """Never delivered here."""
        return False

    sms = telegram = email


class History:
    """`self.history[TradeBar](symbol, count, resolution)`: the last bars, oldest first."""

    def __init__(self, run: Run) -> None:
        self._run = run

    def __getitem__(self, _: type[TradeBar]) -> Callable[..., list[TradeBar]]:
        return self._bars

    def _bars(self, symbol: Symbol | str, span: int | timedelta, resolution: Resolution | None = None) -> list[TradeBar]:
        run = self._run
        known = run.subscriptions[symbol]  # type: ignore[index]  # a ticker equals its symbol
        length = (known.resolution if resolution is None else Resolution(resolution)).milliseconds
        count = span if isinstance(span, int) else math.ceil(span.total_seconds() * 1000 / length)
        return run.history(known.symbol, count, length)


class Transactions:
    """`self.transactions`: the open orders."""

    def __init__(self, run: Run) -> None:
        self._run = run

    def get_open_orders(self, symbol: Symbol | None = None) -> list[OrderTicket]:
        """Of a symbol, or all."""
        return [one for one in self._run.ledger.open_orders if symbol is None or one.symbol == symbol]

    def cancel_open_orders(self, symbol: Symbol | None = None) -> list[OrderTicket]:
        """Cancel and return them."""
        found = self.get_open_orders(symbol)
        for ticket in found:
            ticket.cancel()
        return found
