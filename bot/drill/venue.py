"""The venue of a drill: the exchange simulator on loopback, with one account whose keys nobody else has.

It runs in the drill's own process, so that a drill can look at its truth at any moment and see each order arrive. The auditor
does not: it asks over HTTP.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from types import TracebackType
from typing import Any, Self

from bot.core.market import Side
from bot.drill.waiting import until
from simulators.exchange.accounts import Account
from simulators.exchange.audit import Opening
from simulators.exchange.events import Event, Executed, Execution
from simulators.exchange.mischief import Fault
from simulators.exchange.orders import Kind, Ticket, VenueOrder
from simulators.exchange.server import ExchangeSimulator

DEPOSIT = Decimal(10_000)
_HISTORY_SECONDS = 60

Arrival = Callable[[VenueOrder], None]


@dataclass(frozen=True, slots=True)
class Keys:
    """The account's credentials, drawn for one drill so that they can be searched for."""

    key: str = field(default_factory=lambda: f"drill-{secrets.token_hex(12)}")
    secret: str = field(default_factory=lambda: secrets.token_hex(24), repr=False)
    passphrase: str = field(default_factory=lambda: secrets.token_hex(12), repr=False)


class DrillVenue:
    """An exchange in one dialect (`binance` or `okx`); `async with` starts and stops it."""

    def __init__(self, dialect: str = "binance", symbols: tuple[str, ...] = ("BTC/USDT",), deposit: Decimal = DEPOSIT) -> None:
        self.dialect = dialect
        self.symbols = symbols
        self.keys = Keys()
        self.arrivals: list[Arrival] = []
        """Called with each new order while the venue has not answered yet."""
        opening = Opening(self.keys.key, self.keys.secret, self.keys.passphrase, {"USDT": deposit})
        self.simulator = ExchangeSimulator(symbols=symbols, history=_HISTORY_SECONDS, accounts=[opening])
        self.simulator.engine.sinks.append(self._heard)

    @property
    def url(self) -> str:
        """Where it is."""
        return self.simulator.url

    @property
    def account(self) -> Account:
        """The truth about the account."""
        found = self.simulator.engine.accounts.get(self.keys.key)
        assert found is not None
        return found

    @property
    def orders(self) -> list[VenueOrder]:
        """Every order ever, oldest first."""
        return list(self.account.orders.values())

    @property
    def open(self) -> list[VenueOrder]:
        """Orders that work or wait."""
        return list(self.account.open.values())

    @property
    def fills(self) -> int:
        """How many trades there were."""
        return len(self.account.fills)

    def held(self, asset: str = "BTC") -> Decimal:
        """What the account has of an asset, free or locked."""
        return self.account.balance(asset).total

    def price(self, symbol: str) -> float:
        """The newest price of a symbol."""
        return self.simulator.venue.last(symbol)

    def asked(self, method: str, path: str) -> int:
        """How many requests came in, in this dialect's words."""
        name = path if method == "GET" else f"{method} {path}"
        return self.simulator.gate.hits[name]

    @property
    def order_path(self) -> str:
        """Where orders are sent to, by POST."""
        return "/api/v5/trade/batch-orders" if self.dialect == "okx" else "/api/v3/order"

    @property
    def submits(self) -> int:
        """How many orders were sent, answered or not."""
        return self.asked("POST", self.order_path)

    def inject(self, fault: Fault) -> None:
        """Make a fault happen, or switch it on."""
        self.simulator.inject(fault)

    def clear(self) -> None:
        """Everything that is on goes off."""
        self.simulator.mischief.clear()

    def by_hand(self, symbol: str, side: Side, amount: Decimal) -> VenueOrder:
        """A market order of somebody else on the same account."""
        ticket = Ticket(symbol, side, Kind.MARKET, amount)
        return self.simulator.engine.place(self.account, ticket, self.simulator.venue.now())

    def deposit(self, asset: str, amount: Decimal) -> None:
        """Pay in, or out when negative."""
        self.simulator.engine.transfer(self.account, asset, amount, self.simulator.venue.now())

    async def until(self, condition: Callable[[DrillVenue], bool], what: str, seconds: float = 20.0) -> None:
        """Wait until something is so at the venue."""
        await until(lambda: condition(self), what, seconds)

    def settings(self) -> dict[str, object]:
        """What `exchange` of a configuration must say so that the bot speaks to this venue and to no other."""
        described: Any = self.simulator.okx_config() if self.dialect == "okx" else self.simulator.ccxt_config()
        options = {name: value for name, value in described["options"].items() if not isinstance(value, dict)}
        return {
            "id": self.dialect,
            "symbols": list(self.symbols),
            "urls": dict(_flat(described["urls"]["api"])),
            "options": options,
        }

    def environment(self) -> dict[str, str]:
        """The keys, as the bot reads them."""
        name = self.dialect.upper()
        found = {f"{name}_API_KEY": self.keys.key, f"{name}_API_SECRET": self.keys.secret}
        return found | ({f"{name}_API_PASSPHRASE": self.keys.passphrase} if self.dialect == "okx" else {})

    def _heard(self, event: Event) -> None:
        if isinstance(event, Executed) and event.what is Execution.NEW:
            for tell in self.arrivals:
                tell(event.order)

    async def __aenter__(self) -> Self:
        await self.simulator.__aenter__()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.simulator.__aexit__(kind, error, trace)


def _flat(tree: Mapping[str, object], above: str = "") -> Iterator[tuple[str, str]]:
    """The leaves of ccxt's tree of addresses, by dotted key."""
    for name, branch in tree.items():
        if isinstance(branch, Mapping):
            yield from _flat(branch, f"{above}{name}.")
        else:
            yield f"{above}{name}", str(branch)
