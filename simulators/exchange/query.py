"""The parameters of a request, read as the venue reads them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import TypeVar

import orjson

from bot.core.market import timeframe_ms
from simulators.exchange.topics import INTERVALS
from simulators.exchange.venue import Venue

MAX_LIMIT = 1_000
_Value = TypeVar("_Value")
_AMOUNT = re.compile(r"[0-9]{1,20}(\.[0-9]{1,20})?")
_CLIENT_ID = re.compile(r"[.A-Z:/a-z0-9_-]{1,36}")


class Rejected(ValueError):  # noqa: N818 - the venue's word
    """The venue's answer to a bad request: its error code and message, and the HTTP status."""

    def __init__(self, code: int, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.code, self.status = code, status


class Query:
    """The parameters of one request, read as the venue reads them; `Rejected` where they cannot be."""

    def __init__(self, given: Mapping[str, str], venue: Venue) -> None:
        self._given = given
        self._venue = venue

    def has(self, name: str) -> bool:
        """Whether the parameter was sent."""
        return name in self._given

    def text(self, name: str) -> str:
        """A parameter that must be there."""
        value = self._given.get(name, "")
        if not value:
            raise Rejected(-1102, f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed.")
        return value

    def whole(self, name: str) -> int | None:
        """A whole number that is not negative, None when it was not sent."""
        value = self._given.get(name)
        if value is None:
            return None
        if not (value.isascii() and value.isdigit() and len(value) < 20):
            raise Rejected(-1100, f"Illegal characters found in parameter '{name}'; legal range is '^[0-9]{{1,20}}$'.")
        return int(value)

    def amount(self, name: str) -> Decimal | None:
        """A decimal number, None when it was not sent."""
        value = self._given.get(name)
        if value is None:
            return None
        if not _AMOUNT.fullmatch(value):
            raise Rejected(
                -1100, f"Illegal characters found in parameter '{name}'; legal range is '^([0-9]{{1,20}})(\\.[0-9]{{1,20}})?$'."
            )
        found = Decimal(value)
        if found != found.quantize(Decimal("1e-8")):
            raise Rejected(-1111, f"Parameter '{name}' has too much precision.")
        return found

    def needed(self, name: str) -> Decimal:
        """A decimal number that must be there."""
        self.text(name)
        found = self.amount(name)
        assert found is not None
        return found

    def client_id(self, name: str) -> str:
        """A client order id, empty when it was not sent."""
        value = self._given.get(name, "")
        if value and not _CLIENT_ID.fullmatch(value):
            raise Rejected(
                -1100, f"Illegal characters found in parameter '{name}'; legal range is '^[\\.A-Z\\:/a-z0-9_-]{{1,36}}$'."
            )
        return value

    def choice(self, name: str, choices: Mapping[str, _Value], code: int, default: _Value | None = None) -> _Value:
        """One of a few words; `code` is the venue's error for another."""
        if default is not None and not self.has(name):
            return default
        value = self.text(name)
        if value not in choices:
            raise Rejected(code, f"Invalid {name}.")
        return choices[value]

    def limit(self, default: int) -> int:
        """`limit`, at most 1000."""
        given = self.whole("limit")
        if given == 0:
            raise Rejected(-1130, "Data sent for parameter 'limit' is not valid.")
        return min(given or default, MAX_LIMIT)

    def symbol(self) -> str:
        """`symbol` as ccxt names it."""
        return self._known(self.text("symbol"))

    def symbols(self) -> list[str]:
        """`symbol`, or `symbols` (a JSON list), or all of them."""
        if self.has("symbol"):
            return [self.symbol()]
        if not self.has("symbols"):
            return list(self._venue.ids)
        try:
            names = orjson.loads(self.text("symbols"))
        except orjson.JSONDecodeError:
            names = None
        if not (isinstance(names, list) and names and all(isinstance(name, str) for name in names)):
            raise Rejected(-1100, "Illegal characters found in parameter 'symbols'.")
        return [self._known(name) for name in names]

    def interval(self) -> int:
        """`interval` in milliseconds."""
        name = self.text("interval")
        if name not in INTERVALS:
            raise Rejected(-1120, "Invalid interval.")
        return timeframe_ms(name)

    def _known(self, name: str) -> str:
        symbol = self._venue.symbols.get(name)
        if symbol is None:
            raise Rejected(-1121, "Invalid symbol.")
        return symbol
